"""classify(): pictures -> the most likely labels, each with its probability."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from modelzoo import labels as label_sets
from modelzoo import preprocessing, registry, runtimes
from modelzoo.errors import LabelsError
from modelzoo.preprocessing import Picture
from modelzoo.registry import Entry
from modelzoo.zoo import PRETRAINED

DEFAULT_MODEL = "resnet9_cifar10"  # it comes with the package, so it always answers
BATCH_SIZE = 32  # pictures; more gains nothing on a CPU and costs memory


@dataclass(frozen=True, slots=True)
class Prediction:
    """A label that a picture may have: its id (mostly WordNet's), its name, and a probability of 0 to 1."""

    id: str
    name: str
    probability: float


class Classifier:
    """A model loaded once and used often, by several threads if need be.

    `weights` is as in modelzoo.load. `runtime` is "openvino", on the CPU; "keras", on any backend and device
    of Keras; or "auto", the first of these that is installed. OpenVINO computes in the `precision` "f32",
    or on request in "bf16" or "f16" if the CPU can.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        weights: str | os.PathLike | None = PRETRAINED,
        runtime: str = "auto",
        precision: str = "f32",
    ):
        self.entry: Entry = registry.info(model)
        if self.entry.task != "classification":
            raise ValueError(f"{self.entry.key} names no pictures: it is for {self.entry.task}.")
        self.predictor = runtimes.predictor(self.entry, weights, runtime, precision)

    def __call__(self, pictures: Picture | Sequence[Picture], top: int = 5) -> list[list[Prediction]]:
        """For each picture the `top` most likely labels, best first. Pictures as in modelzoo.preprocess."""
        named = preprocessing.name_pictures(pictures)
        return list(self.each((picture for picture, _ in named), top))

    def each(self, pictures: Iterable[Picture], top: int = 5) -> Iterator[list[Prediction]]:
        """The same for any number of pictures, read when they are needed, in constant memory."""
        pictures = iter(pictures)
        while batch := list(islice(pictures, BATCH_SIZE)):
            yield from decode_predictions(self.probabilities(batch), self.entry.labels, top)

    def probabilities(self, pictures: Picture | Sequence[Picture]) -> np.ndarray:
        """The network's output, float32 (batch, classes)."""
        return self.predictor.predict(preprocessing.preprocess(pictures, self.entry.pictures))


def classify(
    pictures: Picture | Sequence[Picture],
    model: str = DEFAULT_MODEL,
    top: int = 5,
    *,
    runtime: str = "auto",
    precision: str = "f32",
) -> list[list[Prediction]]:
    """For each picture the `top` most likely labels, best first, by a pretrained model.

    Pictures are paths, bytes, file objects, PIL images or uint8 arrays (height, width, 3) in RGB, or a
    list of them. Loads the model anew each time: for many calls, keep a Classifier, which explains
    `runtime` and `precision`. Raises UnknownModel, WeightsUnavailable and PictureError.
    """
    return Classifier(model, runtime=runtime, precision=precision)(pictures, top)


def decode_predictions(probabilities: Any, labels_or_model: str, top: int = 5) -> list[list[Prediction]]:
    """The `top` best labels of each row of an array (batch, classes), best first; ties in class order.

    `labels_or_model` is a label set ("imagenet") or a model, whose label set is taken. Raises
    LabelsError if the array's width is not the number of labels.
    """
    array = np.asarray(probabilities)
    is_set = labels_or_model in label_sets.NAMES
    name = labels_or_model if is_set else registry.info(labels_or_model).labels
    table = label_sets.read(name)
    if array.ndim != 2 or array.shape[1] != len(table):
        raise LabelsError(f"The labels {name!r} want an array (batch, {len(table)}); got {array.shape}.")
    if top < 1:
        raise LabelsError(f"top must be at least 1, not {top}.")
    best = np.argsort(-array, axis=1, kind="stable")[:, :top]
    return [
        [Prediction(table[i].id, table[i].name, float(row[i])) for i in order]
        for row, order in zip(array, best, strict=True)
    ]
