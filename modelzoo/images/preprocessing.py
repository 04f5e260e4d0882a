"""Images -> the array that a network was trained on.

An entry's preprocessing holds every fact that decides a pixel, so that one function serves all networks.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import numpy.typing as npt

from modelzoo import registry
from modelzoo.errors import ImageError
from modelzoo.images.reading import ImageInput, decoded, image_name, name_images, read_named
from modelzoo.images.resampling import INTERPOLATIONS, Axis, Floats, Pixels
from modelzoo.registry import Preprocessing


def axes(preprocessing: Preprocessing, height: int, width: int) -> tuple[Axis, Axis]:
    """The rows and the columns of the preprocessing's resize, for an image of this size in pixels.

    With a pad_value the crop begins before the resized image, so that `start` is negative.
    """
    if preprocessing.pad_value is not None:
        longer = max(height, width)
        return _fitted(preprocessing, height, longer), _fitted(preprocessing, width, longer)
    shorter = min(height, width)
    return _axis(preprocessing, height, shorter), _axis(preprocessing, width, shorter)


def _axis(preprocessing: Preprocessing, source: int, shorter: int) -> Axis:
    target = _resized(preprocessing, source, shorter)
    before, half = divmod(target - preprocessing.crop_size, 2)
    if half and preprocessing.crop_start == "even":
        before += before % 2
    return Axis(source, target, before, preprocessing.crop_size)


def _fitted(preprocessing: Preprocessing, source: int, longer: int) -> Axis:
    """As in Darknet's letterbox_image; but of the shorter side one pixel stays, where that leaves none."""
    target = max(source * preprocessing.crop_size // longer, 1)
    return Axis(source, target, -((preprocessing.crop_size - target) // 2), preprocessing.crop_size)


def _resized(preprocessing: Preprocessing, source: int, shorter: int) -> int:
    """What the resize makes of a side of `source` pixels in an image whose shorter side is `shorter`."""
    size = preprocessing.resize_size
    if size is None:
        return preprocessing.crop_size
    if preprocessing.longer_side == "rounded":  # in slim's float32, which decides near a half
        return int(np.rint(np.float32(source) * (np.float32(size) / np.float32(shorter))))
    # In whole numbers, and still what Tencent's demo does with floats: short of 2^45 pixels no quotient
    # rounds across an integer, and a size's fraction never changes the whole part of half of the excess.
    return source * size // shorter


def preprocess(
    images: ImageInput | Sequence[ImageInput], preprocessing: Preprocessing | str | os.PathLike[str]
) -> Floats:
    """The network's input, float32 (batch, crop_size, crop_size, 3): (pixels * max_value / 255 - mean) / std.

    images: whatever read_image takes (a batch of one), or a list or tuple of such, or a uint8 array
    (batch, height, width, 3), RGB.
    preprocessing: a model's name or folder, or what `modelzoo.info(name).preprocessing` gives; at another
    size `dataclasses.replace(preprocessing, crop_size=size)`.

    Raises UnknownModel; ImageError for no images at all, and whatever read_image raises.
    """
    if isinstance(preprocessing, str | os.PathLike):
        preprocessing = registry.info(preprocessing).preprocessing
    named = name_images(images)
    batch = np.empty((len(named), preprocessing.crop_size, preprocessing.crop_size, 3), np.float32)
    for row, (image, name) in zip(batch, named, strict=True):
        with decoded(image, name) as pixels:
            row[:] = _network_values(resize_and_crop(pixels, preprocessing), preprocessing)
    return batch


def prepare(
    image: ImageInput,
    preprocessing: Preprocessing,
    name: str | None = None,
    *,
    fast_decode: bool = False,
    ten: bool = False,
) -> tuple[Floats, tuple[int, int]]:
    """One image for the network, as read_for and then preprocess_crops give it, and its height and width.

    Large images that other threads prepare wait until this one's memory is free.
    """
    least_side = _least_side(preprocessing) if fast_decode else None
    with decoded(image, image_name(image) if name is None else name, least_side) as pixels:
        return preprocess_crops(pixels, preprocessing, ten=ten), (pixels.shape[0], pixels.shape[1])


def read_for(
    image: ImageInput, preprocessing: Preprocessing, name: str | None = None, fast_decode: bool = False
) -> Pixels:
    """The image's pixels, uint8 (height, width, 3), RGB; `name` is what to call it in errors.

    `fast_decode` decodes JPEGs at reduced resolution (by eighths, as far as the resize allows): faster,
    slightly different pixels. Raises ImageError as read_image does.
    """
    least_side = _least_side(preprocessing) if fast_decode else None
    return read_named(image, image_name(image) if name is None else name, least_side)


def preprocess_crops(pixels: Pixels, preprocessing: Preprocessing, *, ten: bool = False) -> Floats:
    """An image's pixels for the network, float32 (1, crop_size, crop_size, 3), or (10, ...) for ten crops.

    The ten are the upper left, upper right, lower left and lower right corner and the center of the resized
    image, then the five mirrored. Where the preprocessing takes the center before it resizes, the whole image
    is resized by as much. Raises ImageError for `ten` where nothing is cropped.
    """
    squares = _ten_crops(pixels, preprocessing) if ten else [resize_and_crop(pixels, preprocessing)]
    return np.stack([_network_values(square, preprocessing) for square in squares])


def _least_side(preprocessing: Preprocessing) -> int:
    """What the shorter side of an image must keep, so that the preprocessing's resize never enlarges it."""
    return math.ceil((preprocessing.resize_size or preprocessing.crop_size) / _fraction(preprocessing))


def _fraction(preprocessing: Preprocessing) -> float:
    """How much of the image's shorter side is kept before the resize."""
    if preprocessing.crop_padding is None:
        return preprocessing.central_fraction
    return preprocessing.crop_size / (preprocessing.crop_size + preprocessing.crop_padding)


def check_ten_crops(preprocessing: Preprocessing) -> None:
    """Raises ImageError if the preprocessing has no corners that the center leaves out."""
    fitted = preprocessing.pad_value is not None
    stretched = preprocessing.resize_size is None and _fraction(preprocessing) == 1
    if fitted or stretched:
        size = preprocessing.crop_size
        raise ImageError(
            "Ten crops need a network that crops; this one sees the whole image in "
            f"{size} x {size} pixels: ask for one crop."
        )


def _ten_crops(pixels: Pixels, preprocessing: Preprocessing) -> list[Pixels | Floats]:
    check_ten_crops(preprocessing)
    height, width = pixels.shape[:2]
    if preprocessing.crop_padding is not None:
        whole = preprocessing.crop_size + preprocessing.crop_padding
        middle = axes(replace(preprocessing, crop_padding=None, resize_size=whole), height, width)
    elif preprocessing.resize_size is None:
        crop = preprocessing.crop_size
        target = round(crop / preprocessing.central_fraction)
        margin = (target - crop) // 2
        middle = Axis(height, target, margin, crop), Axis(width, target, margin, crop)
    else:
        middle = axes(preprocessing, height, width)
    (top, bottom), (left, right) = (
        [axis._replace(start=start) for start in (0, axis.target - axis.crop)] for axis in middle
    )
    places = ((top, left), (top, right), (bottom, left), (bottom, right), middle)
    squares = [INTERPOLATIONS[preprocessing.interpolation](pixels, rows, columns) for rows, columns in places]
    return squares + [square[:, ::-1] for square in squares]


def resize_and_crop(pixels: Pixels, preprocessing: Preprocessing) -> Pixels | Floats:
    """The central square of a uint8 array (height, width, 3), (crop_size, crop_size, 3), levels 0 to 255.

    uint8, or float32 where the original program did not round.
    """
    middle = pixels[_kept(preprocessing, *pixels.shape[:2])]
    resize = INTERPOLATIONS[preprocessing.interpolation]
    rows, columns = axes(preprocessing, *middle.shape[:2])
    if preprocessing.pad_value is None:
        return resize(middle, rows, columns)
    inside = tuple(slice(-axis.start, axis.target - axis.start) for axis in (rows, columns))
    whole = (axis._replace(start=0, crop=axis.target) for axis in (rows, columns))
    size = preprocessing.crop_size
    square = np.full((size, size, 3), preprocessing.pad_value, np.float32)
    square[inside] = resize(middle, *whole)
    return square


def _kept(preprocessing: Preprocessing, height: int, width: int) -> tuple[slice, slice]:
    """The rows and columns that are kept before the resize."""
    if preprocessing.crop_padding is not None:
        return central_square(height, width, _fraction(preprocessing))
    fraction = preprocessing.central_fraction
    return central_crop(height, fraction), central_crop(width, fraction)


def central_square(height: int, width: int, fraction: float) -> tuple[slice, slice]:
    """A fraction of the shorter side on both, as EfficientNet's program keeps it: at least one pixel.

    The side is cut in float32, and of an odd pixel the greater half lies before the square.
    """
    side = max(int(np.float32(fraction) * np.float32(min(height, width))), 1)
    top, left = ((whole - side + 1) // 2 for whole in (height, width))
    return slice(top, top + side), slice(left, left + side)


def central_crop(side: int, fraction: float) -> slice:
    """The part of a side that tf.image.central_crop keeps: the cut is truncated, and alike at both ends."""
    start = int((side - side * fraction) / 2)
    return slice(start, side - start)


def _network_values(pixels: Pixels | Floats, preprocessing: Preprocessing) -> Floats:
    """Levels in the network's scale and order of channels, float32."""
    if pixels.dtype == np.uint8:  # only 256 levels, so each is computed once
        levels = _scaled(np.arange(256)[:, None], preprocessing)
        indices = cast(Pixels, pixels)
        values = np.stack([levels[:, c].take(indices[..., c]) for c in range(3)], axis=-1)
    else:
        values = _scaled(pixels, preprocessing)
    return values[..., ::-1] if preprocessing.channels == "BGR" else values


def _scaled(levels: npt.NDArray[np.generic], preprocessing: Preprocessing) -> Floats:
    """(levels * max_value / 255 - mean) / std, float32; rounded once, at the end."""
    scaled = levels.astype(np.float64) / (255 / preprocessing.max_value)
    return ((scaled - np.asarray(preprocessing.mean)) / np.asarray(preprocessing.std)).astype(np.float32)
