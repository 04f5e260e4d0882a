"""Image files, PIL images and arrays -> pixels as a person sees them, uint8 (height, width, 3), RGB."""

from __future__ import annotations

import io
import os
import re
import stat
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from modelzoo.errors import ImageError, readable
from modelzoo.images.memory import LARGE_IMAGES, MAX_BYTES, SMALL_BYTES, bytes_to_decode
from modelzoo.images.resampling import Pixels

MAX_PIXELS = 178_956_970  # of one image: half a gigabyte as RGB, and where Pillow itself refuses by default
EXIF_ORIENTATION = 0x0112  # the tag's number
TURNED = (5, 6, 7, 8)  # the orientations that swap height and width
TILE_PIXELS = 2**18  # converted at a time
MAX_FILE_BYTES = 1_000_000_000
COPIES = 3  # of a file's bytes, by the decoders that take it whole
# Pillow's names of what photographs come in. It knows forty formats more, of which it would hand some to
# other programs to run, and take all the memory that the headers of others claim.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO", "TGA")

FilePath = str | os.PathLike[str]
ImageInput = FilePath | bytes | bytearray | memoryview | BinaryIO | Image.Image | npt.NDArray[Any]
EXPECTED = (
    "a path, the bytes of a file, a binary file object, a PIL image or a uint8 array (height, width, 3)"
)

# What this process was given opened: a pipe there is meant to be read, and whoever writes it ends it.
DESCRIPTOR = re.compile(r"/dev/stdin|/dev/fd/\d+|/proc/(self|\d+)/fd/\d+")
KINDS = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}

# Pillow's warning about large images is silenced for the whole process or not at all: one thread at a time.
_opening = threading.Lock()


def name_images(images: ImageInput | Sequence[ImageInput]) -> list[tuple[ImageInput, str]]:
    """Each image with its name in errors: the path, or the place in the list, counted from 1."""
    is_batch = isinstance(images, list | tuple) or (isinstance(images, np.ndarray) and images.ndim == 4)
    if not is_batch:
        image = cast(ImageInput, images)
        return [(image, image_name(image))]
    batch = cast(Sequence[ImageInput], images)
    if not len(batch):
        raise ImageError(f"Expected at least one image, got an empty {type(images).__name__}.")
    places = (f"Image {place} of {len(batch)}" for place in range(1, len(batch) + 1))
    return [(image, image_name(image, place)) for image, place in zip(batch, places, strict=True)]


def read_image(image: ImageInput) -> Pixels:
    """The pixels as a person sees them, uint8 (height, width, 3), RGB.

    image: a path, the bytes of a file, a binary file object (read from its start), a PIL image (its current
    frame), or a uint8 array (height, width, 3) in RGB, which comes back as it is.

    The EXIF orientation is applied, as cv2.imread does (mx.image.imread, GluonCV's reader, does not). Of an
    animated file the first frame is read. Other modes become RGB as in both of these readers: alpha is
    dropped, not blended; a palette is looked up; gray is repeated; 16 bits keep their high byte (mode I
    counts as 16 bits). CMYK, YCbCr, LAB and HSV go through Pillow's conversion.

    Raises ImageError, with the image's name and the reason, for what is no image or exceeds MAX_PIXELS or the
    memory that an image may take. In several threads, large images wait for one another.
    """
    return read_named(image, image_name(image))


def image_name(image: ImageInput, otherwise: str = "The image") -> str:
    """What to call an image in errors: its path, if it has one, as a message may show it."""
    return readable(os.fspath(image)) if isinstance(image, str | os.PathLike) else otherwise


def read_named(image: ImageInput, name: str, least_side: int | None = None) -> Pixels:
    """As read_image; with `least_side` a JPEG may come smaller, its sides at least that many pixels."""
    with decoded(image, name, least_side) as pixels:
        return pixels


@contextmanager
def decoded(image: ImageInput, name: str, least_side: int | None = None) -> Generator[Pixels]:
    """As read_named; while the `with` lasts, the next large image of another thread waits for its memory."""
    with ExitStack() as held:
        yield _read(image, name, least_side, held)


def _read(image: ImageInput, name: str, least_side: int | None, held: ExitStack) -> Pixels:
    """What is taken of LARGE_IMAGES is `held`."""
    if isinstance(image, np.ndarray):
        return _checked_array(image, name)
    if isinstance(image, Image.Image):
        _take_memory(_check_size(image, name), held)
        return _decode(image, name)
    if isinstance(image, str | os.PathLike):
        return _read_path(image, name, least_side, held)
    if isinstance(image, bytes | bytearray | memoryview):
        return _read_file(io.BytesIO(image), name, least_side, held)
    if hasattr(image, "read"):
        return _read_file(_seekable(image, name), name, least_side, held)
    raise ImageError(f"{name} is of type {type(image).__name__}; expected {EXPECTED}.")


