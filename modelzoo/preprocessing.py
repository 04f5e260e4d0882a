"""Pictures become the array that a network was trained on.

The registry's recipe holds every fact that decides a pixel, so that one function serves all networks.
Darknet's, OpenCV's and TensorFlow 1's kernels are written out here because the originals used them; Pillow's
resize is another filter, up to 120 levels off.
"""

from __future__ import annotations

import io
import math
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from modelzoo import registry
from modelzoo.errors import PictureError
from modelzoo.registry import Pictures

MAX_PIXELS = 178_956_970  # of one picture: half a gigabyte as RGB, and where Pillow itself refuses by default
EXIF_ORIENTATION = 0x0112  # the tag's number
# Pillow's names of what photographs come in. It knows forty formats more, of which it would hand some to
# other programs to run, and take all the memory that the headers of others claim.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO", "TGA")
LINEAR_SCALE = 2048  # OpenCV holds bilinear weights as integers, in 1/2048

Picture = str | os.PathLike | bytes | BinaryIO | Image.Image | np.ndarray
WANTED = "a path, the bytes of a file, a binary file object, a PIL image or a uint8 array (height, width, 3)"

# Pillow's warning about large pictures is silenced for the whole process or not at all: one thread at a time.
_opening = threading.Lock()


class Axis(NamedTuple):
    """One direction of a resize: `source` pixels become `target`; `crop` of these are kept, from `start`."""

    source: int
    target: int
    start: int
    crop: int


def axes(recipe: Pictures, height: int, width: int) -> tuple[Axis, Axis]:
    """The rows and the columns of the recipe's resize, for a picture of this size in pixels.

    With a border the crop begins before the resized picture, so that `start` is negative.
    """
    if recipe.border is not None:
        longer = max(height, width)
        return tuple(_fitted(recipe, side, longer) for side in (height, width))
    shorter = min(height, width)
    return tuple(_axis(recipe, side, shorter) for side in (height, width))


