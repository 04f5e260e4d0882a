"""detect(): images -> the objects in them, each with its label, a score and a box.

After test_detector in examples/detector.c of pjreddie/darknet, and what it calls in src/region_layer.c.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from modelzoo import images as image_room
from modelzoo import labels as label_sets
from modelzoo.registry import Entry, Preprocessing
from modelzoo.runtimes import Deployment, Precision, Runtime
from modelzoo.store import PRETRAINED
from modelzoo.tasks.boxes import best_boxes, read_cells
from modelzoo.tasks.pipeline import Pipeline
from modelzoo.zoo import NetworkOptions

if TYPE_CHECKING:
    from modelzoo.images import Axis, ImageInput

DEFAULT_MODEL = "yolo2"
THRESHOLD = 0.5  # of the score; Darknet's default


@dataclass(frozen=True, slots=True)
class Detection:
    """An object in an image: its label's id and name, a score of 0 to 1, and its box.

    The box is (x0, y0, x1, y1) in pixels of the image, from its upper left corner, clipped to the image.
    """

    id: str
    name: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class BoxesHead:
    """Of each image the objects that score above `threshold`, best first.

    `size` is the side in pixels of the square that the network sees, a multiple of 32; default: the entry's.
    """

    threshold: float = THRESHOLD
    size: int | None = None
    batch_size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise ValueError(f"threshold must be from 0 to below 1, not {self.threshold!r}.")

    def options(self, deployment: Deployment) -> NetworkOptions:
        entry = deployment.entry
        if entry.task != "detection":
            raise ValueError(f"{entry.key} is a {entry.task} model; use Classifier.")
        if deployment.crops > 1 or deployment.fast_decode:
            raise ValueError("Boxes need the whole image: crops=1 and fast_decode=False.")
        side = self.preprocessing(entry).crop_size
        return NetworkOptions(input_shape=(side, side, 3))

    def preprocessing(self, entry: Entry) -> Preprocessing:
        known = entry.preprocessing
        return known if self.size is None else replace(known, crop_size=self.size)

    def decode(self, output: np.ndarray, size: tuple[int, int], entry: Entry) -> list[Detection]:
        """The objects in an image of `size` (height, width), from the output (rows, columns, channels)."""
        boxes, scores = read_cells(output, entry.graph.variant)
        rows, columns = image_room.axes(self.preprocessing(entry), *size)
        table = label_sets.of(entry)
        return [
            Detection(table[number].id, table[number].name, score, _in_image(box, rows, columns))
            for number, score, box in best_boxes(boxes, scores, self.threshold)
        ]


class Detector:
    """A model loaded once and used often. The arguments are as in modelzoo.Classifier.

    `size` is the side in pixels of the square that the network sees, a multiple of 32; default: the
    entry's. A smaller one is faster, and misses small objects.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        weights: str | os.PathLike[str] | None = PRETRAINED,
        size: int | None = None,
        runtime: Runtime = "auto",
        precision: Precision = "f32",
    ):
        self.head = BoxesHead(size=size)
        self.pipeline = Pipeline(Deployment(model, weights, runtime, precision), self.head)
        self.entry = self.pipeline.entry

    def __call__(
        self, images: ImageInput | Sequence[ImageInput], threshold: float = THRESHOLD
    ) -> list[list[Detection]]:
        """For each image the objects scoring above `threshold`, best first. Images as in preprocess."""
        return self.pipeline.with_head(replace(self.head, threshold=threshold))(images)

    def each(self, images: Iterable[ImageInput], threshold: float = THRESHOLD) -> Iterator[list[Detection]]:
        """The same for any number of images, read when they are needed, in constant memory."""
        return self.pipeline.with_head(replace(self.head, threshold=threshold)).each(images)


def detect(
    images: ImageInput | Sequence[ImageInput],
    model: str = DEFAULT_MODEL,
    threshold: float = THRESHOLD,
    *,
    runtime: Runtime = "auto",
    precision: Precision = "f32",
) -> list[list[Detection]]:
    """For each image the objects that score above `threshold`, best first, by a pretrained model.

    Images are paths, bytes, file objects, PIL images or uint8 arrays (height, width, 3) in RGB, or a
    list of them. Loads the model anew each time: for many calls, keep a Detector. Raises UnknownModel,
    WeightsUnavailable and ImageError, and ValueError for a model that classifies.
    """
    return Detector(model, runtime=runtime, precision=precision)(images, threshold)


def _in_image(box: np.ndarray, rows: Axis, columns: Axis) -> tuple[float, float, float, float]:
    y0, x0, y1, x1 = map(float, box)
    return (_place(x0, columns), _place(y0, rows), _place(x1, columns), _place(y1, rows))


def _place(fraction: float, axis: Axis) -> float:
    """A place in the square as pixels of the image; both borders count as equally wide, as in Darknet."""
    pixels = fraction * axis.crop - (axis.crop - axis.target) / 2
    return min(max(pixels * axis.source / axis.target, 0.0), float(axis.source))
