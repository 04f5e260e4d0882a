"""What both versions of TensorFlow's checkpoints share: types, shapes, and how values are read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sized
from pathlib import Path
from typing import BinaryIO

import numpy as np

from modelzoo.errors import ConversionError
from modelzoo.formats.protobuf import Message, field, field_unless_zero, fields
from modelzoo.formats.tensors import (
    BFLOAT16,
    MAX_DIMENSIONS,
    MAX_TENSORS,
    TensorInfo,
    Tensors,
    as_conversion_error,
)

KIND = "a TensorFlow checkpoint"
OTHER = "O"  # strings and what else is not numeric: listed, but not read
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


class CheckpointTensors(Tensors):
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


def shape_of(message: bytes | memoryview) -> tuple[int, ...]:
    """The dimensions of a TensorShapeProto; no more are built than an array can have."""
    shape: list[int] = []
    for number, dimension in fields(message):
        if number == 2 and not isinstance(dimension, int):
            shape.append(Message(dimension).integer(1))
        if len(shape) > MAX_DIMENSIONS:
            raise ValueError(f"a tensor has more than {MAX_DIMENSIONS} dimensions, which no array has")
    if any(dimension >= 2**63 for dimension in shape):
        raise ValueError("a tensor has a negative dimension, which no array has")
    return tuple(shape)


def shape_message(shape: tuple[int, ...]) -> bytes:
    """A TensorShapeProto."""
    return b"".join(field(2, field_unless_zero(1, dimension)) for dimension in shape)


def require_few(tensors: Sized) -> None:
    if len(tensors) > MAX_TENSORS:
        raise ValueError(f"it has more than {MAX_TENSORS} tensors")