def _axis(recipe: Pictures, source: int, shorter: int) -> Axis:
    target = _resized(recipe, source, shorter)
    return Axis(source, target, (target - recipe.crop) // 2, recipe.crop)


def _fitted(recipe: Pictures, source: int, longer: int) -> Axis:
    """As in Darknet's letterbox_image; but of the shorter side one pixel stays, where that leaves none."""
    target = max(source * recipe.crop // longer, 1)
    return Axis(source, target, -((recipe.crop - target) // 2), recipe.crop)


def _resized(recipe: Pictures, source: int, shorter: int) -> int:
    """What the resize makes of a side of `source` pixels in a picture whose shorter side is `shorter`."""
    if recipe.shorter_side is None:
        return recipe.crop
    if recipe.longer_side == "rounded":  # slim's float32, so that a size near a half falls on the same side
        return int(np.rint(np.float32(source) * (np.float32(recipe.shorter_side) / np.float32(shorter))))
    # In whole numbers, and still what Tencent's demo does with floats: short of 2^45 pixels no quotient
    # rounds across an integer, and a size's fraction never changes the whole part of half of the excess.
    return source * recipe.shorter_side // shorter


def preprocess(pictures: Picture | Sequence[Picture], recipe: Pictures | str) -> np.ndarray:
    """The network's input, float32 (batch, crop, crop, 3): (pixels * white / 255 - mean) / std.

    pictures: whatever read_picture takes (a batch of one), or a list or tuple of such, or a uint8 array
    (batch, height, width, 3), RGB.
    recipe: a model's name, or a recipe, `modelzoo.info(name).pictures`; at another size
    `dataclasses.replace(recipe, crop=size)`.

    Raises UnknownModel; PictureError for no pictures at all, and whatever read_picture raises.
    """
    if isinstance(recipe, str):
        recipe = registry.info(recipe).pictures
    named = name_pictures(pictures)
    batch = np.empty((len(named), recipe.crop, recipe.crop, 3), np.float32)
    for row, (picture, name) in zip(batch, named, strict=True):
        row[:] = _network_values(resize_and_crop(_read(picture, name), recipe), recipe)
    return batch


def preprocess_crops(
    picture: Picture,
    recipe: Pictures,
    *,
    name: str = "The picture",
    fast_decode: bool = False,
    ten: bool = False,
) -> np.ndarray:
    """One picture for the network, float32 (1, crop, crop, 3), or its ten crops, (10, crop, crop, 3).

    The ten are the upper left, upper right, lower left and lower right corner and the centre of the resized
    picture, then the five mirrored. Where the recipe takes the centre before it resizes, the whole picture is
    resized by as much. `fast_decode` lets JPEG's decoder leave out what the resize would lose (by eighths),
    which changes pixels. Raises PictureError as read_picture does, and for `ten` where nothing is cropped.
    """
    pixels = _read(picture, name, _least_side(recipe) if fast_decode else None)
    squares = _ten_crops(pixels, recipe) if ten else [resize_and_crop(pixels, recipe)]
    return np.stack([_network_values(square, recipe) for square in squares])


def _least_side(recipe: Pictures) -> int:
    """What the shorter side of a picture must keep, so that the recipe's resize never enlarges it."""
    return math.ceil((recipe.shorter_side or recipe.crop) / recipe.central_fraction)


def check_ten_crops(recipe: Pictures) -> None:
    """Raises PictureError if the recipe has no corners that the centre leaves out."""
    if recipe.border is not None or (recipe.shorter_side is None and recipe.central_fraction == 1):
        raise PictureError(
            f"Ten crops need a network that crops; this one sees the whole picture in {recipe.crop} x "
            f"{recipe.crop} pixels: ask for one crop."
        )


def _ten_crops(pixels: np.ndarray, recipe: Pictures) -> list[np.ndarray]:
    check_ten_crops(recipe)
    if recipe.shorter_side is None:
        target = round(recipe.crop / recipe.central_fraction)
        margin = (target - recipe.crop) // 2
        middle = tuple(Axis(source, target, margin, recipe.crop) for source in pixels.shape[:2])
    else:
        middle = axes(recipe, *pixels.shape[:2])
    (top, bottom), (left, right) = (
        [axis._replace(start=start) for start in (0, axis.target - axis.crop)] for axis in middle
    )
    places = ((top, left), (top, right), (bottom, left), (bottom, right), middle)
    squares = [KERNELS[recipe.kernel](pixels, rows, columns) for rows, columns in places]
    return squares + [square[:, ::-1] for square in squares]


def name_pictures(pictures: Picture | Sequence[Picture]) -> list[tuple[Picture, str]]:
    """Each picture with its name in errors: the path, or the place in the list, counted from 1."""
    is_batch = isinstance(pictures, list | tuple) or (isinstance(pictures, np.ndarray) and pictures.ndim == 4)
    if not is_batch:
        return [(pictures, _name(pictures, "The picture"))]
    if not len(pictures):
        raise PictureError(f"Wanted at least one picture, got an empty {type(pictures).__name__}.")
    places = (f"Picture {place} of {len(pictures)}" for place in range(1, len(pictures) + 1))
    return [(picture, _name(picture, place)) for picture, place in zip(pictures, places, strict=True)]


def resize_and_crop(pixels: np.ndarray, recipe: Pictures) -> np.ndarray:
    """The recipe's central square, levels 0 to 255, (crop, crop, 3), of a uint8 array (height, width, 3).

    uint8, or float32 where the original program did not round.
    """
    rows, columns = (central_crop(side, recipe.central_fraction) for side in pixels.shape[:2])
    middle = pixels[rows, columns]
    kernel, rows, columns = KERNELS[recipe.kernel], *axes(recipe, *middle.shape[:2])
    if recipe.border is None:
        return kernel(middle, rows, columns)
    inside = tuple(slice(-axis.start, axis.target - axis.start) for axis in (rows, columns))
    whole = (axis._replace(start=0, crop=axis.target) for axis in (rows, columns))
    square = np.full((recipe.crop, recipe.crop, 3), recipe.border, np.float32)
    square[inside] = kernel(middle, *whole)
    return square


def central_crop(side: int, fraction: float) -> slice:
    """The part of a side that tf.image.central_crop keeps: the cut is truncated, and alike at both ends."""
    start = int((side - side * fraction) / 2)
    return slice(start, side - start)


def _network_values(pixels: np.ndarray, recipe: Pictures) -> np.ndarray:
    """Levels in the recipe's scale and order of channels, float32."""
    if pixels.dtype == np.uint8:  # only 256 levels, so each is computed once
        levels = _scaled(np.arange(256)[:, None], recipe)
        values = np.stack([levels[:, c].take(pixels[..., c]) for c in range(3)], axis=-1)
    else:
        values = _scaled(pixels, recipe)
    return values[..., ::-1] if recipe.channels == "BGR" else values


def _scaled(levels: np.ndarray, recipe: Pictures) -> np.ndarray:
    """(levels * white / 255 - mean) / std, float32; rounded once, at the end."""
    scaled = levels.astype(np.float64) / (255 / recipe.white)
    return ((scaled - np.asarray(recipe.mean)) / np.asarray(recipe.std)).astype(np.float32)


# Kernels: each computes only the pixels inside the crop, so a 1 x 10000 picture costs what a square costs


def opencv_linear(pixels: np.ndarray, rows: Axis, columns: Axis) -> np.ndarray:
    """cv2.resize(INTER_LINEAR), uint8 (rows.crop, columns.crop, 3): bilinear, no antialias, edges repeated.

    Pixel centres lie at halves. The integer arithmetic is that of OpenCV's portable code, shift by shift
    (HResizeLinear and VResizeLinear, https://github.com/opencv/opencv/blob/4.x/modules/imgproc/src/resize.cpp):
    every level agrees there; processor-specific code in OpenCV may differ by one.
    """
    top, down = _linear_positions(rows)
    left, right = _linear_positions(columns)
    # OpenCV drops the fraction outside the picture for columns only; rows meet the same row twice.
    right = np.where((left < 0) | (left >= columns.source - 1), np.float32(0), right)
    both = np.clip(np.concatenate([top, top + 1]), 0, rows.source - 1)
    lines, places = np.unique(both, return_inverse=True)  # most are wanted twice, and blended once
    blended = _blend_columns(pixels[lines], left, right)
    upper, lower = (
        blended[place] * weight[:, None]
        for place, weight in zip(np.split(places, 2), _linear_weights(down), strict=True)
    )
    levels = ((upper >> 16) + (lower >> 16) + 2) >> 2
    return levels.astype(np.uint8).reshape(rows.crop, columns.crop, 3)


def _linear_positions(axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """For each kept pixel, the source pixel at or before its centre (maybe -1), and the fraction beyond."""
    kept = np.arange(axis.start, axis.start + axis.crop)
    centres = ((kept + 0.5) * (axis.source / axis.target) - 0.5).astype(np.float32)  # float32 as in OpenCV
    before = np.floor(centres)
    return before.astype(np.int64), centres - before


def _linear_weights(fraction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    one, scale = np.float32(1), np.float32(LINEAR_SCALE)
    return np.rint((one - fraction) * scale).astype(np.int32), np.rint(fraction * scale).astype(np.int32)


def _blend_columns(pixels: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The rows, resized in their direction, int32 (rows, columns * 3) in 1/128 level."""
    last = pixels.shape[1] - 1
    levels = pixels.reshape(len(pixels), -1)  # NumPy takes single levels several times as fast as colours
    before, after = (
        levels.take((np.clip(column, 0, last)[:, None] * 3 + np.arange(3)).ravel(), axis=1)
        for column in (left, left + 1)
    )
    left_weight, right_weight = (weight.repeat(3) for weight in _linear_weights(right))
    return (before * left_weight + after * right_weight) >> 4


def tf1_bilinear(pixels: np.ndarray, rows: Axis, columns: Axis) -> np.ndarray:
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


def _legacy_positions(axis: Axis) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each kept pixel, the source pixels at or before and after it, and the fraction between, float32."""
    kept = np.arange(axis.start, axis.start + axis.crop).astype(np.float32)
    places = kept * (np.float32(axis.source) / np.float32(axis.target))  # float32 as in TensorFlow
    before = np.floor(places)
    first = np.minimum(before.astype(np.int64), axis.source - 1)
    return first, np.minimum(first + 1, axis.source - 1), places - before


def _lerp(first: np.ndarray, second: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    first = first.astype(np.float32)
    return first + (second - first) * fraction


def darknet_linear(pixels: np.ndarray, rows: Axis, columns: Axis) -> np.ndarray:
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

    def resized(lines: np.ndarray) -> np.ndarray:
        before, after = pixels[np.ix_(lines, left)], pixels[np.ix_(lines, beside)]
        return before * (1 - across)[:, None] + after * across[:, None]

    lower_weight = np.where(_kept(rows) == rows.target - 1, np.float32(0), down)[:, None, None]
    lower = resized(np.minimum(top + 1, rows.source - 1))
    return resized(top) * (1 - down)[:, None, None] + lower * lower_weight


def _edge_to_edge(axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """For each kept pixel, the source pixel at or before it and the fraction beyond, in Darknet's float32."""
    scale = np.float32(axis.source - 1) / np.float32(max(axis.target - 1, 1))
    places = _kept(axis).astype(np.float32) * scale
    before = np.minimum(places.astype(np.int64), axis.source - 1)
    return before, places - before.astype(np.float32)


def _kept(axis: Axis) -> np.ndarray:
    return np.arange(axis.start, axis.start + axis.crop)


def pillow_bicubic(pixels: np.ndarray, rows: Axis, columns: Axis) -> np.ndarray:
    """Pillow's antialiased bicubic resize, uint8 (rows.crop, columns.crop, 3).

    Pillow holds the crop's edges in float32, so a level may differ by one from resizing all before cropping.
    """
    return _pillow(pixels, rows, columns, Image.Resampling.BICUBIC)


def pillow_nearest(pixels: np.ndarray, rows: Axis, columns: Axis) -> np.ndarray:
    """Pillow's nearest pixel, uint8 (rows.crop, columns.crop, 3), as keras.utils.load_img resizes."""
    return _pillow(pixels, rows, columns, Image.Resampling.NEAREST)


def _pillow(pixels: np.ndarray, rows: Axis, columns: Axis, kernel: Image.Resampling) -> np.ndarray:
    top, bottom = _source_span(rows)
    left, right = _source_span(columns)
    size = (columns.crop, rows.crop)
    return np.asarray(Image.fromarray(pixels).resize(size, kernel, (left, top, right, bottom)))


def _source_span(axis: Axis) -> tuple[float, float]:
    return tuple(edge * axis.source / axis.target for edge in (axis.start, axis.start + axis.crop))


KERNELS: dict[str, Callable[[np.ndarray, Axis, Axis], np.ndarray]] = {
    "darknet_linear": darknet_linear,
    "opencv_linear": opencv_linear,
    "pillow_bicubic": pillow_bicubic,
    "pillow_nearest": pillow_nearest,
    "tf1_bilinear": tf1_bilinear,
}


# Reading


def read_picture(picture: Picture) -> np.ndarray:
    """The pixels as a person sees them, uint8 (height, width, 3), RGB.

    picture: a path, the bytes of a file, a binary file object (read from its start), a PIL image (its current
    frame), or a uint8 array (height, width, 3) in RGB, which comes back as it is.

    The EXIF orientation is applied, as cv2.imread does (mx.image.imread, GluonCV's reader, does not). Of an
    animated file the first frame is read. Other modes become RGB as in both of these readers: alpha is
    dropped, not blended; a palette is looked up; grey is repeated; 16 bits keep their high byte (mode I
    counts as 16 bits). CMYK, YCbCr, LAB and HSV go through Pillow's conversion.

    Raises PictureError, with the picture's name and the reason, for what is no picture or exceeds MAX_PIXELS.
    """
    return _read(picture, _name(picture, "The picture"))


def _name(picture: Picture, otherwise: str) -> str:
    return str(picture) if isinstance(picture, str | os.PathLike) else otherwise


def _read(picture: Picture, name: str, least_side: int | None = None) -> np.ndarray:
    """As read_picture; with `least_side` a JPEG may come smaller, its sides at least that many pixels."""
    if isinstance(picture, np.ndarray):
        return _checked_array(picture, name)
    if isinstance(picture, Image.Image):
        return _decode(picture, name)
    if isinstance(picture, str | os.PathLike):
        return _read_path(picture, name, least_side)
    if isinstance(picture, bytes | bytearray | memoryview):
        return _read_file(io.BytesIO(picture), name, least_side)
    if hasattr(picture, "read"):
        return _read_file(_seekable(picture, name), name, least_side)
    raise PictureError(f"{name} is of type {type(picture).__name__}; wanted {WANTED}.")


def _checked_array(pixels: np.ndarray, name: str) -> np.ndarray:
    if pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3:
        if not pixels.size:
            raise PictureError(f"{name} has no pixels: its shape is {pixels.shape}.")
        return pixels
    hints = "".join(_array_hints(pixels))
    raise PictureError(
        f"{name} is an array of {pixels.dtype} {pixels.shape}; wanted uint8 (height, width, 3), RGB.{hints}"
    )


def _array_hints(pixels: np.ndarray) -> Iterator[str]:
    if np.issubdtype(pixels.dtype, np.floating):
        yield " If its values are 0 to 1: (array * 255).round().astype('uint8')."
    if pixels.ndim == 2:
        yield " For grey: np.stack([array] * 3, axis=-1)."
    elif pixels.ndim == 3 and pixels.shape[2] == 4:
        yield " To drop alpha: array[..., :3]."
    elif pixels.ndim == 3 and pixels.shape[0] == 3:
        yield " For channels first: array.transpose(1, 2, 0)."
    elif pixels.ndim == 4:
        yield " Give a batch to preprocess(), which takes (batch, height, width, 3)."


def _read_path(path: str | os.PathLike, name: str, least_side: int | None) -> np.ndarray:
    if os.path.isdir(path):  # asked first, because Windows would report a lack of permission
        raise PictureError(f"{name} is a folder; wanted a picture file.")
    try:
        with open(path, "rb") as file:
            return _read_file(_seekable(file, name), name, least_side)
    except PictureError:
        raise
    except FileNotFoundError as error:
        hint = " Addresses are not opened: download it first." if "://" in name else ""
        raise PictureError(f"No such file: {name}.{hint}") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise PictureError(f"{name} cannot be opened ({error}).") from error


def _seekable(file: BinaryIO, name: str) -> BinaryIO:
    """The file, or for a pipe or a network stream a copy of what it held."""
    if hasattr(file, "seekable") and file.seekable():
        return file
    content = file.read()
    if not isinstance(content, bytes):
        raise PictureError(f"{name} is a file opened as text; open it with mode 'rb'.")
    return io.BytesIO(content)


def _read_file(file: BinaryIO, name: str, least_side: int | None) -> np.ndarray:
    file.seek(0)
    try:
        first = file.read(1)
    except UnicodeDecodeError:
        first = ""
    if isinstance(first, str):
        raise PictureError(f"{name} is a file opened as text; open it with mode 'rb'.")
    if not first:
        raise PictureError(f"{name} is an empty file.")
    with _open_image(file, name) as image:
        if least_side is not None:
            image.draft(None, (least_side, least_side))  # does something for JPEG only
        return _decode(image, name)


def _open_image(file: BinaryIO, name: str) -> Image.Image:
    """The picture with its header read and nothing decoded."""
    try:
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is the limit here
            try:
                return _open_with(Image.preinit, file)
            except UnidentifiedImageError:
                return _open_with(Image.init, file)
    except UnidentifiedImageError as error:
        raise PictureError(
            f"{name} is not a picture that can be read: wanted {', '.join(FORMATS)}."
        ) from error
    except Image.DecompressionBombError as error:
        raise PictureError(_too_large(name, str(error))) from error
    except Exception as error:
        raise _damaged(name, error) from error


def _open_with(plugins: Callable[[], Any], file: BinaryIO) -> Image.Image:
    """Image.preinit knows JPEG, PNG, GIF, BMP and PPM; Image.init takes longer and knows all formats."""
    plugins()
    return Image.open(file, formats=[format for format in FORMATS if format in Image.OPEN])


def _decode(image: Image.Image, name: str) -> np.ndarray:
    width, height = image.size
    if not width or not height:
        raise PictureError(f"{name} has no pixels: it is {width} x {height}.")
    if width * height > MAX_PIXELS:
        raise PictureError(_too_large(name, f"{width} x {height}"))
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:
        raise _damaged(name, error) from error
    return _upright(_rgb(image, name), _orientation(image))


def _too_large(name: str, size: str) -> str:
    return f"{name} is too large ({size}); the limit is {MAX_PIXELS} pixels, against decompression bombs."


def _damaged(name: str, error: Exception) -> PictureError:
    """For whatever a decoder raises: on damaged files Pillow's raise nearly every built-in error."""
    return PictureError(f"{name} is cut short or damaged ({error}).")


def _rgb(image: Image.Image, name: str) -> np.ndarray:
    """uint8 (height, width, 3) from a decoded picture of any mode that has 8 or 16 bits; see read_picture."""
    if image.mode == "F":
        raise PictureError(
            f"{name} has floating-point pixels (mode F) of unknown range; wanted 8 or 16 bits."
        )
    if image.mode == "I" or image.mode.startswith("I;16"):
        return np.stack([_high_byte(np.asarray(image), name)] * 3, axis=-1)
    if image.mode == "La":  # Pillow converts premultiplied grey to LA only
        image = image.convert("LA")
    if image.mode in ("P", "PA"):  # straight to RGB, Pillow would warn that a palette's alpha gets lost
        return np.ascontiguousarray(np.asarray(image.convert("RGBA"))[..., :3])
    return np.array(image.convert("RGB"))  # a copy, as asarray would give a read-only one


def _high_byte(grey: np.ndarray, name: str) -> np.ndarray:
    if grey.min() < 0 or grey.max() > 65535:
        raise PictureError(f"{name} has levels {grey.min()} to {grey.max()} (mode I); wanted 0 to 65535.")
    return (grey >> 8).astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # damaged EXIF says nothing, and the pixels are whole: cv2.imread goes on, too
        return 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels turned as EXIF's orientation asks; 1 and numbers unknown to EXIF change nothing."""
    if orientation in (5, 6, 7, 8):  # these four swap height and width
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
