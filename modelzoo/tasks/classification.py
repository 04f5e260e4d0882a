"""classify(): images -> the most likely labels, each with its probability."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from modelzoo import images as image_room
from modelzoo import labels as label_sets
from modelzoo import registry
from modelzoo.errors import LabelsError, quoted
from modelzoo.labels import Label
from modelzoo.registry import Entry, Preprocessing
from modelzoo.runtimes import DEFAULT_MODEL, Deployment, Precision, Runtime
from modelzoo.store import PRETRAINED
from modelzoo.tasks.pipeline import BATCH_SIZE, Pipeline
from modelzoo.zoo import NetworkOptions

if TYPE_CHECKING:
    from modelzoo.images import ImageInput

TOP = 5  # labels of an image
ROUNDING = 0.01  # by which a probability may lie outside 0 to 1: bfloat16 has two to three digits


@dataclass(frozen=True, slots=True)
class Prediction:
    """A label that an image may have: its id (mostly WordNet's), its name, and a probability of 0 to 1."""

    id: str
    name: str
    probability: float


@dataclass(frozen=True)
class LabelsHead:
    """Of each image the `top` most likely labels, best first."""

    top: int = TOP
    batch_size: int = BATCH_SIZE

    def __post_init__(self) -> None:
        _check_top(self.top)

    def options(self, deployment: Deployment) -> NetworkOptions:
        entry = deployment.entry
        if entry.task != "classification":
            raise ValueError(f"{entry.key} is a {entry.task} model; use Detector.")
        return NetworkOptions()

    def preprocessing(self, entry: Entry) -> Preprocessing:
        return entry.preprocessing

    def decode(self, output: np.ndarray, size: tuple[int, int], entry: Entry) -> list[Prediction]:
        (predictions,) = _decoded(output[None], entry.labels, label_sets.of(entry), self.top)
        return predictions


class Classifier:
    """A model loaded once and used often, by several threads if need be.

    The arguments are those of modelzoo.Deployment, which explains them; `weights` is as in modelzoo.load.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        *,
        weights: str | os.PathLike[str] | None = PRETRAINED,
        runtime: Runtime = "auto",
        precision: Precision = "f32",
    ):
        self.pipeline = Pipeline(Deployment(model, weights, runtime, precision), LabelsHead())
        self.entry = self.pipeline.entry

    def __call__(self, images: ImageInput | Sequence[ImageInput], top: int = TOP) -> list[list[Prediction]]:
        """For each image the `top` most likely labels, best first. Images as in modelzoo.preprocess."""
        return self.pipeline.with_head(LabelsHead(top))(images)

    def each(self, images: Iterable[ImageInput], top: int = TOP) -> Iterator[list[Prediction]]:
        """The same for any number of images, read when they are needed, in constant memory."""
        return self.pipeline.with_head(LabelsHead(top)).each(images)

    def probabilities(self, images: ImageInput | Sequence[ImageInput]) -> np.ndarray:
        """The network's output, float32 (batch, classes)."""
        batch = [self.pipeline.prepare(image, name) for image, name in image_room.name_images(images)]
        return self.pipeline.outputs(batch)


def classify(
    images: ImageInput | Sequence[ImageInput],
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    top: int = TOP,
    *,
    runtime: Runtime = "auto",
    precision: Precision = "f32",
) -> list[list[Prediction]]:
    """For each image the `top` most likely labels, best first, by a pretrained model.

    Images are paths, bytes, file objects, PIL images or uint8 arrays (height, width, 3) in RGB, or a
    list of them. Loads the model anew each time: for many calls, keep a Classifier. `runtime` and
    `precision` are as in modelzoo.Deployment. Raises UnknownModel, WeightsUnavailable and ImageError.
    """
    return Classifier(model, runtime=runtime, precision=precision)(images, top)


def _floats(values: Any) -> np.ndarray:
    """The values in a dtype of NumPy's that has negative numbers: by these they are sorted."""
    array = np.asarray(values)
    if array.dtype.kind == "f":
        return array
    if array.dtype.kind not in "iub" and array.dtype.name != "bfloat16":
        raise LabelsError(f"Expected probabilities, got an array of {array.dtype}.")
    return array.astype(np.float64)


def _check_probabilities(array: np.ndarray) -> None:
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise LabelsError(
            f"Expected probabilities, got NaN or infinity in row {row}: the network's weights or its input "
            "are not sound."
        )
    outside = (array < -ROUNDING) | (array > 1 + ROUNDING)
    if outside.any():
        raise LabelsError(
            f"Expected probabilities from 0 to 1, got {array[outside][0]:.4g}: these look like logits. Apply "
            "softmax, or load the model with its own classifier_activation, 'entry'."
        )


def decode_predictions(
    probabilities: Any, labels: str | os.PathLike[str] | Sequence[str], top: int = TOP
) -> list[list[Prediction]]:
    """The `top` best labels of each row of an array (batch, classes), best first; ties in class order.

    `labels` is a label set ("imagenet"), a model or its folder, whose labels are taken, or a list of names.
    Raises LabelsError if the array's width is not the number of labels, and for values that are no
    probabilities: not finite, or logits. Those of sigmoids need not add up to one.
    """
    return _decoded(probabilities, *labels_named(labels), top)


def _decoded(probabilities: Any, name: str, table: Sequence[Label], top: int) -> list[list[Prediction]]:
    """As decode_predictions, of the labels `table`, which errors call `name`."""
    array = checked_probabilities(probabilities, name, table)
    _check_top(top)
    best: list[list[int]] = np.argsort(-array, axis=1, kind="stable")[:, :top].tolist()
    return [
        [Prediction(table[i].id, table[i].name, float(row[i])) for i in order]
        for row, order in zip(array, best, strict=True)
    ]


def checked_probabilities(probabilities: Any, name: str, table: Sequence[Label]) -> np.ndarray:
    """The probabilities as floats; raises LabelsError unless each class of the table has one."""
    array = _floats(probabilities)
    if array.ndim != 2 or array.shape[1] != len(table):
        raise LabelsError(f"Labels {name!r}: expected an array (batch, {len(table)}), got {array.shape}.")
    _check_probabilities(array)
    return array


def labels_named(labels: str | os.PathLike[str] | Sequence[str]) -> tuple[str, Sequence[Label]]:
    """What a label set is called in errors, and its labels."""
    if isinstance(labels, str | os.PathLike):
        if isinstance(labels, str) and labels in label_sets.names():
            return labels, label_sets.read(labels)
        entry = registry.info(labels)
        return entry.labels, label_sets.of(entry)
    is_list = isinstance(cast(object, labels), Sequence)
    if not is_list or not all(isinstance(cast(object, name), str) for name in labels):
        raise LabelsError(f"Expected a label set, a model or a list of names, got {quoted(labels)}.")
    return "of the list", [Label(name, name) for name in labels]


def _check_top(top: int) -> None:
    if top < 1:
        raise LabelsError(f"top must be at least 1, not {top!r}.")
