"""Darknet .weights: a header, then float32 numbers to the end, without names or lengths, little-endian.

The header is int32 major, minor and revision, and the number of pictures seen in training (int64 from
version 0.2 on, int32 before).
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from modelzoo.conversion.readers.common import Stored, StoredTensors, Tensors, only_file, visible_in
from modelzoo.errors import ConversionError

DARKNET_VERSION = struct.Struct("<iii")
DARKNET_LIMIT = 1000  # of major and minor; Darknet marks files of another layout by adding 1000
FLOAT_BYTES = 4


def open_darknet_weights(
    path: Path, plan: Mapping[str, tuple[int, ...]], known: Mapping[int, str]
) -> Tensors:
    """The arrays of a .weights file, cut by `plan`: the shape of each by name, in the order of the file.

    `path` is the file, or a folder with exactly one there or one level below. `known` says what a file
    with so many numbers is, for the error about one that the plan does not fit.
    """
    path = Path(path)
    if path.is_dir():
        path = only_file(path, "Darknet .weights file", _darknet_weights_in)
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConversionError(f"{path} cannot be opened: {error.strerror}.") from error
    try:
        offset = _darknet_start(path, file)
        _require_length(path, os.fstat(file.fileno()).st_size - offset, plan, known)
        stored = {}
        for name, shape in plan.items():
            stored[name] = Stored(offset, shape, "<f4")
            offset += FLOAT_BYTES * math.prod(shape)
        return StoredTensors(path, file, stored)
    except BaseException:
        file.close()
        raise


def _darknet_weights_in(folder: Path) -> list[Path]:
    return [file for file in visible_in(folder) if file.suffix == ".weights" and file.is_file()]


def _darknet_start(path: Path, file: BinaryIO) -> int:
    """The offset of the first number."""
    head = file.read(DARKNET_VERSION.size)
    if len(head) == DARKNET_VERSION.size:
        major, minor, _revision = DARKNET_VERSION.unpack(head)
        if 0 <= major < DARKNET_LIMIT and 0 <= minor < DARKNET_LIMIT:
            return DARKNET_VERSION.size + (8 if major * 10 + minor >= 2 else 4)
    raise ConversionError(
        f"{path} does not start as a Darknet .weights file does: it is cut off, or another kind of file."
    )


def _require_length(
    path: Path, length: int, plan: Mapping[str, tuple[int, ...]], known: Mapping[int, str]
) -> None:
    """The length is all that tells one cfg's file from another's."""
    wanted = FLOAT_BYTES * sum(map(math.prod, plan.values()))
    if length == wanted:
        return
    kinds = {FLOAT_BYTES * count: f"one of {name}" for count, name in known.items()}
    guess = kinds.get(length, "cut off, or of another cfg" if length < wanted else "of another cfg")
    raise ConversionError(
        f"{path} holds {length} bytes of weights and {kinds[wanted]} holds {wanted}: it seems to be {guess}."
    )
