"""detect(): pictures -> the objects in them, each with its label, a score and a box.

After test_detector in examples/detector.c of pjreddie/darknet, and what it calls in src/region_layer.c.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from modelzoo import labels as label_sets
from modelzoo import preprocessing, registry
from modelzoo.preprocessing import Axis, Picture
from modelzoo.registry import Entry
from modelzoo.zoo import PRETRAINED, load

DEFAULT_MODEL = "yolo2"
THRESHOLD = 0.5  # of the score; Darknet's default
OVERLAP = 0.45  # Darknet's; of two boxes of a class that share more of their union, the worse one goes
LINE, TEXT = (
    0.004,
    0.02,
)  # width of a drawn line and height of the text, in parts of the picture's longer side
SMALLEST_TEXT = 10  # pixels


@dataclass(frozen=True, slots=True)
class Detection:
    """An object in a picture: its label's id and name, a score of 0 to 1, and its box.

    The box is (x0, y0, x1, y1) in pixels of the picture, from its upper left corner, cut at its edges.
    """

    id: str
    name: str
    score: float
    box: tuple[float, float, float, float]


class Detector:
    """A model loaded once and used often. `weights` is as in modelzoo.load.

    `size` is the side in pixels of the square that the network sees, a multiple of 32; default: the
    entry's. A smaller one is faster, and misses small objects.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        weights: str | os.PathLike | None = PRETRAINED,
        size: int | None = None,
    ):
        self.entry: Entry = registry.info(model)
        if self.entry.task != "detection":
            raise ValueError(f"{self.entry.key} finds no objects: it is for {self.entry.task}.")
        self.recipe = self.entry.pictures if size is None else replace(self.entry.pictures, crop=size)
        shape = (self.recipe.crop, self.recipe.crop, 3)
        self.model = load(self.entry.key, weights=weights, input_shape=shape)

    def __call__(
        self, pictures: Picture | Sequence[Picture], threshold: float = THRESHOLD
    ) -> list[list[Detection]]:
        """For each picture the objects scoring above `threshold`, best first. Pictures as in preprocess."""
        named = preprocessing.name_pictures(pictures)
        return list(self.each((picture for picture, _ in named), threshold))

    def each(self, pictures: Iterable[Picture], threshold: float = THRESHOLD) -> Iterator[list[Detection]]:
        """The same for any number of pictures, read when they are needed, in constant memory."""
        for picture in pictures:
            pixels = preprocessing.read_picture(picture)
            output = self.model(preprocessing.preprocess(pixels, self.recipe), training=False)
            yield self.decode(output[0], pixels.shape[:2], threshold)

    def decode(self, output: Any, size: tuple[int, int], threshold: float = THRESHOLD) -> list[Detection]:
        """What the network's output (rows, columns, channels) says of a picture of `size` (height, width)."""
        from modelzoo.architectures import yolo

        if not 0 <= threshold < 1:
            raise ValueError(f"threshold must be from 0 to below 1, not {threshold!r}.")
        boxes, scores = read_cells(output, yolo.VARIANTS[self.entry.graph.variant].anchors)
        rows, columns = preprocessing.axes(self.recipe, *size)
        table = label_sets.read(self.entry.labels)
        return [
            Detection(table[number].id, table[number].name, score, _in_picture(box, rows, columns))
            for number, score, box in best(boxes, scores, threshold)
        ]


def detect(
    pictures: Picture | Sequence[Picture], model: str = DEFAULT_MODEL, threshold: float = THRESHOLD
) -> list[list[Detection]]:
    """For each picture the objects that score above `threshold`, best first, by a pretrained model.

    Pictures are paths, bytes, file objects, PIL images or uint8 arrays (height, width, 3) in RGB, or a
    list of them. Loads the model anew each time: for many calls, keep a Detector. Raises UnknownModel,
    WeightsUnavailable and PictureError, and ValueError for a model that classifies.
    """
    return Detector(model)(pictures, threshold)


def draw(picture: Picture, detections: Sequence[Detection]) -> Image.Image:
    """A copy of the picture with the boxes on it, each with its label and score, the best on top."""
    image = Image.fromarray(preprocessing.read_picture(picture))
    canvas = ImageDraw.Draw(image)
    line = max(1, round(LINE * max(image.size)))
    font = ImageFont.load_default(max(SMALLEST_TEXT, TEXT * max(image.size)))
    for detection in reversed(detections):
        x0, y0, x1, y1 = detection.box
        colour = f"hsl({crc32(detection.id.encode()) % 360}, 100%, 35%)"
        canvas.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour, width=line)
        text = f" {detection.name} {detection.score:.0%} "
        _, _, width, height = canvas.textbbox((0, 0), text, font)
        left, top = min(x0, max(0, image.width - width)), max(0, y0 - height)
        canvas.rectangle((left, top, left + width, top + height), fill=colour)
        canvas.text((left, top), text, "white", font)
    return image


def read_cells(output: Any, anchors: Sequence[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """All boxes (number, 4) and their scores by class (number, classes), float32.

    `output` is YOLOv2's, (rows, columns, anchors * (5 + classes)); for each anchor x, y, width, height,
    objectness, classes. A box is (y0, x0, y1, x1) in fractions of what the network saw: its centre is in
    its cell, its sides are multiples of the anchor's. Its scores are objectness times the classes' softmax.
    """
    import keras

    output = keras.ops.cast(output, "float32")
    rows, columns, channels = output.shape
    output = keras.ops.reshape(output, (rows, columns, len(anchors), channels // len(anchors)))
    grid = np.array((columns, rows), np.float32)
    corner = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)[:, :, None]
    centre = (keras.ops.convert_to_numpy(keras.ops.sigmoid(output[..., :2])) + corner) / grid
    size = keras.ops.convert_to_numpy(keras.ops.exp(output[..., 2:4])) * np.float32(anchors) / grid
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=-1)[..., [1, 0, 3, 2]]
    scores = keras.ops.sigmoid(output[..., 4:5]) * keras.ops.softmax(output[..., 5:], axis=-1)
    scores = keras.ops.convert_to_numpy(scores)
    return boxes.astype(np.float32).reshape(-1, 4), scores.reshape(-1, scores.shape[-1])


def best(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> Iterator[tuple[int, float, np.ndarray]]:
    """The class, score and box of those above `threshold` that no better one of their class overlaps."""
    import tensorflow as tf

    candidates = (scores > threshold).any(axis=1)
    if not candidates.any():
        return
    boxes, scores = boxes[candidates], scores[candidates]
    kept = tf.image.combined_non_max_suppression(
        boxes[None, :, None],
        scores[None],
        max_output_size_per_class=len(boxes),
        max_total_size=scores.size,
        iou_threshold=OVERLAP,
        score_threshold=threshold,
        clip_boxes=False,
    )
    count = int(kept.valid_detections[0])
    found = (kept.nmsed_classes, kept.nmsed_scores, kept.nmsed_boxes)
    for number, score, box in zip(*(array[0, :count].numpy() for array in found), strict=True):
        yield int(number), float(score), box


def _in_picture(box: np.ndarray, rows: Axis, columns: Axis) -> tuple[float, float, float, float]:
    y0, x0, y1, x1 = map(float, box)
    return (_place(x0, columns), _place(y0, rows), _place(x1, columns), _place(y1, rows))


def _place(fraction: float, axis: Axis) -> float:
    """A place in the square as pixels of the picture; both borders count as equally wide, as in Darknet."""
    pixels = fraction * axis.crop - (axis.crop - axis.target) / 2
    return min(max(pixels * axis.source / axis.target, 0.0), float(axis.source))
