"""MXNet .params: the list format of src/ndarray/ndarray.cc (NDArray::Save), little-endian throughout.

A file: uint64 0x112, uint64 0, uint64 count, the arrays, uint64 count, the names (uint64 length, bytes).
An array: a magic number, from V2 on an int32 storage type, int32 ndim, int64 dims, int32 device type and
id, int32 element type, values. The oldest files have no magic number: uint32 ndim and dims.

All versions are read. What is written has the very bytes that MXNet 1.9 writes.
"""

from __future__ import annotations

import os
import re
import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from modelzoo.errors import ConversionError, abbreviated
from modelzoo.files import atomic_write
from modelzoo.formats.tensors import (
    BFLOAT16,
    MAX_DIMENSIONS,
    MAX_NAME_BYTES,
    MAX_NAMES_BYTES,
    MAX_TENSORS,
    Stored,
    StoredTensors,
    Tensors,
    as_stored,
    files_in,
    first_bytes,
    only_file,
    require_storable_names,
    stored_bytes,
    visible_in,
)

KIND = "an MXNet .params file"
MXNET_LIST_MAGIC = 0x112
MXNET_V1, MXNET_V2, MXNET_V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA  # V3: a shape () is a scalar
DENSE = 0
MXNET_STORAGE = {-1: "undefined", DENSE: "dense", 1: "row_sparse", 2: "csr"}
MXNET_TYPES = ["<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8", "?", "<i2", "<u2", "<u4", "<u8", BFLOAT16]
MXNET_NUMBERS = {np.dtype(type): number for number, type in enumerate(MXNET_TYPES) if type != BFLOAT16}
CPU = (1, 0)  # device type and id
MODULE_PREFIX = re.compile(r"^(arg|aux):")


def read_mxnet_params(path: Path) -> Tensors:
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
            raise self.error(
                f"expected {count} bytes for {what}, got {left}; the file is truncated, download it again"
            )
        self.offset += count

    def require_end(self) -> None:
        if self.offset != self._size:
            raise self.error(f"expected its end, got {self._size - self.offset} bytes more")

    def error(self, reason: str) -> ConversionError:
        return ConversionError(f"{self.path} cannot be read as {KIND}: {reason}.")


def _scan_params(scan: _Scanner) -> dict[str, Stored]:
    magic, _reserved = scan.numbers("QQ", "the header")
    if magic != MXNET_LIST_MAGIC:
        raise scan.error(f"expected {MXNET_LIST_MAGIC:#x} at its start, got {magic:#x}")
    count = scan.number("Q", "the number of arrays")
    if count > MAX_TENSORS:
        raise scan.error(f"expected at most {MAX_TENSORS} arrays, got {count}")
    arrays = [_scan_array(scan, f"array {number} of {count}") for number in range(1, count + 1)]
    named = scan.number("Q", "the number of names")
    if named != count:
        raise scan.error(f"expected {count} names, one for each array, got {named}")
    start = scan.offset
    names = [_scan_name(scan, f"name {number} of {count}", start) for number in range(1, count + 1)]
    scan.require_end()
    stored = dict(zip(names, arrays, strict=True))
    if len(stored) != len(names):
        double = sorted(name for name, times in Counter(names).items() if times > 1)
        raise scan.error(f"more than one array, counting `arg:` and `aux:`, is named {abbreviated(double)}")
    return stored


def _scan_array(scan: _Scanner, what: str) -> Stored:
    shape = _scan_shape(scan, what)
    scan.numbers("ii", f"the device of {what}")
    type = scan.number("i", f"the element type of {what}")
    if not 0 <= type < len(MXNET_TYPES):
        raise scan.error(f"expected an element type from 0 to {len(MXNET_TYPES) - 1} for {what}, got {type}")
    length = stored_bytes(shape, MXNET_TYPES[type])
    return Stored(scan.skip(length, f"the values of {what}, of shape {shape}"), shape, MXNET_TYPES[type])


def _scan_shape(scan: _Scanner, what: str) -> tuple[int, ...]:
    magic = scan.number("I", what)
    if magic in (MXNET_V2, MXNET_V3):
        storage = scan.number("i", f"the storage type of {what}")
        if storage != DENSE:
            kind = MXNET_STORAGE.get(storage, f"unknown ({storage})")
            raise scan.error(f"expected the storage type dense for {what}, got {kind}")
    if magic in (MXNET_V1, MXNET_V2, MXNET_V3):
        dimensions, format = scan.number("i", f"the shape of {what}"), "q"
    else:
        dimensions, format = magic, "I"
    if not 0 <= dimensions <= MAX_DIMENSIONS:
        raise scan.error(f"{what} starts with {magic:#x} and has {dimensions} dimensions, which no array has")
    if dimensions == 0 and magic != MXNET_V3:
        raise scan.error(f"{what} has no shape and no values")
    shape = scan.numbers(f"{dimensions}{format}", f"the shape of {what}")
    if any(dimension < 0 for dimension in shape):
        raise scan.error(f"{what} has the shape {shape}, which no array has")
    return shape


def _scan_name(scan: _Scanner, what: str, start: int) -> str:
    length = scan.number("Q", what)
    if scan.offset - start > MAX_NAMES_BYTES:
        raise scan.error(f"its names have more than {MAX_NAMES_BYTES} bytes")
    if length > MAX_NAME_BYTES:
        raise scan.error(f"expected at most {MAX_NAME_BYTES} bytes for {what}, got {length}")
    try:
        name = scan.bytes(length, what).decode("utf-8")
    except UnicodeDecodeError as error:
        raise scan.error(f"{what} is not UTF-8") from error
    return MODULE_PREFIX.sub("", name)


def write_mxnet_params(path: Path, arrays: Mapping[str, np.ndarray]) -> list[Path]:
    """Writes the arrays in their order; returns the file.

    Names are written as they are; reading drops Module's prefixes `arg:` and `aux:`. Raises ConversionError
    for a name or dtype that such a file cannot have.
    """
    path = Path(path)
    require_storable_names(arrays, KIND)
    # MXNet writes V3 where NumPy's rules hold: in V2 a shape () or a dimension 0 says that there is no array.
    numpy_rules = any(array.ndim == 0 or array.size == 0 for array in arrays.values())
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<QQQ", MXNET_LIST_MAGIC, 0, len(arrays)))
        for name in arrays:
            array = as_stored(name, arrays[name], KIND)
            file.write(_array_head(array, MXNET_V3 if numpy_rules else MXNET_V2))
            array.tofile(file)
        file.write(struct.pack("<Q", len(arrays)))
        for name in map(str.encode, arrays):
            file.write(struct.pack("<Q", len(name)) + name)
    return [path]


def _array_head(array: np.ndarray, magic: int) -> bytes:
    head = struct.pack(f"<Iii{array.ndim}q", magic, DENSE, array.ndim, *array.shape)
    return head + struct.pack("<iii", *CPU, MXNET_NUMBERS[array.dtype])


def is_mxnet_params(path: Path) -> bool:
    """Whether the file starts as a .params file does, or one lies in the folder or one level below."""
    if path.is_dir():
        return bool(files_in(path, _params_in))
    return first_bytes(path) == struct.pack("<Q", MXNET_LIST_MAGIC)
