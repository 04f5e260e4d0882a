"""Frozen graphs as TensorFlow writes them, made of their fields."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from modelzoo.formats.checkpoint_tensors import shape_message
from modelzoo.formats.checkpoint_v2 import NUMBERS
from modelzoo.formats.protobuf import field


def operation(name: str, kind: str, *inputs: str, attributes: bytes = b"") -> bytes:
    """A node of a GraphDef."""
    fields = field(1, name.encode()) + field(2, kind.encode())
    return field(1, fields + b"".join(field(3, source.encode()) for source in inputs) + attributes)


def tensor(array: np.ndarray, content: bytes | None = None) -> bytes:
    """A TensorProto."""
    dtype, shape = field(1, NUMBERS[array.dtype]), field(2, shape_message(array.shape))
    return dtype + shape + field(4, array.tobytes() if content is None else content)


def constant(name: str, value: bytes) -> bytes:
    """A constant of a TensorProto, which is the value of an attribute."""
    pair = field(1, b"value") + field(2, field(8, value))
    kind = field(1, b"dtype") + field(2, field(6, 1))
    return operation(name, "Const", attributes=field(5, kind) + field(5, pair))


def variable(name: str, value: bytes, read: str = "/read") -> bytes:
    """What stands for a variable, and the operation that read it."""
    return constant(name, value) + operation(name + read, "Identity", name)


def graph(arrays: Mapping[str, np.ndarray]) -> bytes:
    """A GraphDef with the images' placeholder, a constant that is no variable, and variables."""
    parts = [operation("input", "Placeholder"), constant("axes", tensor(np.int32([1, 2])))]
    parts += [variable(name, tensor(array)) for name, array in arrays.items()]
    return b"".join(parts) + field(4, field(1, 26))
