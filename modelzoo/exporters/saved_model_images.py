"""Encoded images -> a network's input, in TensorFlow's operators, as modelzoo.images does it in NumPy.

JPEG, PNG, GIF (the first frame) and BMP are read. A JPEG's EXIF orientation is applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow

from modelzoo.exporters.saved_model_resampling import INTERPOLATIONS, Axis, Tensor, ratio

tf: Any = tensorflow

HEAD = 1 << 17  # bytes of a JPEG in which its EXIF segment begins, if it has one: segments have 64 KiB
EXIF = (0xFF, 0xE1, None, None, *b"Exif\0\0")  # None: the segment's length
ENTRIES = 512  # of an EXIF directory that are looked at
ORIENTATION = 0x0112  # the tag's number
MIRRORED, UPSIDE_DOWN, TURNED = (2, 3, 6, 7), (3, 4, 7, 8), (5, 6, 7, 8)  # orientations


def network_input(encoded: Tensor, facts: Mapping[str, Any]) -> Tensor:
    """One image's bytes -> float32 (crop_size, crop_size, 3); `facts` are a Preprocessing's fields."""
    pixels = _middle(decoded(encoded), facts)
    crop = facts["crop_size"]
    levels = _square(pixels, facts)
    scaled = ratio(tf.cast(levels, tf.float64), tf.constant(255 / facts["max_value"], tf.float64))
    mean, std = (tf.constant(facts[name], tf.float64) for name in ("mean", "std"))
    values = tf.ensure_shape(tf.cast(ratio(scaled - mean, std), tf.float32), (crop, crop, 3))
    return values[..., ::-1] if facts["channels"] == "BGR" else values


def decoded(encoded: Tensor) -> Tensor:
    """The pixels as a person sees them, uint8 (height, width, 3)."""
    pixels = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: _upright(
            tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"), orientation(encoded)
        ),
        lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(pixels, (None, None, 3))


def orientation(encoded: Tensor) -> Tensor:
    """What a JPEG's EXIF says, int64 from 1 to 8; 1 where it says nothing."""
    head = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, 0, HEAD), tf.uint8), tf.int64)
    size = tf.size(head, tf.int64)
    last = tf.maximum(size - len(EXIF), 0)
    matches = [head[n : last + n] == byte for n, byte in enumerate(EXIF) if byte is not None]
    places = tf.where(tf.reduce_all(tf.stack(matches), axis=0))[:, 0]
    base = tf.concat([places, [0]], 0)[0] + len(EXIF)

    def byte(place: Tensor) -> Tensor:
        return tf.gather(head, tf.clip_by_value(place, 0, size - 1))

    def number(place: Tensor, count: int) -> Tensor:
        parts = [byte(place + n) for n in range(count)]
        big = sum(part * 256 ** (count - 1 - n) for n, part in enumerate(parts))
        little = sum(part * 256**n for n, part in enumerate(parts))
        return tf.where(byte(base) == ord("I"), little, big)

    directory = base + number(base + 4, 4)
    entries = directory + 2 + 12 * tf.range(tf.minimum(number(directory, 2), ENTRIES))
    told = tf.boolean_mask(number(entries + 8, 2), number(entries, 2) == ORIENTATION)
    value = tf.concat([told, [1]], 0)[0]
    known = (tf.size(places) > 0) & (value >= 1) & (value <= 8)
    return tf.where(known, value, tf.ones_like(value))


def _upright(pixels: Tensor, orientation: Tensor) -> Tensor:
    def among(orientations: tuple[int, ...]) -> Tensor:
        return tf.reduce_any(orientation == tf.constant(orientations, tf.int64))

    pixels = tf.cond(among(TURNED), lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    turned = tf.cond(among(MIRRORED), lambda: tf.reverse(pixels, (1,)), lambda: pixels)
    return tf.cond(among(UPSIDE_DOWN), lambda: tf.reverse(turned, (0,)), lambda: turned)


def _middle(pixels: Tensor, facts: Mapping[str, Any]) -> Tensor:
    """The rows and columns that are kept before the resize."""
    height, width = _sides(pixels)
    if (padding := facts["crop_padding"]) is not None:
        fraction = facts["crop_size"] / (facts["crop_size"] + padding)
        shorter = tf.cast(tf.minimum(height, width), tf.float32)
        side = tf.maximum(tf.cast(tf.constant(fraction, tf.float32) * shorter, tf.int64), 1)
        top, left = ((whole - side + 1) // 2 for whole in (height, width))
        return pixels[top : top + side, left : left + side]
    if facts["central_fraction"] == 1:
        return pixels
    cuts = []
    for whole in (height, width):
        exact = tf.cast(whole, tf.float64)
        cuts.append(tf.cast((exact - exact * facts["central_fraction"]) / 2, tf.int64))
    return pixels[cuts[0] : height - cuts[0], cuts[1] : width - cuts[1]]


def _sides(pixels: Tensor) -> tuple[Tensor, Tensor]:
    shape = tf.shape(pixels, tf.int64)
    return shape[0], shape[1]


def _square(pixels: Tensor, facts: Mapping[str, Any]) -> Tensor:
    """The central square, or with a pad_value the whole image in a square; levels 0 to 255."""
    resize = INTERPOLATIONS[facts["interpolation"]]
    sides = _sides(pixels)
    if facts["pad_value"] is None:
        rows, columns = (_axis(facts, side, tf.minimum(*sides)) for side in sides)
        return resize(pixels, rows, columns)
    crop = tf.constant(facts["crop_size"], tf.int64)
    targets = [tf.maximum(side * crop // tf.maximum(*sides), 1) for side in sides]
    axes = [Axis(side, target, 0 * target, target) for side, target in zip(sides, targets, strict=True)]
    before = [(crop - target) // 2 for target in targets]
    margins = [[start, crop - target - start] for start, target in zip(before, targets, strict=True)]
    levels = tf.cast(resize(pixels, *axes), tf.float32)
    return tf.pad(levels, [*margins, [0, 0]], constant_values=facts["pad_value"])


def _axis(facts: Mapping[str, Any], source: Tensor, shorter: Tensor) -> Axis:
    crop = tf.constant(facts["crop_size"], tf.int64)
    target = _resized(facts, source, shorter)
    before, half = (target - crop) // 2, (target - crop) % 2
    if facts["crop_start"] == "even":
        before += half * (before % 2)
    return Axis(source, target, before, crop)


def _resized(facts: Mapping[str, Any], source: Tensor, shorter: Tensor) -> Tensor:
    """What the resize makes of a side of `source` pixels."""
    size = facts["resize_size"]
    if size is None:
        return tf.constant(facts["crop_size"], tf.int64)
    if facts["longer_side"] == "rounded":
        scale = ratio(tf.constant(size, tf.float32), tf.cast(shorter, tf.float32))
        return tf.cast(tf.round(tf.cast(source, tf.float32) * scale), tf.int64)
    return source * size // shorter
