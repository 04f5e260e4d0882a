"""safetensors: uint64 length of a JSON header, the header, values.

The package checks that lengths and offsets agree with one another and with the size of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from modelzoo.errors import ConversionError, abbreviated
from modelzoo.files import atomic_write
from modelzoo.formats.tensors import (
    TensorInfo,
    Tensors,
    as_conversion_error,
    as_stored,
    files_in,
    first_bytes,
    only_file,
    require_storable_names,
    visible_in,
)

KIND = "a safetensors file"
SAFETENSORS_LENGTH = struct.Struct("<Q")
SAFETENSORS_MAX_HEADER = 100_000_000  # bytes; the format's own limit
SAFETENSORS_METADATA = "__metadata__"  # the key of the header that is no tensor
SAFETENSORS_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}


def read_safetensors(path: Path) -> Tensors:
    """The tensors of a .safetensors file, or of the only one in a folder or one level below."""
    path = Path(path)
    if path.is_dir():
        path = only_file(path, "safetensors file", _safetensors_in)
    return _Safetensors(path)


def _safetensors_in(folder: Path) -> list[Path]:
    return [file for file in visible_in(folder) if file.suffix == ".safetensors" and file.is_file()]


class _Safetensors(Tensors):
    def __init__(self, path: Path):
        with as_conversion_error(f"{path} cannot be read as {KIND}"):
            self._file: Any = safe_open(str(path), framework="numpy")
            slices = {name: self._file.get_slice(name) for name in self._file.keys()}  # noqa: SIM118
        unknown = {s.get_dtype() for s in slices.values()} - SAFETENSORS_TYPES.keys()
        if unknown:
            raise ConversionError(
                f"{path} has values of type {abbreviated(sorted(unknown))}, which cannot be converted."
            )
        super().__init__(
            path,
            {
                name: TensorInfo(tuple(s.get_shape()), np.dtype(SAFETENSORS_TYPES[s.get_dtype()]))
                for name, s in slices.items()
            },
        )

    def _read(self, name: str) -> np.ndarray:
        if self._file is None:
            raise ConversionError(f"{self.path} is closed; read its tensors inside the `with` statement.")
        with as_conversion_error(f"Tensor {name!r} of {self.path} cannot be read"):
            return self._file.get_tensor(name)

    def close(self) -> None:
        self._file = None


def write_safetensors(path: Path, arrays: Mapping[str, np.ndarray]) -> list[Path]:
    """Writes the arrays, in the order that the package chooses; returns the file.

    Raises ConversionError for a name or dtype that such a file cannot have.
    """
    path = Path(path)
    require_storable_names(arrays, KIND)
    if SAFETENSORS_METADATA in arrays:
        raise ConversionError(
            f"No tensor of {KIND} can be named {SAFETENSORS_METADATA!r}; give it another name."
        )
    stored = {name: as_stored(name, array, KIND) for name, array in arrays.items()}
    with atomic_write(path) as temporary:
        mode = temporary.stat().st_mode
        save_file(stored, temporary)
        temporary.chmod(mode)  # the package's files are readable for their owner alone
    return [path]


def is_safetensors(path: Path) -> bool:
    """Whether the file starts as a safetensors file does, or one lies in the folder or one level below."""
    if path.is_dir():
        return bool(files_in(path, _safetensors_in))
    start = first_bytes(path, SAFETENSORS_LENGTH.size + 1)
    if len(start) <= SAFETENSORS_LENGTH.size:
        return False
    return SAFETENSORS_LENGTH.unpack_from(start)[0] <= SAFETENSORS_MAX_HEADER and start.endswith(b"{")