def _take_memory(count: int, held: ExitStack) -> None:
    """At most once for one image: who holds some and waits for more would wait for another who does."""
    if count > SMALL_BYTES:
        held.enter_context(LARGE_IMAGES.taking(count))


def _checked_array(pixels: npt.NDArray[Any], name: str) -> Pixels:
    if pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3:
        if not pixels.size:
            raise ImageError(f"{name} has no pixels: its shape is {pixels.shape}.")
        return pixels
    hints = "".join(_array_hints(pixels))
    raise ImageError(
        f"{name} is an array of {pixels.dtype} {pixels.shape}; expected uint8 (height, width, 3), RGB.{hints}"
    )


def _array_hints(pixels: npt.NDArray[Any]) -> Iterator[str]:
    if np.issubdtype(pixels.dtype, np.floating):
        yield " If its values are 0 to 1: (array * 255).round().astype('uint8')."
    if pixels.ndim == 2:
        yield " For gray: np.stack([array] * 3, axis=-1)."
    elif pixels.ndim == 3 and pixels.shape[2] == 4:
        yield " To drop alpha: array[..., :3]."
    elif pixels.ndim == 3 and pixels.shape[0] == 3:
        yield " For channels first: array.transpose(1, 2, 0)."
    elif pixels.ndim == 4:
        yield " Give a batch to preprocess(), which takes (batch, height, width, 3)."


def _read_path(path: FilePath, name: str, least_side: int | None, held: ExitStack) -> Pixels:
    try:
        _check_regular(path, name)
        with open(path, "rb") as file:
            return _read_file(_seekable(file, name), name, least_side, held)
    except ImageError:
        raise
    except FileNotFoundError as error:
        hint = " Addresses are not opened: download it first." if "://" in name else ""
        raise ImageError(f"No such file: {name}.{hint}") from error
    except OSError as error:
        raise ImageError(f"{name} cannot be opened ({error.strerror or error}).") from error
    except ValueError as error:  # a null character in the name
        raise ImageError(f"{name} cannot be opened ({error}).") from error


def _check_regular(path: FilePath, name: str) -> None:
    """Raises ImageError for a folder, a pipe, a socket or a device: reading these may never end.

    Windows would say of a folder that permission is lacking.
    """
    kind = stat.S_IFMT(os.stat(path).st_mode)
    if kind == stat.S_IFDIR:
        raise ImageError(f"{name} is a folder; expected an image file.")
    if kind in KINDS and not DESCRIPTOR.fullmatch(os.path.normpath(path)):
        raise ImageError(f"{name} is a {KINDS[kind]}; expected an image file.")


def _seekable(file: BinaryIO, name: str) -> BinaryIO:
    """The file, or for a pipe or a network stream a copy of what it held."""
    if hasattr(file, "seekable") and file.seekable():
        return file
    content = cast(object, file.read(MAX_FILE_BYTES + 1))
    if not isinstance(content, bytes):
        raise ImageError(_opened_as_text(name))
    return io.BytesIO(content)


def _read_file(file: BinaryIO, name: str, least_side: int | None, held: ExitStack) -> Pixels:
    file.seek(0, os.SEEK_END)
    size = file.tell()
    file.seek(0)
    try:
        first = cast(object, file.read(1))
    except UnicodeDecodeError:
        first = ""
    if isinstance(first, str):
        raise ImageError(_opened_as_text(name))
    if not first:
        raise ImageError(f"{name} is an empty file.")
    if size > MAX_FILE_BYTES:
        raise ImageError(f"{name} is too large ({size:,} bytes); the limit is {MAX_FILE_BYTES:,} bytes.")
    alone = COPIES * size > SMALL_BYTES
    if alone:
        _take_memory(MAX_BYTES, held)
    with _open_image(cast(BinaryIO, _Bounded(file)), name) as image:
        needed = _check_size(image, name)  # the whole image's, whatever draft() makes of it
        if not alone:
            _take_memory(needed, held)
        if least_side is not None:
            image.draft(None, (least_side, least_side))  # does something for JPEG only
        return _decode(image, name)


