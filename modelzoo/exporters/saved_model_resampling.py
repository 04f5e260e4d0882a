"""Resampling in TensorFlow's operators, as modelzoo.images.resampling does it in NumPy; TensorFlow only.

The arithmetic is that of NumPy's functions step by step, in the same dtypes, for images whose size is known
only when they come. A level may differ by one where a sum is taken in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow

tf: Any = tensorflow

Tensor = Any
Taps = list[tuple[Tensor, Tensor]]  # for each pixel that is kept, one of its source pixels and its weight
LINEAR_SCALE = 2048  # OpenCV holds bilinear weights as integers, in 1/2048
BICUBIC_STEPS, BICUBIC_A = 1024, -0.75  # TensorFlow's table of the kernel, and the kernel's parameter
PILLOW_BITS = 22  # of Pillow's weights, after the point
PILLOW_A = -0.5  # of its bicubic kernel


class Axis(NamedTuple):
    """One direction of a resize: `source` pixels become `target`; `crop` of these are kept, from `start`."""

    source: Tensor
    target: Tensor
    start: Tensor
    crop: Tensor

    @property
    def kept(self) -> Tensor:
        """The numbers of the pixels that are kept, int64."""
        return tf.range(self.start, self.start + self.crop)


def _f32(values: Tensor) -> Tensor:
    return tf.cast(values, tf.float32)


def _f64(values: Tensor) -> Tensor:
    return tf.cast(values, tf.float64)


def _whole(values: Tensor) -> Tensor:
    return tf.cast(values, tf.int64)


def ratio(dividend: Tensor, divisor: Tensor) -> Tensor:
    """The quotient, rounded once: of division by a constant TensorFlow makes a product with 1 / constant."""
    return tf.math.divide_no_nan(dividend, divisor)


def _along_rows(weights: Tensor) -> Tensor:
    return weights[:, None, None]


def opencv_linear(pixels: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """cv2.resize(INTER_LINEAR), int32: integers, shift by shift."""
    top, down = _linear_positions(rows)
    left, right = _linear_positions(columns)
    right = tf.where((left < 0) | (left >= columns.source - 1), 0.0, right)  # OpenCV does so for columns
    across, total = _linear_weights(right), tf.constant(2)
    for line, weight in zip((top, top + 1), _linear_weights(down), strict=True):
        lines = tf.cast(tf.gather(pixels, tf.clip_by_value(line, 0, rows.source - 1)), tf.int32)
        before, after = (
            tf.gather(lines, tf.clip_by_value(place, 0, columns.source - 1), axis=1) * share[:, None]
            for place, share in zip((left, left + 1), across, strict=True)
        )
        blended = tf.bitwise.right_shift(before + after, 4)
        total += tf.bitwise.right_shift(blended * _along_rows(weight), 16)
    return tf.bitwise.right_shift(total, 2)


def _linear_positions(axis: Axis) -> tuple[Tensor, Tensor]:
    scale = ratio(_f64(axis.source), _f64(axis.target))
    centers = _f32((_f64(axis.kept) + 0.5) * scale - 0.5)
    before = tf.floor(centers)
    return _whole(before), centers - before


def _linear_weights(fraction: Tensor) -> tuple[Tensor, Tensor]:
    before, after = (tf.round(share * LINEAR_SCALE) for share in (1 - fraction, fraction))
    return tf.cast(before, tf.int32), tf.cast(after, tf.int32)


def _weighted(pixels: Tensor, rows: Taps, columns: Taps) -> Tensor:
    """The sums of pixels by weights, float32."""
    blended = tf.add_n([_f32(tf.gather(pixels, line)) * _along_rows(weight) for line, weight in rows])
    return tf.add_n([tf.gather(blended, place, axis=1) * weight[:, None] for place, weight in columns])


def tf1_bilinear(pixels: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """TensorFlow 1's resize_bilinear on its legacy grid, float32."""
    return _weighted(pixels, _legacy_bilinear(rows), _legacy_bilinear(columns))


