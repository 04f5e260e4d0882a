"""TensorFlow checkpoints V1: one table, whose first value lists the tensors; each other value is one of them.

The messages are those of tensorflow/core/util/saved_tensor_slice.proto. Only whole tensors are read.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from modelzoo.formats.checkpoint_tensors import OTHER, TYPES, CheckpointTensors, require_few, shape_of
from modelzoo.formats.leveldb_table import Table
from modelzoo.formats.protobuf import Message, fields, varints
from modelzoo.formats.tensors import MAX_NAMES_BYTES, Stored, stored_bytes

# The field of a TensorProto (tensorflow/core/framework/tensor.proto) that holds values of a type: as bytes in
# a row, or as packed varints.
ROWS = {"<f4": 5, "<f8": 6}
VARINTS = {"<i4": 7, "u1": 7, "<i2": 7, "i1": 7, "<u2": 7, "<i8": 10, "?": 11}
WHOLE = b"\x0a\x00"  # of a TensorSliceProto, for each dimension: an extent without start and length


class SavedSlices(CheckpointTensors):
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
        saved = Message(self._table.find(slice_key(name, len(stored.shape)))).bytes(2)
        tensor = Message(Message(saved).bytes(3))
        if stored.type in ROWS:
            values = np.frombuffer(tensor.bytes(ROWS[stored.type]), stored.type).copy()
        elif stored.type in VARINTS:
            integers = np.fromiter(varints(tensor.bytes(VARINTS[stored.type])), np.uint64)
            values = integers.astype(stored.type)  # of a negative one the lower bits are it
        else:
            raise ValueError("its values are of a type that is not read from V1 checkpoints")
        if len(values) != math.prod(stored.shape):
            raise ValueError(f"expected the values of shape {stored.shape}, got {len(values)} values")
        return stored.array(values)


def _listed(table: Table, size: int) -> dict[str, Stored]:
    """The tensors that a SavedTensorSliceMeta lists, under the empty key."""
    key, value = next(table.pairs(), (None, b""))
    if key != b"":
        raise ValueError("it does not list its tensors")
    listed: dict[str, Stored] = {}
    length = 0
    for number, tensor in fields(Message(value).bytes(1)):
        if number != 1 or isinstance(tensor, int):
            continue
        name, stored = _listed_tensor(Message(tensor))
        least = stored_bytes(stored.shape, stored.type) if stored.type in ROWS else math.prod(stored.shape)
        if least > size:
            raise ValueError(f"{name!r} of shape {stored.shape} cannot be in a file of {size} bytes")
        if name in listed:
            raise ValueError(f"it lists {name!r} twice")
        listed[name] = stored
        length += len(name.encode())
        require_few(listed)
        if length > MAX_NAMES_BYTES:
            raise ValueError(f"its names have more than {MAX_NAMES_BYTES} bytes")
    return listed


def _listed_tensor(meta: Message) -> tuple[str, Stored]:
    """Name, shape and type of a SavedSliceMeta."""
    name = bytes(meta.bytes(1)).decode()
    stored = Stored(0, shape_of(meta.bytes(2)), TYPES.get(meta.integer(3), OTHER))
    if bytes(meta.bytes(4)) != WHOLE * len(stored.shape):
        raise ValueError(f"{name!r} is stored in slices, which cannot be converted")
    return name, stored


def slice_key(name: str, dimensions: int) -> bytes:
    r"""The key of a whole tensor, in OrderedCode (tensorflow/core/util/saved_tensor_slice_util.cc).

    >>> slice_key("a", 1)
    b'\x00a\x00\x01\x01\x01\x80\x7f'
    """
    escaped = name.encode().replace(b"\xff", b"\xff\x00").replace(b"\0", b"\0\xff")
    number = bytes([1, dimensions]) if dimensions else b"\0"
    return b"\0" + escaped + b"\0\1" + number + b"\x80\x7f" * dimensions
