"""TensorFlow checkpoints V2: the index is a table of names and entries; the values lie in the data files.

The messages are those of tensorflow/core/protobuf/tensor_bundle.proto; values lie as TensorFlow has them in
memory. What is written has the very bytes that TensorFlow 2 writes for names in sorted order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelzoo.errors import abbreviated
from modelzoo.files import atomic_write
from modelzoo.formats.checkpoint_files import index_path, shard_name, shard_names_of
from modelzoo.formats.checkpoint_tensors import (
    KIND,
    OTHER,
    TYPES,
    CheckpointTensors,
    require_few,
    shape_message,
    shape_of,
)
from modelzoo.formats.checksums import masked_crc32c
from modelzoo.formats.leveldb_table import Table, table_bytes
from modelzoo.formats.protobuf import Message, field, field_unless_zero, fixed32
from modelzoo.formats.tensors import (
    BFLOAT16,
    Stored,
    as_stored,
    require_storable_names,
    stored_bytes,
)

LITTLE_ENDIAN = 0
HEADER = field(1, 1) + field(3, field(1, 1))  # a BundleHeaderProto: one data file, of the format's version 1
NUMBERS = {np.dtype(type): number for number, type in TYPES.items() if type != BFLOAT16}


@dataclass(frozen=True)
class _Entry:
    stored: Stored
    shard: int
    checksum: int


class Bundle(CheckpointTensors):
    def __init__(self, prefix: Path, index: Path):
        with index.open("rb") as file:
            pairs = Table(file).pairs()
            shards = _shard_files(prefix, next(pairs, None))
            sizes = [shard.stat().st_size for shard in shards]
            self._entries: dict[str, _Entry] = {}
            for key, value in pairs:
                name = key.decode()
                self._entries[name] = _entry(name, Message(value), sizes)
                require_few(self._entries)
        infos = {name: entry.stored.info for name, entry in self._entries.items()}
        super().__init__(prefix, infos, [shard.open("rb") for shard in shards])

    def _values(self, name: str) -> np.ndarray:
        entry = self._entries[name]
        if entry.stored.type == OTHER:
            raise ValueError("its values are not numeric")
        raw = entry.stored.raw(self._files[entry.shard])
        if masked_crc32c(raw) != entry.checksum:
            raise ValueError("its checksum is wrong")
        return entry.stored.array(raw)


def _shard_files(prefix: Path, header: tuple[bytes, memoryview] | None) -> list[Path]:
    """The data files, whose number is in the header, a BundleHeaderProto under the empty key."""
    if header is None or header[0] != b"":
        raise ValueError("its index has no header")
    message = Message(header[1])
    if message.integer(2) != LITTLE_ENDIAN:
        raise ValueError("its values are big-endian")
    count, present = message.integer(1), shard_names_of(prefix)
    if not 0 < count <= len(present):
        raise ValueError(f"expected {count} data files, as its index says, got {len(present)}")
    names = [shard_name(prefix, shard, count) for shard in range(count)]
    if missing := [name for name in names if name not in present]:
        raise ValueError(f"it is missing {abbreviated(missing)}")
    return [prefix.with_name(name) for name in names]


def _entry(name: str, message: Message, sizes: list[int]) -> _Entry:
    """A BundleEntryProto, whose values lie in the data files."""
    if len(message.bytes(7)):
        raise ValueError(f"{name!r} is stored in slices, which cannot be converted")
    shard, offset, size = (message.integer(number) for number in (3, 4, 5))
    stored = Stored(offset, shape_of(message.bytes(2)), TYPES.get(message.integer(1), OTHER))
    if not _fits(stored.shape, stored.type, size):
        raise ValueError(f"{name!r} of shape {stored.shape} cannot take {size} bytes")
    if shard >= len(sizes) or offset + size > sizes[shard]:
        raise ValueError(f"{name!r} lies beyond the end of the data files")
    return _Entry(stored, shard, message.integer(6))


def _fits(shape: tuple[int, ...], type: str, size: int) -> bool:
    """A string takes at least the byte that says how long it is."""
    return math.prod(shape) <= size if type == OTHER else stored_bytes(shape, type) == size


def write_bundle(prefix: Path, arrays: Mapping[str, np.ndarray]) -> list[Path]:
    """The two files, one data file and then the index, which both appear when whole."""
    require_storable_names(arrays, KIND)
    data_file, index_file = prefix.with_name(shard_name(prefix, 0, 1)), index_path(prefix)
    pairs, offset = [(b"", HEADER)], 0
    with atomic_write(index_file) as new_index, atomic_write(data_file) as new_data:
        with new_data.open("wb") as file:
            for name in sorted(arrays):  # by code points, which is also the order of their bytes in UTF-8
                array = as_stored(name, arrays[name], KIND)
                pairs.append((name.encode(), entry_message(array, offset)))
                array.tofile(file)
                offset += array.nbytes
        new_index.write_bytes(table_bytes(pairs))
    return [data_file, index_file]


def entry_message(array: np.ndarray, offset: int) -> bytes:
    """The BundleEntryProto of an array that lies at `offset` of the only data file."""
    return (
        field(1, NUMBERS[array.dtype])
        + field(2, shape_message(array.shape))
        + field_unless_zero(4, offset)
        + field_unless_zero(5, array.nbytes)
        + fixed32(6, masked_crc32c(array))
    )