class _Bounded:
    """A file for Pillow, which asks for as many bytes as a damaged chunk claims to have."""

    def __init__(self, file: BinaryIO):
        self.seek, self.tell, self._read = file.seek, file.tell, file.read
        self._size = file.seek(0, os.SEEK_END)
        file.seek(0)

    def read(self, count: int = -1) -> bytes:
        left = max(self._size - self.tell(), 0)
        return self._read(left if count < 0 else min(count, left))


def _opened_as_text(name: str) -> str:
    return f"{name} is a file opened as text; open it with mode 'rb'."


def _open_image(file: BinaryIO, name: str) -> Image.Image:
    """The image with its header read and nothing decoded."""
    try:
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is the limit here
            try:
                return _open_with(Image.preinit, file)
            except UnidentifiedImageError:
                return _open_with(Image.init, file)
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name} is not an image that can be read: expected {', '.join(FORMATS)}."
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(_too_large(name, str(error))) from error
    except Exception as error:
        raise _damaged(name, error) from error


def _open_with(plugins: Callable[[], Any], file: BinaryIO) -> Image.Image:
    """Image.preinit knows JPEG, PNG, GIF, BMP and PPM; Image.init takes longer and knows all formats."""
    plugins()
    return Image.open(file, formats=[format for format in FORMATS if format in Image.OPEN])


def _check_size(image: Image.Image, name: str) -> int:
    """The bytes that it takes to decode the image; raises ImageError if these or the pixels are too many."""
    width, height = image.size
    if not width or not height:
        raise ImageError(f"{name} has no pixels: it is {width} x {height}.")
    if width * height > MAX_PIXELS:
        raise ImageError(_too_large(name, f"{width} x {height}"))
    needed = bytes_to_decode(image)
    if needed > MAX_BYTES:
        raise ImageError(
            f"{name} is too large ({width} x {height}): as {image.format} it takes {needed:,} bytes of "
            f"memory; the limit is {MAX_BYTES:,}."
        )
    return needed


def _decode(image: Image.Image, name: str) -> Pixels:
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:
        raise _damaged(name, error) from error
    return _upright_rgb(image, name)


def _too_large(name: str, size: str) -> str:
    return f"{name} is too large ({size}); the limit is {MAX_PIXELS} pixels, against decompression bombs."


def _damaged(name: str, error: Exception) -> ImageError:
    """For whatever a decoder raises: on damaged files Pillow's raise nearly every built-in error."""
    return ImageError(f"{name} is truncated or damaged ({readable(str(error))}).")


def _upright_rgb(image: Image.Image, name: str) -> Pixels:
    """A decoded image of any mode that has 8 or 16 bits as read_image gives it, converted tile by tile."""
    if image.mode == "F":
        raise ImageError(
            f"{name} has floating-point pixels (mode F) of unknown range; expected 8 or 16 bits."
        )
    if image.mode == "I":
        _require_16_bits(image, name)
    width, height = image.size
    orientation = _orientation(image)
    turned = orientation in TURNED
    pixels = np.empty((width, height, 3) if turned else (height, width, 3), np.uint8)
    stored = _as_stored(pixels, orientation)
    columns = min(width, TILE_PIXELS)
    rows = max(1, TILE_PIXELS // columns)
    for top, left in product(range(0, height, rows), range(0, width, columns)):
        bottom, right = min(top + rows, height), min(left + columns, width)
        stored[top:bottom, left:right] = _rgb(image.crop((left, top, right, bottom)))
    return pixels


def _rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    """uint8 (height, width, 3), or (height, width, 1) of gray."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        return (np.asarray(image) >> 8).astype(np.uint8)[..., None]
    if image.mode == "La":  # Pillow converts premultiplied gray to LA only
        image = image.convert("LA")
    if image.mode in ("P", "PA"):  # straight to RGB, Pillow would warn that a palette's alpha gets lost
        return np.asarray(image.convert("RGBA"))[..., :3]
    return np.asarray(image.convert("RGB"))


def _require_16_bits(image: Image.Image, name: str) -> None:
    lowest, highest = cast(tuple[int, int], image.getextrema())
    if lowest < 0 or highest > 65535:
        raise ImageError(f"{name} has levels {lowest} to {highest} (mode I); expected 0 to 65535.")


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # damaged EXIF says nothing, and the pixels are whole: cv2.imread goes on, too
        return 1


def _as_stored(pixels: Pixels, orientation: int) -> Pixels:
    """The pixels as the file has them, if EXIF's orientation makes of that the given ones: the same memory.

    1 and numbers unknown to EXIF change nothing.
    """
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels.transpose(1, 0, 2) if orientation in TURNED else pixels
