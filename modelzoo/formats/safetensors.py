"""safetensors: uint64 length of a JSON header, the header, values.

The package checks that lengths and offsets agree with one another and with the size of the file; how much it
would build of the header is bounded here, before it sees the file.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from modelzoo.errors import ConversionError, abbreviated
from modelzoo.files import atomic_write
from modelzoo.formats.tensors import (
    BFLOAT16,
    MAX_DIMENSIONS,
    MAX_TENSORS,
    Stored,
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
MAX_HEADER_BYTES = 2**24  # 160 for each of as many tensors as are allowed; the hub's largest have a megabyte
MAX_HEADER_VALUES = 10 * MAX_TENSORS  # numbers, names and words: a tensor of four dimensions has eight
ALIGNMENT = 8  # bytes, of where the values begin
SAFETENSORS_METADATA = "__metadata__"  # the key of the header that is no tensor
METADATA_KEY = b'"__metadata__"'
BF16 = "BF16"
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
    BF16: BFLOAT16,
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
            _require_small_header(path)
            self._file: Any = safe_open(str(path), framework="numpy")
            tensors = {name: _Header.of(self._file.get_slice(name)) for name in self._file.keys()}  # noqa: SIM118
            halves = [name for name, tensor in tensors.items() if tensor.type == BF16]
            self._halves = _stored(path, halves, tensors) if halves else {}
        unknown = {tensor.type for tensor in tensors.values()} - SAFETENSORS_TYPES.keys()
        if unknown:
            raise ConversionError(
                f"{path} has values of type {abbreviated(sorted(unknown))}, which cannot be converted."
            )
        super().__init__(path, {name: tensor.info for name, tensor in tensors.items()})

    def _read(self, name: str) -> np.ndarray:
        if self._file is None:
            raise ConversionError(f"{self.path} is closed; read its tensors inside the `with` statement.")
        with as_conversion_error(f"Tensor {name!r} of {self.path} cannot be read"):
            if name not in self._halves:
                return self._file.get_tensor(name)
            stored = self._halves[name]
            with self.path.open("rb") as file:
                return stored.array(stored.raw(file))

    def close(self) -> None:
        self._file = None


def _stored(path: Path, names: Iterable[str], tensors: Mapping[str, _Header]) -> dict[str, Stored]:
    """Where bfloat16 values lie, which the package cannot give as NumPy's; it has checked all offsets."""
    with path.open("rb") as file:
        (length,) = SAFETENSORS_LENGTH.unpack(file.read(SAFETENSORS_LENGTH.size))
        header = json.loads(file.read(length))
    start = SAFETENSORS_LENGTH.size + length
    return {
        name: Stored(start + header[name]["data_offsets"][0], tensors[name].shape, BFLOAT16) for name in names
    }


def _require_small_header(path: Path) -> None:
    """Every tensor has braces and every value a comma, so that counting them bounds what is built of them."""
    with path.open("rb") as file:
        start = file.read(SAFETENSORS_LENGTH.size)
        if len(start) < SAFETENSORS_LENGTH.size:
            raise ValueError("it is too short for a header")
        (length,) = SAFETENSORS_LENGTH.unpack(start)
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"expected a header of at most {MAX_HEADER_BYTES} bytes, got {length}")
        header = file.read(length)
    tensors = header.count(b"{") - 1 - header.count(METADATA_KEY)
    if tensors > MAX_TENSORS:
        raise ValueError(f"expected at most {MAX_TENSORS} tensors, got {tensors}")
    if header.count(b",") > MAX_HEADER_VALUES:
        raise ValueError(f"its header has more than {MAX_HEADER_VALUES} values")


class _Header(NamedTuple):
    """What the header says of a tensor."""

    shape: tuple[int, ...]
    type: str

    @classmethod
    def of(cls, tensor: Any) -> _Header:
        shape = tuple(tensor.get_shape())
        if len(shape) > MAX_DIMENSIONS:
            raise ValueError(f"a tensor has {len(shape)} dimensions, which no array has")
        return cls(shape, str(tensor.get_dtype()))

    @property
    def info(self) -> TensorInfo:
        return Stored(0, self.shape, SAFETENSORS_TYPES[self.type]).info


def write_safetensors(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> list[Path]:
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
        save_file(stored, temporary, dict(metadata) if metadata else None)
        temporary.chmod(mode)  # the package's files are readable for their owner alone
    return [path]


def read_metadata(path: Path) -> dict[str, str]:
    """The texts of a file's header, by name; its tensors are not read.

    Raises OSError, and ValueError for a file that is not of the format.
    """
    found = _header(path).get(SAFETENSORS_METADATA, {})
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise ValueError("its metadata is no texts by name")
    return found


def with_metadata(path: Path, texts: Mapping[str, str]) -> None:
    """Writes a file again with more texts in its header. Raises as read_metadata does."""
    header = _header(path)
    header = {**header, SAFETENSORS_METADATA: {**read_metadata(path), **texts}}
    content = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    content += b" " * (-len(content) % ALIGNMENT)
    with atomic_write(path) as temporary, path.open("rb") as source, temporary.open("wb") as target:
        source.seek(
            SAFETENSORS_LENGTH.size + SAFETENSORS_LENGTH.unpack(source.read(SAFETENSORS_LENGTH.size))[0]
        )
        target.write(SAFETENSORS_LENGTH.pack(len(content)) + content)
        shutil.copyfileobj(source, target)


def _header(path: Path) -> dict[str, Any]:
    """The header as JSON has it, whose size is bounded."""
    _require_small_header(path)
    with path.open("rb") as file:
        (length,) = SAFETENSORS_LENGTH.unpack(file.read(SAFETENSORS_LENGTH.size))
        found = json.loads(file.read(length))
    if not isinstance(found, dict):
        raise ValueError("its header is no object")
    return found


def is_safetensors(path: Path) -> bool:
    """Whether the file starts as a safetensors file does, or one lies in the folder or one level below."""
    if path.is_dir():
        return bool(files_in(path, _safetensors_in))
    start = first_bytes(path, SAFETENSORS_LENGTH.size + 1)
    if len(start) <= SAFETENSORS_LENGTH.size:
        return False
    return SAFETENSORS_LENGTH.unpack_from(start)[0] <= SAFETENSORS_MAX_HEADER and start.endswith(b"{")