def _legacy_bilinear(axis: Axis) -> Taps:
    before, fraction = _legacy_positions(axis)
    return [(before, 1 - fraction), (tf.minimum(before + 1, axis.source - 1), fraction)]


def _legacy_positions(axis: Axis) -> tuple[Tensor, Tensor]:
    places = _f32(axis.kept) * ratio(_f32(axis.source), _f32(axis.target))
    before = tf.floor(places)
    return tf.minimum(_whole(before), axis.source - 1), places - before


def tf1_bicubic(pixels: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """TensorFlow 1's resize_bicubic on its legacy grid, float32."""
    return _weighted(pixels, _legacy_bicubic(rows), _legacy_bicubic(columns))


def _legacy_bicubic(axis: Axis) -> Taps:
    before, fraction = _legacy_positions(axis)
    step = tf.round(fraction * BICUBIC_STEPS) / BICUBIC_STEPS
    weights = (_far(1 + step), _near(step), _near(1 - step), _far(2 - step))
    places = (tf.clip_by_value(before + shift, 0, axis.source - 1) for shift in (-1, 0, 1, 2))
    return list(zip(places, weights, strict=True))


def _near(distance: Tensor) -> Tensor:
    a, x = BICUBIC_A, _f64(distance)
    return _f32(((a + 2) * x - (a + 3)) * x * x + 1)


def _far(distance: Tensor) -> Tensor:
    a, x = BICUBIC_A, _f64(distance)
    return _f32(((a * x - 5 * a) * x + 8 * a) * x - 4 * a)


def darknet_linear(pixels: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Darknet's resize_image, float32; it adds no row below to the last one."""
    top, down = _edge_to_edge(rows)
    left, across = _edge_to_edge(columns)
    at_end = columns.kept == columns.target - 1
    left, across = tf.where(at_end, columns.source - 1, left), tf.where(at_end, 0.0, across)
    lower = tf.where(rows.kept == rows.target - 1, 0.0, down)
    return _weighted(
        pixels,
        [(top, 1 - down), (tf.minimum(top + 1, rows.source - 1), lower)],
        [(left, 1 - across), (tf.minimum(left + 1, columns.source - 1), across)],
    )


def _edge_to_edge(axis: Axis) -> tuple[Tensor, Tensor]:
    places = _f32(axis.kept) * ratio(_f32(axis.source - 1), _f32(tf.maximum(axis.target - 1, 1)))
    before = tf.minimum(_whole(places), axis.source - 1)
    return before, places - _f32(before)


def pillow_bilinear(pixels: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Pillow's antialiased bilinear resize, int32."""
    return _antialiased(pixels, rows, columns, 1, lambda x: tf.maximum(1 - x, 0))


def pillow_bicubic(pixels: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Pillow's antialiased bicubic resize, int32."""
    return _antialiased(pixels, rows, columns, 2, _bicubic)


def _bicubic(x: Tensor) -> Tensor:
    """Keys' kernel at distances, float64."""
    a = PILLOW_A
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
    return tf.where(x < 1, near, tf.where(x < 2, far, tf.zeros_like(x)))


def _antialiased(
    pixels: Tensor, rows: Axis, columns: Axis, reach: int, kernel: Callable[[Tensor], Tensor]
) -> Tensor:
    """Columns first, then rows; both are rounded to levels (Resample.c of Pillow)."""
    return _reduced(_reduced(pixels, columns, 1, reach, kernel), rows, 0, reach, kernel)


def _reduced(
    pixels: Tensor, axis: Axis, along: int, reach: int, kernel: Callable[[Tensor], Tensor]
) -> Tensor:
    """The pixels resized along an axis, int32; one source pixel of each that is kept at a time."""
    first, weights = _pillow_taps(axis, reach, kernel)
    last, shape = axis.source - 1, (1, -1, 1) if along else (-1, 1, 1)

    def add(number: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        places = tf.minimum(first + _whole(number), last)
        levels = tf.cast(tf.gather(pixels, places, axis=along), tf.int32)
        return number + 1, total + levels * tf.reshape(weights[number], shape)

    half = tf.constant(1 << (PILLOW_BITS - 1))
    start = tf.zeros_like(tf.gather(pixels, first, axis=along), tf.int32) + half
    count = tf.shape(weights)[0]
    _, total = tf.while_loop(
        lambda number, total: number < count,
        add,
        (tf.constant(0), start),
        shape_invariants=(tf.TensorShape(()), tf.TensorShape((None, None, 3))),
    )
    return tf.clip_by_value(tf.bitwise.right_shift(total, PILLOW_BITS), 0, 255)


def _pillow_taps(axis: Axis, reach: int, kernel: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """For each kept pixel the first source pixel that counts, int64, and weights, int32 (taps, crop)."""
    begin, end = _span(axis)
    scale = ratio(_f64(end - begin), _f64(axis.crop))
    larger = tf.maximum(scale, 1)
    support = reach * larger
    centers = _f64(begin) + (_f64(tf.range(axis.crop)) + 0.5) * scale
    first = tf.maximum(_whole(centers - support + 0.5), 0)
    beyond = tf.minimum(_whole(centers + support + 0.5), axis.source)
    places = first + tf.range(2 * _whole(tf.math.ceil(support)) + 1)[:, None]
    found = kernel(tf.abs((_f64(places) - centers + 0.5) / larger))
    weights = tf.where(places < beyond, found, tf.zeros_like(found))
    weights /= tf.reduce_sum(weights, axis=0)
    return first, tf.cast(tf.sign(weights) * tf.floor(tf.abs(weights) * (1 << PILLOW_BITS) + 0.5), tf.int32)


def _span(axis: Axis) -> tuple[Tensor, Tensor]:
    """Where the crop begins and ends in the source, float32 as Pillow has it."""
    begin, end = (
        ratio(_f64(place * axis.source), _f64(axis.target)) for place in (axis.start, axis.start + axis.crop)
    )
    return _f32(begin), _f32(end)


def pillow_nearest(pixels: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Pillow's nearest pixel, uint8; it adds the scale up."""
    return _nearest(pixels, _centers(rows), _centers(columns))


def _centers(axis: Axis) -> Tensor:
    begin, end = _span(axis)
    scale = ratio(_f64(end - begin), _f64(axis.crop))
    steps = tf.fill(tf.reshape(tf.cast(axis.crop - 1, tf.int32), (1,)), scale)
    places = tf.cumsum(tf.concat([tf.reshape(_f64(begin) + scale * 0.5, (1,)), steps], 0))
    return tf.minimum(_whole(places), axis.source - 1)


def pillow3_nearest(pixels: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Pillow's nearest pixel before version 3.4, uint8; it adds the scale up, from the corner."""
    return _nearest(pixels, _corners(rows), _corners(columns))


def _corners(axis: Axis) -> Tensor:
    scale = ratio(_f64(axis.source), _f64(axis.target))
    count = tf.reshape(tf.cast(axis.start + axis.crop, tf.int32), (1,))
    places = tf.cumsum(tf.fill(count, scale), exclusive=True)
    return tf.minimum(_whole(places[axis.start :]), axis.source - 1)


def _nearest(pixels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return tf.gather(tf.gather(pixels, rows), columns, axis=1)


INTERPOLATIONS: dict[str, Callable[[Tensor, Axis, Axis], Tensor]] = {
    "darknet_linear": darknet_linear,
    "opencv_linear": opencv_linear,
    "pillow3_nearest": pillow3_nearest,
    "pillow_bicubic": pillow_bicubic,
    "pillow_bilinear": pillow_bilinear,
    "pillow_nearest": pillow_nearest,
    "tf1_bicubic": tf1_bicubic,
    "tf1_bilinear": tf1_bilinear,
}
