"""Resampling as the original programs did it: Darknet, OpenCV, TensorFlow 1 and old Pillow, written out here.

Pillow's bilinear resize is another filter, up to 120 levels off. Each function computes only the pixels
inside the crop, so that a 1 x 10000 image costs what a square costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

LINEAR_SCALE = 2048  # OpenCV holds bilinear weights as integers, in 1/2048
BICUBIC_STEPS, BICUBIC_A = 1024, -0.75  # TensorFlow's table of the kernel, and the kernel's parameter
MOST_SUPPORT = 2  # of a filter to each side, in pixels of the target or of the source, the larger: bicubic's
MOST_SUMMED = 2**20  # scales; of an axis that is longer still, the first ones are multiplied

Pixels = npt.NDArray[np.uint8]  # (height, width, 3), RGB
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]  # OpenCV's fixed-point numbers
Indices = npt.NDArray[np.int64]


class Axis(NamedTuple):
    """One direction of a resize: `source` pixels become `target`; `crop` of these are kept, from `start`."""

    source: int
    target: int
    start: int
    crop: int


def opencv_linear(pixels: Pixels, rows: Axis, columns: Axis) -> Pixels:
    """cv2.resize(INTER_LINEAR), uint8 (rows.crop, columns.crop, 3): bilinear, no antialias, edges repeated.

    Pixel centers lie at halves. The integer arithmetic is that of OpenCV's portable code, shift by shift
    (HResizeLinear and VResizeLinear, https://github.com/opencv/opencv/blob/4.x/modules/imgproc/src/resize.cpp):
    every level agrees there; processor-specific code in OpenCV may differ by one.
    """
    top, down = _linear_positions(rows)
    left, right = _linear_positions(columns)
    # OpenCV drops the fraction outside the image for columns only; rows meet the same row twice.
    right = np.where((left < 0) | (left >= columns.source - 1), np.float32(0), right)
    both = np.clip(np.concatenate([top, top + 1]), 0, rows.source - 1)
    lines, places = np.unique(both, return_inverse=True)  # most are needed twice, and blended once
    blended = _blend_columns(pixels[lines], left, right)
    upper, lower = (
        blended[place] * weight[:, None]
        for place, weight in zip(np.split(places, 2), _linear_weights(down), strict=True)
    )
    levels = ((upper >> 16) + (lower >> 16) + 2) >> 2
    return levels.astype(np.uint8).reshape(rows.crop, columns.crop, 3)


def _linear_positions(axis: Axis) -> tuple[Indices, Floats]:
    """For each kept pixel, the source pixel at or before its center (maybe -1), and the fraction beyond."""
    kept = np.arange(axis.start, axis.start + axis.crop)
    centers = ((kept + 0.5) * (axis.source / axis.target) - 0.5).astype(np.float32)  # float32 as in OpenCV
    before = np.floor(centers)
    return before.astype(np.int64), centers - before


def _linear_weights(fraction: Floats) -> tuple[Integers, Integers]:
    one, scale = np.float32(1), np.float32(LINEAR_SCALE)
    return np.rint((one - fraction) * scale).astype(np.int32), np.rint(fraction * scale).astype(np.int32)


def _blend_columns(pixels: Pixels, left: Indices, right: Floats) -> Integers:
    """The rows, resized in their direction, int32 (rows, columns * 3) in 1/128 level."""
    last = pixels.shape[1] - 1
    levels = pixels.reshape(len(pixels), -1)  # NumPy takes single levels several times as fast as colors
    before, after = (
        levels.take((np.clip(column, 0, last)[:, None] * 3 + np.arange(3)).ravel(), axis=1)
        for column in (left, left + 1)
    )
    left_weight, right_weight = (weight.repeat(3) for weight in _linear_weights(right))
    return (before * left_weight + after * right_weight) >> 4


def tf1_bilinear(pixels: Pixels, rows: Axis, columns: Axis) -> Floats:
    """TensorFlow 1's resize_bilinear, float32 (rows.crop, columns.crop, 3): no antialias, not rounded.

    Its legacy grid (align_corners=False, half_pixel_centers=False) puts pixel n of the target at n times the
    scale: corners lie on corners at the upper left, and all the excess is at the lower right.
    """
    top, bottom, down = _legacy_positions(rows)
    left, right, across = _legacy_positions(columns)
    upper, lower = (
        _lerp(pixels[np.ix_(side, left)], pixels[np.ix_(side, right)], across[:, None])
        for side in (top, bottom)
    )
    return _lerp(upper, lower, down[:, None, None])


def _legacy_positions(axis: Axis) -> tuple[Indices, Indices, Floats]:
    """For each kept pixel, the source pixels at or before and after it, and the fraction between, float32."""
    kept = np.arange(axis.start, axis.start + axis.crop).astype(np.float32)
    places = kept * (np.float32(axis.source) / np.float32(axis.target))  # float32 as in TensorFlow
    before = np.floor(places)
    first = np.minimum(before.astype(np.int64), axis.source - 1)
    return first, np.minimum(first + 1, axis.source - 1), places - before


def _lerp(first: Pixels | Floats, second: Pixels | Floats, fraction: Floats) -> Floats:
    start = first.astype(np.float32)
    return cast(Floats, start + (second - start) * fraction)


def tf1_bicubic(pixels: Pixels, rows: Axis, columns: Axis) -> Floats:
    """TensorFlow 1's resize_bicubic, float32 (rows.crop, columns.crop, 3): no antialias, not rounded.

    On the legacy grid of tf1_bilinear, with Keys' kernel of a = -0.75 from a table of 1,024 steps a pixel
    (ResizeBicubic, tensorflow/core/kernels/image/resize_bicubic_op.cc). Levels may lie outside 0 to 255.
    """
    lines, down = _bicubic_taps(rows)
    places, across = _bicubic_taps(columns)
    left, right = int(places.min()), int(places.max()) + 1
    blended = np.zeros((rows.crop, right - left, 3), np.float32)
    for line, weight in zip(lines, down, strict=True):
        blended += pixels[line, left:right] * weight[:, None, None]
    resized = np.zeros((rows.crop, columns.crop, 3), np.float32)
    for place, weight in zip(places, across, strict=True):
        resized += blended[:, place - left] * weight[:, None]
    return resized


def _bicubic_taps(axis: Axis) -> tuple[Indices, Floats]:
    """The four source pixels of each kept pixel, (4, crop), and their weights, float32 (4, crop)."""
    before, _, fraction = _legacy_positions(axis)
    steps = np.rint(fraction * np.float32(BICUBIC_STEPS)).astype(np.int64)
    near, far = _bicubic_table()
    weights = np.stack([far[steps], near[steps], near[BICUBIC_STEPS - steps], far[BICUBIC_STEPS - steps]])
    return np.clip(before + np.arange(-1, 3)[:, None], 0, axis.source - 1), weights


def _bicubic_table() -> tuple[Floats, Floats]:
    """The kernel at distances of 0 to 1 and of 1 to 2 pixels, float32."""
    a, near = BICUBIC_A, np.arange(BICUBIC_STEPS + 1) / BICUBIC_STEPS
    far = near + 1
    return (
        (((a + 2) * near - (a + 3)) * near * near + 1).astype(np.float32),
        (((a * far - 5 * a) * far + 8 * a) * far - 4 * a).astype(np.float32),
    )


def darknet_linear(pixels: Pixels, rows: Axis, columns: Axis) -> Floats:
    """Darknet's resize_image (src/image.c), float32 (rows.crop, columns.crop, 3): bilinear, not rounded.

    The first and last pixels of the target lie on those of the source. Darknet never adds a row below to the
    last one; in about one size of fifty float32 puts that just short of the source's last row, and then it
    comes out black, here as there.
    """
    top, down = _edge_to_edge(rows)
    left, across = _edge_to_edge(columns)
    at_end = _kept(columns) == columns.target - 1
    left, across = np.where(at_end, columns.source - 1, left), np.where(at_end, np.float32(0), across)
    beside = np.minimum(left + 1, columns.source - 1)

    def resized(lines: Indices) -> Floats:
        before, after = pixels[np.ix_(lines, left)], pixels[np.ix_(lines, beside)]
        return cast(Floats, before * (1 - across)[:, None] + after * across[:, None])

    lower_weight = np.where(_kept(rows) == rows.target - 1, np.float32(0), down)[:, None, None]
    lower = resized(np.minimum(top + 1, rows.source - 1))
    return resized(top) * (1 - down)[:, None, None] + lower * lower_weight


def _edge_to_edge(axis: Axis) -> tuple[Indices, Floats]:
    """For each kept pixel, the source pixel at or before it and the fraction beyond, in Darknet's float32."""
    scale = np.float32(axis.source - 1) / np.float32(max(axis.target - 1, 1))
    places = _kept(axis).astype(np.float32) * scale
    before = np.minimum(places.astype(np.int64), axis.source - 1)
    return before, places - before.astype(np.float32)


def _kept(axis: Axis) -> Indices:
    return np.arange(axis.start, axis.start + axis.crop)


def pillow_bicubic(pixels: Pixels, rows: Axis, columns: Axis) -> Pixels:
    """Pillow's antialiased bicubic resize, uint8 (rows.crop, columns.crop, 3).

    Pillow holds the crop's edges in float32, so a level may differ by one from resizing all before cropping.
    """
    return _pillow(pixels, rows, columns, Image.Resampling.BICUBIC)


def pillow_bilinear(pixels: Pixels, rows: Axis, columns: Axis) -> Pixels:
    """Pillow's antialiased bilinear resize, uint8 (rows.crop, columns.crop, 3), as torchvision's."""
    return _pillow(pixels, rows, columns, Image.Resampling.BILINEAR)


def pillow_nearest(pixels: Pixels, rows: Axis, columns: Axis) -> Pixels:
    """Pillow's nearest pixel, uint8 (rows.crop, columns.crop, 3), as keras.utils.load_img resizes."""
    return _pillow(pixels, rows, columns, Image.Resampling.NEAREST)


def pillow3_nearest(pixels: Pixels, rows: Axis, columns: Axis) -> Pixels:
    """Pillow's nearest pixel before version 3.4, uint8 (rows.crop, columns.crop, 3).

    Pixel n of the target shows what lies at n times the scale, not at its center. The program adds the scale
    up, in float64, so that a position which should be whole may end just below and show the pixel before
    (ImagingScaleAffine, https://github.com/python-pillow/Pillow/blob/3.3.0/libImaging/Geometry.c).
    """
    return pixels[np.ix_(_summed_positions(rows), _summed_positions(columns))]


def _summed_positions(axis: Axis) -> Indices:
    """For each kept pixel, the source pixel at the sum of as many scales."""
    scale, end = axis.source / axis.target, axis.start + axis.crop
    first = min(axis.start, max(end - MOST_SUMMED, 0))
    places = np.full(end - first, scale)
    places[0] = first * scale
    np.add.accumulate(places, out=places)
    return np.minimum(places[axis.start - first :].astype(np.int64), axis.source - 1)


def _pillow(pixels: Pixels, rows: Axis, columns: Axis, interpolation: Image.Resampling) -> Pixels:
    """Columns before rows, as every Pillow before 13 does it: newer ones choose, by the shape of the image.

    Between the two it rounds and clips, so that on noise the order makes up to 22 levels of difference.
    """
    top, bottom = _source_span(rows)
    left, right = _source_span(columns)
    beyond = MOST_SUPPORT * max(rows.source / rows.target, 1) + 1  # source rows that a target row sees
    first, last = max(math.floor(top - beyond), 0), min(math.ceil(bottom + beyond), rows.source)
    image = Image.fromarray(pixels[first:last])
    narrow = image.resize((columns.crop, last - first), interpolation, (left, 0, right, last - first))
    size = (columns.crop, rows.crop)
    return np.asarray(narrow.resize(size, interpolation, (0, top - first, columns.crop, bottom - first)))


def _source_span(axis: Axis) -> tuple[float, float]:
    first, last = axis.start, axis.start + axis.crop
    return first * axis.source / axis.target, last * axis.source / axis.target


INTERPOLATIONS: dict[str, Callable[[Pixels, Axis, Axis], Pixels | Floats]] = {
    "darknet_linear": darknet_linear,
    "opencv_linear": opencv_linear,
    "pillow3_nearest": pillow3_nearest,
    "pillow_bicubic": pillow_bicubic,
    "pillow_bilinear": pillow_bilinear,
    "pillow_nearest": pillow_nearest,
    "tf1_bicubic": tf1_bicubic,
    "tf1_bilinear": tf1_bilinear,
}
