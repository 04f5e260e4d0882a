"""TensorFlow checkpoints: V1 is one file; V2 is PREFIX.index and PREFIX.data-00000-of-0000N.

They are read without TensorFlow, whose own reader ends the process at some damaged files.
"""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from modelzoo.conversion.readers import crc32c
from modelzoo.conversion.readers.common import (
    BFLOAT16,
    MAX_DIMENSIONS,
    MAX_TENSORS,
    Stored,
    TensorInfo,
    Tensors,
    as_conversion_error,
    files_in,
    only_file,
    stored_bytes,
    visible_in,
)
from modelzoo.conversion.readers.tables import TABLE_MAGIC, Table, fields, message, varints
from modelzoo.errors import ConversionError, some

CHECKPOINT_PART = re.compile(r"(?<=.)\.(index|meta|data-\d{5}-of-\d{5})$")
CHECKPOINT_STATE = re.compile(r'^\s*model_checkpoint_path:\s*"([^"]*)"', re.MULTILINE)
OTHER = "O"  # strings and what else is not numbers: listed, but not read
TYPES = {  # by the numbers of tensorflow/core/framework/types.proto
    1: "<f4",
    2: "<f8",
    3: "<i4",
    4: "u1",
    5: "<i2",
    6: "i1",
    9: "<i8",
    10: "?",
    14: BFLOAT16,
    17: "<u2",
    19: "<f2",
    22: "<u4",
    23: "<u8",
}
# The field of a TensorProto (tensorflow/core/framework/tensor.proto) that holds values of a type: as bytes in
# a row, or as packed varints.
ROWS = {"<f4": 5, "<f8": 6}
VARINTS = {"<i4": 7, "u1": 7, "<i2": 7, "i1": 7, "<u2": 7, "<i8": 10, "?": 11}
LITTLE_ENDIAN = 0
WHOLE = b"\x0a\x00"  # of a TensorSliceProto, for each side: an extent without start and length


def open_tensorflow_checkpoint(path: Path) -> Tensors:
    """The variables of a checkpoint, V1 or V2.

    `path` is the checkpoint's prefix, any of its files, or a folder. In a folder, the file named
    `checkpoint` decides; without it, there must be exactly one checkpoint there or one level below.
    """
    prefix = _checkpoint_prefix(Path(path))
    table = _require_whole_checkpoint(prefix)
    with as_conversion_error(f"The TensorFlow checkpoint {prefix} cannot be opened"):
        return _SavedSlices(prefix) if table == prefix else _Bundle(prefix, table)


class _CheckpointTensors(Tensors):
    def __init__(self, path: Path, infos: dict[str, TensorInfo], files: list[BinaryIO]):
        super().__init__(path, infos)
        self._files = files

    def _read(self, name: str) -> np.ndarray:
        if not self._files:
            raise ConversionError(f"{self.path} is closed; read its tensors inside the `with` statement.")
        with as_conversion_error(f"Tensor {name!r} of {self.path} cannot be read"):
            return self._values(name)

    @abstractmethod
    def _values(self, name: str) -> np.ndarray: ...

    def close(self) -> None:
        for file in self._files:
            file.close()
        self._files = []


# V2: the index is a table of names and BundleEntryProto (tensorflow/core/protobuf/tensor_bundle.proto), and
# the values lie in the data files as TensorFlow has them in memory.


@dataclass(frozen=True)
class _Entry:
    stored: Stored
    shard: int
    checksum: int


class _Bundle(_CheckpointTensors):
    def __init__(self, prefix: Path, index: Path):
        with index.open("rb") as file:
            pairs = Table(file).pairs()
            shards = _shard_files(prefix, next(pairs, None))
            sizes = [shard.stat().st_size for shard in shards]
            self._entries: dict[str, _Entry] = {}
            for key, value in pairs:
                name = key.decode()
                self._entries[name] = _entry(name, value, sizes)
                _require_few(self._entries)
        infos = {name: entry.stored.info for name, entry in self._entries.items()}
        super().__init__(prefix, infos, [shard.open("rb") for shard in shards])

    def _values(self, name: str) -> np.ndarray:
        entry = self._entries[name]
        if entry.stored.type == OTHER:
            raise ValueError("its values are not numbers")
        raw = entry.stored.raw(self._files[entry.shard])
        if crc32c.masked(raw.view(np.uint8)) != entry.checksum:
            raise ValueError("its checksum is wrong")
        return entry.stored.array(raw)


