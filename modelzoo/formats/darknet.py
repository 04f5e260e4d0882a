"""Darknet .weights: a header, then float32 values to the end, without names or lengths, little-endian.

The header is int32 major, minor and revision, and the number of images seen in training (int64 from
version 0.2 on, int32 before). Which array a value belongs to only its order says: a plan.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from modelzoo.errors import ConversionError, abbreviated
from modelzoo.files import atomic_write
from modelzoo.formats.tensors import (
    Stored,
    StoredTensors,
    Tensors,
    as_stored,
    files_in,
    first_bytes,
    only_file,
    visible_in,
)

KIND = "a Darknet .weights file"
DARKNET_VERSION = struct.Struct("<iii")
DARKNET_LIMIT = 1000  # of major and minor; Darknet marks files of another layout by adding 1000
NEW_HEADER = DARKNET_VERSION.pack(0, 2, 0) + struct.pack("<q", 0)  # of a network that saw no image
PUBLISHED_VERSIONS = ((0, 1), (0, 2))  # major and minor of the files that people have
FLOAT32 = np.dtype("<f4")


def read_darknet_weights(
    path: Path, plan: Mapping[str, tuple[int, ...]], known_sizes: Mapping[int, str]
) -> Tensors:
    """The arrays of a .weights file, split by `plan`: the shape of each by name, in the order of the file.

    `path` is the file, or a folder with exactly one there or one level below. `known_sizes` says what a file
    with so many values is, for the error about one that the plan does not fit.
    """
    path = Path(path)
    if path.is_dir():
        path = only_file(path, "Darknet .weights file", _weights_in)
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConversionError(f"{path} cannot be opened: {error.strerror}.") from error
    try:
        offset = _values_offset(path, file)
        _require_length(path, os.fstat(file.fileno()).st_size - offset, plan, known_sizes)
        stored: dict[str, Stored] = {}
        for name, shape in plan.items():
            stored[name] = Stored(offset, shape, FLOAT32.str)
            offset += FLOAT32.itemsize * math.prod(shape)
        return StoredTensors(path, file, stored)
    except BaseException:
        file.close()
        raise


def count_darknet_values(path: Path) -> int | None:
    """How many values the file holds, or the only one in a folder; None if that cannot be told."""
    try:
        path = only_file(path, "Darknet .weights file", _weights_in) if path.is_dir() else path
        with path.open("rb") as file:
            values, rest = divmod(path.stat().st_size - _values_offset(path, file), FLOAT32.itemsize)
    except (OSError, ConversionError):
        return None
    return None if rest else values


def _weights_in(folder: Path) -> list[Path]:
    return [file for file in visible_in(folder) if file.suffix == ".weights" and file.is_file()]


def _values_offset(path: Path, file: BinaryIO) -> int:
    """The offset of the first value."""
    head = file.read(DARKNET_VERSION.size)
    if len(head) == DARKNET_VERSION.size:
        major, minor, _revision = DARKNET_VERSION.unpack(head)
        if 0 <= major < DARKNET_LIMIT and 0 <= minor < DARKNET_LIMIT:
            return _header_bytes(major, minor)
    raise ConversionError(
        f"{path} does not start as a Darknet .weights file does: it is truncated, or another kind of file."
    )


def _header_bytes(major: int, minor: int) -> int:
    return DARKNET_VERSION.size + (8 if major * 10 + minor >= 2 else 4)


def _require_length(
    path: Path, length: int, plan: Mapping[str, tuple[int, ...]], known_sizes: Mapping[int, str]
) -> None:
    """The length is all that tells one cfg's file from another's."""
    expected = FLOAT32.itemsize * sum(map(math.prod, plan.values()))
    if length == expected:
        return
    kinds = {FLOAT32.itemsize * count: f"one of {name}" for count, name in known_sizes.items()}
    guess = kinds.get(length, "truncated, or of another cfg" if length < expected else "of another cfg")
    raise ConversionError(
        f"{path}: expected {expected} bytes of weights, as {kinds.get(expected, 'this cfg')} holds, "
        f"got {length}: it seems to be {guess}."
    )


def write_darknet_weights(
    path: Path, arrays: Mapping[str, np.ndarray], plan: Mapping[str, tuple[int, ...]]
) -> list[Path]:
    """Writes the arrays in the order of `plan`, the shape of each by name; returns the file.

    Raises ConversionError if the arrays are not exactly the plan's, by name and shape, and float32.
    """
    path = Path(path)
    _require_planned(arrays, plan)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        file.write(NEW_HEADER)
        for name in plan:
            as_stored(name, arrays[name], KIND, (FLOAT32,)).tofile(file)
    return [path]


def _require_planned(arrays: Mapping[str, np.ndarray], plan: Mapping[str, tuple[int, ...]]) -> None:
    differences = [
        f"{what}: {abbreviated(sorted(names))}"
        for what, names in (
            ("missing", plan.keys() - arrays.keys()),
            ("unexpected", arrays.keys() - plan.keys()),
        )
        if names
    ]
    if differences:
        raise ConversionError(f"The arrays are not those of the plan of {KIND}; {'; '.join(differences)}.")
    for name, shape in plan.items():
        if arrays[name].shape != tuple(shape):
            raise ConversionError(f"Expected {name!r} of shape {tuple(shape)}, got {arrays[name].shape}.")


def is_darknet_weights(path: Path) -> bool:
    """Whether the file starts as published files do and holds whole values, or one lies in the folder.

    The reader takes any version: a header of three integers alone would fit many other files.
    """
    if path.is_dir():
        return bool(files_in(path, _weights_in))
    start = first_bytes(path, DARKNET_VERSION.size)
    if len(start) < DARKNET_VERSION.size:
        return False
    major, minor, _revision = DARKNET_VERSION.unpack(start)
    length = path.stat().st_size - _header_bytes(major, minor)
    return (major, minor) in PUBLISHED_VERSIONS and length > 0 and length % FLOAT32.itemsize == 0
