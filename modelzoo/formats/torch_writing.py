"""torch state dicts, written as torch.load(weights_only=True) reads them: equal bytes for equal arrays."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from modelzoo.files import atomic_write
from modelzoo.formats.tensors import BFLOAT16, as_stored, require_storable_names
from modelzoo.formats.torch_files import PICKLE, STORAGE_TYPES

KIND = "a torch state dict"
FOLDER = "archive"  # what torch calls it where a file has no name
VERSION = b"3\n"  # of the archive, as torch has written it since 1.6
NAMES = {np.dtype(type): name for name, type in STORAGE_TYPES.items() if type != BFLOAT16}
ORDERED_DICT = b"ccollections\nOrderedDict\n)R"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
NO_GRADIENT = b"\x89"


def write_torch_state_dict(path: Path, arrays: Mapping[str, np.ndarray]) -> list[Path]:
    """Writes the arrays in their order, each in a storage of its own; returns the file.

    Raises ConversionError for a name or dtype that such a file cannot have.
    """
    path = Path(path)
    require_storable_names(arrays, KIND)
    for name, array in arrays.items():
        as_stored(name, array[:0] if array.ndim else array, KIND, NAMES)  # before anything is written
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        _add(archive, PICKLE, _pickle(arrays))
        _add(archive, "byteorder", b"little")
        for number, (name, array) in enumerate(arrays.items()):
            values = as_stored(name, array, KIND, NAMES)
            _add(archive, f"data/{number}", values.reshape(-1).view(np.uint8).data)
        _add(archive, "version", VERSION)
    return [path]


def _add(archive: zipfile.ZipFile, name: str, content: bytes | memoryview) -> None:
    info = zipfile.ZipInfo(f"{FOLDER}/{name}")  # of 1980, whenever it is written
    info.file_size = len(content)  # from which zipfile sees whether it needs 64 bits
    with archive.open(info, "w") as member:
        member.write(content)


def _pickle(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The state dict as a pickle of protocol 2; pickles.py says what the bytes mean."""
    parts = [b"\x80\x02", ORDERED_DICT, b"("]
    for number, (name, array) in enumerate(arrays.items()):
        parts += [_text(name), REBUILD, b"((", _text("storage")]
        parts += [
            f"ctorch\n{NAMES[array.dtype.newbyteorder('<')]}\n".encode(),
            _text(str(number)),
            _text("cpu"),
        ]
        parts += [
            _number(array.size),
            b"tQ",
            _number(0),
            _tuple(array.shape),
            _tuple(_c_strides(array.shape)),
        ]
        parts += [NO_GRADIENT, ORDERED_DICT, b"tR"]
    return b"".join([*parts, b"u."])


def _c_strides(shape: tuple[int, ...]) -> list[int]:
    strides, step = [], 1
    for side in reversed(shape):
        strides.append(step)
        step *= max(side, 1)
    return strides[::-1]


def _text(text: str) -> bytes:
    content = text.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def _number(number: int) -> bytes:
    if number < 2**31:
        return b"J" + struct.pack("<i", number)
    return b"\x8a\x08" + struct.pack("<q", number)


def _tuple(numbers: Iterable[int]) -> bytes:
    return b"(" + b"".join(map(_number, numbers)) + b"t"