def _shard_files(prefix: Path, header: tuple[bytes, memoryview] | None) -> list[Path]:
    """The data files, whose number is in the header, a BundleHeaderProto under the empty key."""
    if header is None or header[0] != b"":
        raise ValueError("its index has no header")
    count, order = message(header[1], {1: 0, 2: LITTLE_ENDIAN})
    if order != LITTLE_ENDIAN:
        raise ValueError("its values are big-endian")
    present = {shard.name for shard in _shards(prefix)}
    if not 0 < count <= len(present):
        raise ValueError(f"its index wants {count} data files and there are {len(present)}")
    names = [_shard_name(prefix, shard, count) for shard in range(count)]
    if missing := [name for name in names if name not in present]:
        raise ValueError(f"it lacks {some(missing)}")
    return [prefix.with_name(name) for name in names]


def _entry(name: str, value: memoryview, sizes: list[int]) -> _Entry:
    defaults = {1: 0, 2: b"", 3: 0, 4: 0, 5: 0, 6: 0, 7: b""}
    type, sides, shard, offset, size, checksum, slices = message(value, defaults)
    if len(slices):
        raise ValueError(f"{name!r} is stored in slices, which cannot be converted")
    stored = Stored(offset, _shape(sides), TYPES.get(type, OTHER))
    if not _fits(stored.shape, stored.type, size):
        raise ValueError(f"{name!r} of shape {stored.shape} cannot take {size} bytes")
    if shard >= len(sizes) or offset + size > sizes[shard]:
        raise ValueError(f"{name!r} lies beyond the end of the data files")
    return _Entry(stored, shard, checksum)


def _fits(shape: tuple[int, ...], type: str, size: int) -> bool:
    """A string takes at least the byte that says how long it is."""
    return math.prod(shape) <= size if type == OTHER else stored_bytes(shape, type) == size


# V1: one table, whose first value lists the tensors, and of which each other value is one
# (tensorflow/core/util/saved_tensor_slice.proto).


class _SavedSlices(_CheckpointTensors):
    def __init__(self, path: Path):
        file = path.open("rb")
        try:
            self._table = Table(file)
            self._stored = _listed(self._table, path.stat().st_size)
        except BaseException:
            file.close()
            raise
        super().__init__(path, {name: stored.info for name, stored in self._stored.items()}, [file])

    def _values(self, name: str) -> np.ndarray:
        stored = self._stored[name]
        saved = message(self._table.find(_slice_key(name, len(stored.shape))), {2: b""})[0]
        tensor = message(saved, {3: b""})[0]
        if stored.type in ROWS:
            values = np.frombuffer(message(tensor, {ROWS[stored.type]: b""})[0], stored.type).copy()
        elif stored.type in VARINTS:
            numbers = np.fromiter(varints(message(tensor, {VARINTS[stored.type]: b""})[0]), np.uint64)
            values = numbers.astype(stored.type)  # of a negative number the lower bits are it
        else:
            raise ValueError("its values are of a type that is not read from V1 checkpoints")
        if len(values) != math.prod(stored.shape):
            raise ValueError(f"of shape {stored.shape}, it has {len(values)} values")
        return stored.array(values)


def _listed(table: Table, size: int) -> dict[str, Stored]:
    """The tensors that a SavedTensorSliceMeta lists, under the empty key."""
    key, value = next(table.pairs(), (None, b""))
    if key != b"":
        raise ValueError("it does not list its tensors")
    listed: dict[str, Stored] = {}
    for field, tensor in fields(message(value, {1: b""})[0]):
        if field != 1 or isinstance(tensor, int):
            continue
        name, sides, type, slices = message(tensor, {1: b"", 2: b"", 3: 0, 4: b""})
        name, stored = bytes(name).decode(), Stored(0, _shape(sides), TYPES.get(type, OTHER))
        if bytes(slices) != WHOLE * len(stored.shape):
            raise ValueError(f"{name!r} is stored in slices, which cannot be converted")
        least = stored_bytes(stored.shape, stored.type) if stored.type in ROWS else math.prod(stored.shape)
        if least > size:
            raise ValueError(f"{name!r} of shape {stored.shape} cannot be in a file of {size} bytes")
        if name in listed:
            raise ValueError(f"{name!r} is there twice")
        listed[name] = stored
        _require_few(listed)
    return listed


