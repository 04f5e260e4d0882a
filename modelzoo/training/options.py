"""TrainingOptions: all that decides how a network is fine-tuned, as one frozen value."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Augmentation = Literal["randaugment", "mixup", "cutmix", "erasing"]
AUGMENTATIONS: tuple[Augmentation, ...] = get_args(Augmentation)
DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
EPOCHS = 20
LARGEST = 2048  # pixels: a batch of larger images fills the memory


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a network is trained: the defaults are what `modelzoo finetune` does.

    seconds: for the whole run; the first epoch's time then says how many there are. Without it `epochs`.
    patience: epochs without a better validation loss, after which training ends early; None: never.
    head_only: the backbone stays as it is.
    from_level: the first feature level ("C4") whose layers change, beside the head; None: all layers do.
    size: of the square that the network takes, in pixels; None: as the model was trained.
    learning_rate: the highest one, after the first epoch; the next follow half a cosine down to 0. None:
        by the size of the weights that are trained, so that a step changes them by at most 5 %, or 0.5 %
        where no batch norms are.
    weight_decay: AdamW's, of kernels only. ema: the part of the averaged weights that a step keeps, at most.
    batch_norm: whether batch norms change, too; False keeps those of the pretraining, for small batches.
    smallest_crop: the least part of an image's area that a random crop shows.
    class_weights: whether classes count alike, however many images they have.
    augment: Keras' own layers beside random crops and mirror images.
    validation_part, test_part: of the images, set aside by `seed` where no folder is given for them.
    cache_bytes: for decoded images on the disk; beyond it they are decoded anew in each epoch.

    Raises ValueError for values that mean nothing.
    """

    epochs: int = EPOCHS
    seconds: float | None = None
    patience: int | None = 10
    head_only: bool = False
    from_level: str | None = None
    size: int | None = None
    batch_size: int = 32
    learning_rate: float | None = None
    weight_decay: float = 0.05
    ema: float = 0.99
    dropout: float = 0.1
    label_smoothing: float = 0.1
    batch_norm: bool = True
    smallest_crop: float = 0.5
    class_weights: bool = False
    augment: tuple[Augmentation, ...] = ()
    validation_part: float = 0.1
    test_part: float = 0.1
    seed: int = 1
    cache_bytes: int = 8_000_000_000

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience", "size"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}.")
        for name in ("seconds", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be a number above 0, not {value!r}.")
        for name in ("ema", "dropout", "label_smoothing", "validation_part", "test_part"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 to below 1, not {getattr(self, name)!r}.")
        if type(self.seed) is not int or self.seed < 0:
            raise ValueError(f"seed must be a whole number of at least 0, not {self.seed!r}.")
        if self.size is not None and self.size > LARGEST:
            raise ValueError(f"size must be at most {LARGEST}, not {self.size}.")
        if not 0 < self.smallest_crop <= 1:
            raise ValueError(f"smallest_crop must be above 0 and at most 1, not {self.smallest_crop!r}.")
        object.__setattr__(self, "augment", _known(self.augment))


def _known(names: Iterable[str]) -> tuple[str, ...]:
    found = tuple(names)
    for name in found:
        if name not in AUGMENTATIONS:
            raise ValueError(f"augment takes {', '.join(AUGMENTATIONS)}, not {name!r}.")
    return found


def seconds_of(text: str) -> float:
    """The seconds of "90s", "10m", "1h30m" or a number of seconds; raises ValueError for another text."""
    match = DURATION.fullmatch(text)
    if match and any(match.groups()):
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return float(3600 * hours + 60 * minutes + seconds)
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"expected a duration such as 90s, 10m or 1h30m, got {text!r}") from None
