"""MXNet .params: the list format of src/ndarray/ndarray.cc (NDArray::Save), little-endian throughout.

A file: uint64 0x112, uint64 0, uint64 count, the arrays, uint64 count, the names (uint64 length, bytes).
An array: a magic number, from V2 on an int32 storage type, int32 ndim, int64 dims, int32 device type and
id, int32 element type, values. The oldest files have no magic number: uint32 ndim and dims.
"""

from __future__ import annotations

import os
import re
import struct
from collections import Counter
from pathlib import Path
from typing import BinaryIO

from modelzoo.conversion.readers.common import (
    BFLOAT16,
    MAX_DIMENSIONS,
    MAX_TENSORS,
    Stored,
    StoredTensors,
    Tensors,
    files_in,
    first_bytes,
    only_file,
    stored_bytes,
    visible_in,
)
from modelzoo.errors import ConversionError, some

# MXNet .params: the list format of src/ndarray/ndarray.cc (NDArray::Save), little-endian throughout:
#   uint64 0x112, uint64 0, uint64 count, the arrays, uint64 count, the names (uint64 length, bytes).
# An array is a magic number, from V2 on an int32 storage type, int32 ndim, int64 dims, int32 device
# type and id, int32 element type, values. The oldest files have no magic number: uint32 ndim and dims.

MXNET_LIST_MAGIC = 0x112
MXNET_V1, MXNET_V2, MXNET_V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA  # V3: a shape () is a scalar
MXNET_STORAGE = {-1: "undefined", 0: "dense", 1: "row_sparse", 2: "csr"}
MXNET_TYPES = ["<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8", "?", "<i2", "<u2", "<u4", "<u8", BFLOAT16]
MODULE_PREFIX = re.compile(r"^(arg|aux):")
MAX_NAME_BYTES = 4096


def open_mxnet_params(path: Path) -> Tensors:
    """The arrays of a .params file, without Module's prefixes `arg:` and `aux:`.

    `path` is the file, or a folder with exactly one .params file there or one level below.
    """
    path = Path(path)
    if path.is_dir():
        path = only_file(path, "MXNet .params file", _params_in)
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConversionError(f"{path} cannot be opened: {error.strerror}.") from error
    try:
        return StoredTensors(path, file, _scan_params(_Scanner(path, file)))
    except BaseException:
        file.close()
        raise


def _params_in(folder: Path) -> list[Path]:
    return [file for file in visible_in(folder) if file.suffix == ".params" and file.is_file()]


class _Scanner:
    """Goes through a file once, and compares every length with what is left of it before using it."""

    def __init__(self, path: Path, file: BinaryIO):
        self.path = path
        self._file = file
        self.offset = 0
        self._size = os.fstat(file.fileno()).st_size

    def numbers(self, format: str, what: str) -> tuple[int, ...]:
        return struct.unpack("<" + format, self.bytes(struct.calcsize("<" + format), what))

    def number(self, format: str, what: str) -> int:
        return self.numbers(format, what)[0]

    def bytes(self, count: int, what: str) -> bytes:
        self._advance(count, what)
        self._file.seek(self.offset - count)
        return self._file.read(count)

    def skip(self, count: int, what: str) -> int:
        """The offset of the next `count` bytes."""
        self._advance(count, what)
        return self.offset - count

    def _advance(self, count: int, what: str) -> None:
        left = self._size - self.offset
        if count > left:
            raise self.error(f"{what} should take {count} bytes and {left} are left, so the file is cut off")
        self.offset += count

    def require_end(self) -> None:
        if self.offset != self._size:
            raise self.error(f"{self._size - self.offset} bytes follow where it should end")

    def error(self, reason: str) -> ConversionError:
        return ConversionError(f"{self.path} cannot be read as an MXNet .params file: {reason}.")


def _scan_params(scan: _Scanner) -> dict[str, Stored]:
    magic, _reserved = scan.numbers("QQ", "the header")
    if magic != MXNET_LIST_MAGIC:
        raise scan.error(f"it should start with {MXNET_LIST_MAGIC:#x} and starts with {magic:#x}")
    count = scan.number("Q", "the number of arrays")
    if count > MAX_TENSORS:
        raise scan.error(f"it should hold {count} arrays, and {MAX_TENSORS} are the most")
    arrays = [_scan_array(scan, f"array {number} of {count}") for number in range(1, count + 1)]
    named = scan.number("Q", "the number of names")
    if named != count:
        raise scan.error(f"it holds {count} arrays and {named} names")
    names = [_scan_name(scan, f"name {number} of {count}") for number in range(1, count + 1)]
    scan.require_end()
    stored = dict(zip(names, arrays, strict=True))
    if len(stored) != len(names):
        double = sorted(name for name, times in Counter(names).items() if times > 1)
        raise scan.error(f"more than one array, counting `arg:` and `aux:`, is named {some(double)}")
    return stored


def _scan_array(scan: _Scanner, what: str) -> Stored:
    shape = _scan_shape(scan, what)
    scan.numbers("ii", f"{what}, its device,")
    type = scan.number("i", f"{what}, its element type,")
    if not 0 <= type < len(MXNET_TYPES):
        raise scan.error(f"{what} has the element type {type}, and 0 to {len(MXNET_TYPES) - 1} are known")
    length = stored_bytes(shape, MXNET_TYPES[type])
    return Stored(scan.skip(length, f"{what}, its values of shape {shape},"), shape, MXNET_TYPES[type])


def _scan_shape(scan: _Scanner, what: str) -> tuple[int, ...]:
    magic = scan.number("I", what)
    if magic in (MXNET_V2, MXNET_V3):
        storage = scan.number("i", f"{what}, its storage type,")
        if storage != 0:
            kind = MXNET_STORAGE.get(storage, f"unknown ({storage})")
            raise scan.error(f"{what} has the storage type {kind}, and only dense arrays can be converted")
    if magic in (MXNET_V1, MXNET_V2, MXNET_V3):
        dimensions, format = scan.number("i", f"{what}, its shape,"), "q"
    else:
        dimensions, format = magic, "I"
    if not 0 <= dimensions <= MAX_DIMENSIONS:
        raise scan.error(f"{what} starts with {magic:#x} and has {dimensions} dimensions, which no array has")
    if dimensions == 0 and magic != MXNET_V3:
        raise scan.error(f"{what} has no shape and no values")
    shape = scan.numbers(f"{dimensions}{format}", f"{what}, its shape,")
    if any(side < 0 for side in shape):
        raise scan.error(f"{what} has the shape {shape}, which no array has")
    return shape


def _scan_name(scan: _Scanner, what: str) -> str:
    length = scan.number("Q", what)
    if length > MAX_NAME_BYTES:
        raise scan.error(f"{what} should have {length} characters, and {MAX_NAME_BYTES} are the most")
    try:
        name = scan.bytes(length, what).decode("utf-8")
    except UnicodeDecodeError as error:
        raise scan.error(f"{what} is not UTF-8") from error
    return MODULE_PREFIX.sub("", name)


def is_mxnet_params(path: Path) -> bool:
    if path.is_dir():
        return bool(files_in(path, _params_in))
    return first_bytes(path) == struct.pack("<Q", MXNET_LIST_MAGIC)
