"""One loaded network, which gives each picture its row: its labels, its features, or why it has none.

A row depends on nothing but the picture and the job: the network always sees a full batch, if need be filled
up with zeros, because another size of batch may take other kernels, which round in another way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelzoo import preprocessing, registry, runtimes
from modelzoo.classification import BATCH_SIZE, DEFAULT_MODEL, decode_predictions
from modelzoo.errors import PictureError
from modelzoo.preprocessing import Picture
from modelzoo.zoo import PRETRAINED

FEATURES = {"include_top": False, "pooling": "avg"}  # load()'s arguments for a network without its head


@dataclass(frozen=True)
class Job:
    """What is asked of every picture. Equal jobs give equal rows, byte for byte."""

    model: str = DEFAULT_MODEL
    weights: str = PRETRAINED
    top: int | None = 5  # labels for each picture; None for its features
    crops: int = 1  # 10: the mean of what the network says of each
    fast_decode: bool = False
    runtime: str = "auto"
    precision: str = "f32"

    def __post_init__(self):
        entry = registry.info(self.model)
        if self.top is not None and entry.task != "classification":
            raise ValueError(f"{entry.key} names no pictures: it is for {entry.task}.")
        object.__setattr__(self, "model", entry.key)
        runtimes.check(self.runtime, self.precision)
        object.__setattr__(self, "runtime", runtimes.chosen(self.runtime))  # on every machine the same
        if self.crops not in (1, 10):
            raise ValueError(f"crops must be 1 or 10, not {self.crops!r}.")
        if self.top is not None and self.top < 1:
            raise ValueError(f"top must be at least 1, not {self.top!r}.")
        if self.crops == 10:
            preprocessing.check_ten_crops(registry.info(self.model).pictures)

    def labels_each(self) -> int:
        """How many labels a picture gets: the label set may have fewer than `top`."""
        return min(self.top, registry.info(self.model).graph.classes)


class RowMaker:
    """A job's network, loaded."""

    def __init__(self, job: Job):
        self.job = job
        self.entry = registry.info(job.model)
        self.pictures_at_once = max(1, BATCH_SIZE // job.crops)
        arguments = {} if job.top is not None else FEATURES
        self.network = runtimes.predictor(self.entry, job.weights, job.runtime, job.precision, **arguments)

    def prepare(self, picture: Picture, name: str) -> np.ndarray | str:
        """What the network sees of a picture, float32 (crops, height, width, 3), or why it cannot be read."""
        try:
            return preprocessing.preprocess_crops(
                picture,
                self.entry.pictures,
                name=name,
                fast_decode=self.job.fast_decode,
                ten=self.job.crops == 10,
            )
        except PictureError as error:
            return str(error)
        except (MemoryError, OSError) as error:
            return f"{name} cannot be read ({error or type(error).__name__})."

    def rows(self, names: Sequence[str], prepared: Sequence[np.ndarray | str]) -> list[dict[str, Any]]:
        """A row for each picture: "picture", "model", and "predictions", "features" or "error"."""
        outputs = iter(self._outputs([item for item in prepared if not isinstance(item, str)]))
        return [
            {"picture": name, "model": self.entry.key}
            | ({"error": item} if isinstance(item, str) else self._answer(next(outputs)))
            for name, item in zip(names, prepared, strict=True)
        ]

    def _outputs(self, pictures: Sequence[np.ndarray]) -> Iterable[np.ndarray]:
        """The network's output for each picture, the mean of its crops."""
        for start in range(0, len(pictures), self.pictures_at_once):
            images = np.concatenate(pictures[start : start + self.pictures_at_once])
            full = np.zeros((BATCH_SIZE, *images.shape[1:]), np.float32)
            full[: len(images)] = images
            output = self.network.predict(full)[: len(images)]
            yield from output.reshape(-1, self.job.crops, output.shape[-1]).mean(axis=1)

    def _answer(self, output: np.ndarray) -> dict[str, Any]:
        if self.job.top is None:
            return {"features": output}
        (best,) = decode_predictions(output[None], self.entry.labels, self.job.top)
        return {"predictions": [{"id": p.id, "name": p.name, "probability": p.probability} for p in best]}
