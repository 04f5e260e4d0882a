"""What others published that a model answers for an image, and what the model answers here.

known_answers.json holds both the answers and where the images come from; scripts/registry/known_answers.py
writes it.
"""

from __future__ import annotations

import fnmatch
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modelzoo import download, registry, zoo
from modelzoo.errors import DownloadError
from modelzoo.files import sha256
from modelzoo.images import preprocess
from modelzoo.registry import Entry, Interpolation, Preprocessing

ZEROS = "zeros"  # no image: the network's input is all zeros
PATTERN = (
    "pattern"  # of levels, by row, column and channel; in the network's size, so that nothing is resized
)
MADE = (ZEROS, PATTERN)
PATTERN_STEPS = (7, 13, 29)


@dataclass(frozen=True, kw_only=True)
class KnownAnswer:
    """A published answer, for the entries whose key matches the pattern `model`."""

    model: str
    image: str  # a name among the known images, or one of MADE
    output: Literal["logits", "probabilities", "pool", "rank"]  # "rank": of the logits' order
    expected: tuple[tuple[int, float], ...]  # index of the output -> value, or the worst rank that is right
    tolerance: float = 0.0  # of the largest absolute difference; no matter for a rank
    source: str  # who published it, and where
    preprocessing: str | None = None  # a named one; None: the entry's own
    size: int | None = None  # pixels; the side of the network's input; None: the entry's own
    channels: Literal["RGB", "BGR"] | None = None  # None: as the preprocessing says
    interpolation: Interpolation | None = None  # None: as the preprocessing says

    @property
    def title(self) -> str:
        return f"{self.output} of {self.image}, {self.source}"


@dataclass(frozen=True)
class KnownImage:
    """An image that answers were published for."""

    url: str | None  # None: it comes with the repository, under its name
    sha256: str


@dataclass(frozen=True)
class KnownAnswers:
    """All published answers, and their images by name."""

    images: Mapping[str, KnownImage]
    answers: tuple[KnownAnswer, ...]

    def about(self, entry: Entry) -> list[KnownAnswer]:
        """Those for the entry."""
        return [answer for answer in self.answers if fnmatch.fnmatchcase(entry.key, answer.model)]


@functools.cache
def packaged() -> KnownAnswers:
    """The answers that come with the package."""
    text = (resources.files("modelzoo.verification") / "known_answers.json").read_text("utf-8")
    return parse(json.loads(text))


def parse(value: Mapping[str, Any]) -> KnownAnswers:
    """The contents of known_answers.json."""
    answers = (
        KnownAnswer(**answer | {"expected": tuple(map(tuple, answer["expected"]))})
        for answer in value["answers"]
    )
    images = {name: KnownImage(**image) for name, image in value["images"].items()}
    return KnownAnswers(images, tuple(answers))


def network_input(entry: Entry, answer: KnownAnswer, image: Path | None) -> np.ndarray:
    """What the network is asked about, float32 (1, height, width, 3); `image` is None for those of MADE."""
    preprocessing = preprocessing_of(entry, answer)
    if answer.image == PATTERN:
        as_it_is = replace(preprocessing, central_fraction=1.0, crop_padding=None, resize_size=None)
        return preprocess(pattern(preprocessing.crop_size), as_it_is)
    if image is None:
        return np.zeros((1, preprocessing.crop_size, preprocessing.crop_size, 3), np.float32)
    return preprocess(image, preprocessing)


def pattern(size: int) -> np.ndarray:
    """PATTERN as an image, uint8 (size, size, 3)."""
    row, column, channel = PATTERN_STEPS
    rows, columns, channels = np.ogrid[:size, :size, :3]
    return ((row * rows + column * columns + channel * channels) % 256).astype(np.uint8)


def preprocessing_of(entry: Entry, answer: KnownAnswer) -> Preprocessing:
    """How the image was prepared for the answer."""
    size = answer.size or entry.preprocessing.crop_size
    if answer.preprocessing is not None:
        preprocessing = registry.packaged().named_preprocessing(answer.preprocessing, size)
    else:
        preprocessing = entry.preprocessing
    return replace(
        preprocessing,
        channels=answer.channels or preprocessing.channels,
        interpolation=answer.interpolation or preprocessing.interpolation,
    )


def find_image(known: KnownImage, folder: Path | None) -> Path:
    """The very image, from the folder, under any name, from the cache or from its address.

    Raises DownloadError, and WeightsUnavailable without a cache to keep it in.
    """
    for path in sorted(folder.iterdir()) if folder else ():
        if path.is_file() and sha256(path) == known.sha256:
            return path
    if known.url is None:
        raise DownloadError("it comes with the repository: name its folder as that of the images")
    try:
        return download.by_checksum(known.url, known.sha256)
    except DownloadError as error:
        raise DownloadError(f"{known.url}: {error}") from error


def ask(entry: Entry, answer: KnownAnswer, images: np.ndarray) -> np.ndarray:
    """The vector that the answer is about, of the model with pretrained weights, for one image."""
    import keras

    if answer.output == "pool":
        model = zoo.load(entry.key, include_top=False, pooling="avg")
    else:
        activation = None if answer.output == "logits" else zoo.FROM_ENTRY
        model = zoo.load(entry.key, classifier_activation=activation, input_shape=images.shape[1:])
    return np.asarray(keras.ops.convert_to_numpy(model(images, training=False)))[0]


def judge(answer: KnownAnswer, output: np.ndarray) -> tuple[bool, str]:
    """Whether the output is the published answer, and how far it is off."""
    indices, expected = (list(column) for column in zip(*answer.expected, strict=True))
    if answer.output == "rank":
        ranks = [int((output > output[index]).sum()) + 1 for index in indices]
        right = all(rank <= worst for rank, worst in zip(ranks, expected, strict=True))
        return right, f"expected class {indices[0]} at rank {expected[0]}, found it at rank {ranks[0]}"
    error = float(np.abs(output[indices] - np.array(expected)).max())
    detail = f"off by {error:.1e} at most, up to {answer.tolerance:g} is right"
    if answer.output == "pool":  # some places of a vector, not the largest ones
        return error <= answer.tolerance, detail
    best = np.argsort(-output, kind="stable")[: len(indices)].tolist()
    others = float(np.delete(output, indices).max(initial=-np.inf))  # no class belongs between the published
    order = "in the published order" if best == indices else "not in the published order"
    right = error <= answer.tolerance and others - min(expected) <= answer.tolerance  # false for a NaN
    return right, f"{order}, {detail}"