def _slice_key(name: str, sides: int) -> bytes:
    r"""The key of a whole tensor, in OrderedCode (tensorflow/core/util/saved_tensor_slice_util.cc).

    >>> _slice_key("a", 1)
    b'\x00a\x00\x01\x01\x01\x80\x7f'
    """
    escaped = name.encode().replace(b"\xff", b"\xff\x00").replace(b"\0", b"\0\xff")
    number = bytes([1, sides]) if sides else b"\0"
    return b"\0" + escaped + b"\0\1" + number + b"\x80\x7f" * sides


def _shape(sides: bytes | memoryview) -> tuple[int, ...]:
    """The sides of a TensorShapeProto."""
    shape = []
    for field, side in fields(sides):
        if field == 2 and not isinstance(side, int):
            shape.append(message(side, {1: 0})[0])
    if len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"a tensor has {len(shape)} dimensions, which no array has")
    if any(side >= 2**63 for side in shape):
        raise ValueError("a tensor has a negative side, which no array has")
    return tuple(shape)


def _require_few(tensors: Mapping[str, object]) -> None:
    if len(tensors) > MAX_TENSORS:
        raise ValueError(f"it has more than {MAX_TENSORS} tensors")


# Where a checkpoint's files are.


def _with_ending(prefix: Path, ending: str) -> Path:
    return prefix.with_name(prefix.name + ending)


def _checkpoint_prefix(path: Path) -> Path:
    if not path.is_dir():
        return path.with_name(CHECKPOINT_PART.sub("", path.name))
    return only_file(path, "TensorFlow checkpoint", _checkpoints_in)


def _checkpoints_in(folder: Path) -> list[Path]:
    """The prefixes of the checkpoints that lie in a folder, or the one that its state file names."""
    state = folder / "checkpoint"
    if state.is_file():
        found = CHECKPOINT_STATE.search(state.read_text("utf-8", errors="replace"))
        if found:  # the folder may have moved since, also from Windows: only the base name holds
            return [folder / re.split(r"[/\\]", found.group(1))[-1]]
    files = [file for file in visible_in(folder) if file.is_file()]
    prefixes = {
        file.with_name(CHECKPOINT_PART.sub("", file.name))
        for file in files
        if file.suffix in (".ckpt", ".index") or ".data-" in file.suffix or _ends_as_table(file)
    }
    return sorted(prefixes)


def _ends_as_table(file: Path) -> bool:
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - len(TABLE_MAGIC)))
        return stream.read() == TABLE_MAGIC


def _require_whole_checkpoint(prefix: Path) -> Path:
    """The file that lists the tensors; all others are there, too."""
    index, shards = _with_ending(prefix, ".index"), _shards(prefix)
    if index.is_file():
        table = index
        _require_shards(prefix, shards)
    elif prefix.is_file():
        table = prefix
    elif shards:
        raise ConversionError(f"The TensorFlow checkpoint {prefix} has data files but no {index.name}.")
    else:
        raise ConversionError(
            f"There is no TensorFlow checkpoint {prefix}: neither that file nor {index.name} exists."
        )
    if not _ends_as_table(table):
        raise ConversionError(
            f"{table} does not end as a TensorFlow checkpoint does: it is cut off, or another kind of file."
        )
    return table


def _shards(prefix: Path) -> list[Path]:
    if not prefix.parent.is_dir():
        return []
    name = re.compile(re.escape(prefix.name) + r"\.data-\d{5}-of-\d{5}")
    return [file for file in prefix.parent.iterdir() if name.fullmatch(file.name)]


def _shard_name(prefix: Path, shard: int, count: int) -> str:
    return f"{prefix.name}.data-{shard:05}-of-{count:05}"


def _require_shards(prefix: Path, shards: list[Path]) -> None:
    present = {file.name for file in shards}
    totals = {int(file.name[-5:]) for file in shards} or {1}
    missing: list[str] = []
    for total in sorted(totals):
        wanted = [_shard_name(prefix, shard, total) for shard in range(total)]
        missing = [name for name in wanted if name not in present]
        if not missing:
            return
    raise ConversionError(
        f"The TensorFlow checkpoint {prefix} lacks {some(missing)}; its data files belong beside its index."
    )


def is_tensorflow_checkpoint(path: Path) -> bool:
    if path.is_dir():
        return bool(files_in(path, _checkpoints_in))
    prefix = _checkpoint_prefix(path)
    return _with_ending(prefix, ".index").is_file() or (prefix.is_file() and _ends_as_table(prefix))
