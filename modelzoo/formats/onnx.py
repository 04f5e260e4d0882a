"""ONNX files, by their bytes: written one tensor at a time, and what a file says of itself.

https://github.com/onnx/onnx/blob/main/onnx/onnx.proto says what the numbers of fields mean. A field may come
later than others of its message, so that metadata can be appended to a file.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from modelzoo.formats import protobuf

LARGEST = 2**31 - 1  # bytes of a message
DTYPES = {"float32": 1, "int64": 7, "float16": 10}
FLOAT, INT, STRING, INTS = 1, 2, 3, 7  # kinds of attributes
IR_FIELD, GRAPH_FIELD, OPSET_FIELD, METADATA_FIELD = 1, 7, 8, 14  # of the message ModelProto

Attribute = int | float | str | Sequence[int]
Sides = Sequence[int | str | None]  # a name for a side that is open, None for one without a name


@dataclass(frozen=True)
class Operation:
    """A node: an operator of ONNX on named values."""

    kind: str
    name: str
    inputs: tuple[str, ...]  # "" for one that is left out
    output: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True)
class Constant:
    """A tensor in the file; its array is asked for once, when it is written."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    array: Callable[[], np.ndarray]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Network:
    """What a file holds: operations in an order in which they can run, and constants by name."""

    name: str
    inputs: Mapping[str, Sides]
    outputs: Mapping[str, Sides]
    operations: Sequence[Operation]
    constants: Sequence[Constant]
    opset: int
    ir_version: int = 8  # of the file format


def write(file: BinaryIO, network: Network, metadata: Mapping[str, str], producer: tuple[str, str]) -> None:
    """Writes an ONNX file; the constants one at a time. `producer` is a program and its version.

    Raises ValueError for a network beyond 2 GiB, which is more than a message may have, and for an array that
    is not what its constant says.
    """
    parts = [_operation(operation) for operation in network.operations]
    parts = [protobuf.field(1, part) for part in parts] + [_text(2, network.name)]
    values = [protobuf.field(11, _value(*pair)) for pair in network.inputs.items()]
    values += [protobuf.field(12, _value(*pair)) for pair in network.outputs.items()]
    heads = [_head(constant) for constant in network.constants]
    size = sum(map(len, (*parts, *values, *heads))) + sum(constant.bytes for constant in network.constants)
    if size > LARGEST:
        raise ValueError(
            f"Expected a network of at most 2 GiB for ONNX, got {size / 2**30:.1f} GiB: write it in "
            "half precision (f16), or in another format."
        )
    file.write(protobuf.field(IR_FIELD, network.ir_version) + _text(2, producer[0]) + _text(3, producer[1]))
    file.write(protobuf.field(OPSET_FIELD, _text(1, "") + protobuf.field(2, network.opset)))
    file.write(metadata_bytes(metadata))
    file.write(_tag(GRAPH_FIELD) + protobuf.varint(size))
    for part in (*parts, *values):
        file.write(part)
    for head, constant in zip(heads, network.constants, strict=True):
        file.write(head)
        file.write(_content(constant))


def metadata_bytes(metadata: Mapping[str, str]) -> bytes:
    """Names and texts as a file keeps them, also where they are appended to it."""
    return b"".join(
        protobuf.field(METADATA_FIELD, _text(1, name) + _text(2, text)) for name, text in metadata.items()
    )


@dataclass(frozen=True)
class Summary:
    """What a file says of itself: its inputs and outputs with their sides, and names with texts."""

    producer: str
    opset: int
    inputs: Mapping[str, Sides]
    outputs: Mapping[str, Sides]
    operations: int
    metadata: Mapping[str, str]


def read_summary(path: Path) -> Summary:
    """The summary of a file, whose tensors are not read. Raises OSError, and ValueError for another file."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return _summary(memoryview(mapped))  # unmapped when nobody has a part of it any more


def _summary(view: memoryview) -> Summary:
    found: dict[str, str] = {}
    producer, opset, graph = "", 0, None
    for number, value in protobuf.fields(view):
        if number == 2:
            producer = string_of(value)
        elif number == OPSET_FIELD:
            domain, version = pair_of(value)
            opset = version if isinstance(version, int) and not domain else opset
        elif number == METADATA_FIELD:
            name, text = pair_of(value)
            found[string_of(name)] = string_of(text)
        elif number == GRAPH_FIELD:
            graph = message_of(value)
    if graph is None or not opset:
        raise ValueError("it has no graph, or no set of operators")
    inputs: dict[str, Sides] = {}
    outputs: dict[str, Sides] = {}
    operations = 0
    for number, value in protobuf.fields(graph):
        operations += number == 1
        if number in (11, 12):
            name, sides = value_of(message_of(value))
            (inputs if number == 11 else outputs)[name] = sides
    return Summary(producer, opset, inputs, outputs, operations, found)


def results(path: Path) -> list[str]:
    """The names of what a file's operations give, in their order. Raises as read_summary does."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return [
        string_of(name)
        for number, graph in protobuf.fields(memoryview(mapped))
        if number == GRAPH_FIELD
        for part, operation in protobuf.fields(message_of(graph))
        if part == 1
        for kind, name in protobuf.fields(message_of(operation))
        if kind == 2 and name
    ]


def outputs_bytes(names: Sequence[str]) -> bytes:
    """What makes results outputs, too, where it is appended to a file: readers join the parts of a graph."""
    return protobuf.field(GRAPH_FIELD, b"".join(protobuf.field(12, _text(1, name)) for name in names))


def value_of(value: memoryview) -> tuple[str, Sides]:
    parts = dict(protobuf.fields(value))
    kind = dict(protobuf.fields(message_of(parts.get(2, memoryview(b"")))))
    tensor = dict(protobuf.fields(message_of(kind.get(1, memoryview(b"")))))
    sides: list[int | str | None] = []
    for _, side in protobuf.fields(message_of(tensor.get(2, memoryview(b"")))):
        known = dict(protobuf.fields(message_of(side)))
        fixed, open_ = known.get(1), known.get(2)
        sides.append(fixed if isinstance(fixed, int) else None if open_ is None else string_of(open_))
    return string_of(parts.get(1, memoryview(b""))), sides


def pair_of(value: int | memoryview) -> tuple[memoryview, int | memoryview]:
    parts = dict(protobuf.fields(message_of(value)))
    return message_of(parts.get(1, memoryview(b""))), parts.get(2, memoryview(b""))


def message_of(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a field holds a number where a message belongs")
    return value


def string_of(value: int | memoryview) -> str:
    return bytes(message_of(value)).decode()


def _tag(number: int) -> bytes:
    return protobuf.varint(number << 3 | protobuf.LENGTH)


def _text(number: int, text: str) -> bytes:
    return protobuf.field(number, text.encode())


def _operation(operation: Operation) -> bytes:
    return b"".join(
        (
            *(_text(1, name) for name in operation.inputs),
            _text(2, operation.output),
            _text(3, operation.name),
            _text(4, operation.kind),
            *(protobuf.field(5, _attribute(*pair)) for pair in operation.attributes.items()),
        )
    )


def _attribute(name: str, value: Attribute) -> bytes:
    return _text(1, name) + b"".join(_attribute_value(value))


def _attribute_value(value: Attribute) -> Iterator[bytes]:
    if isinstance(value, float):
        yield protobuf.fixed32(2, int.from_bytes(struct.pack("<f", value), "little"))
        yield protobuf.field(20, FLOAT)
    elif isinstance(value, int):
        yield protobuf.field(3, value) + protobuf.field(20, INT)
    elif isinstance(value, str):
        yield _text(4, value) + protobuf.field(20, STRING)
    else:
        yield b"".join(protobuf.field(8, number) for number in value) + protobuf.field(20, INTS)


def _value(name: str, sides: Sides) -> bytes:
    """An input or output in float32."""
    shape = b"".join(protobuf.field(1, _side(side)) for side in sides)
    tensor = protobuf.field(1, DTYPES["float32"]) + protobuf.field(2, shape)
    return _text(1, name) + protobuf.field(2, protobuf.field(1, tensor))


def _side(side: int | str | None) -> bytes:
    if side is None:
        return b""
    return _text(2, side) if isinstance(side, str) else protobuf.field(1, side)


def _head(constant: Constant) -> bytes:
    """What comes before the content of a constant, the lengths included."""
    parts = (
        *(protobuf.field(1, side) for side in constant.shape),
        protobuf.field(2, DTYPES[constant.dtype]),
        _text(8, constant.name),
        _tag(9) + protobuf.varint(constant.bytes),
    )
    facts = b"".join(parts)
    return _tag(5) + protobuf.varint(len(facts) + constant.bytes) + facts


def _content(constant: Constant) -> memoryview:
    array = np.ascontiguousarray(constant.array(), np.dtype(constant.dtype).newbyteorder("<"))
    if array.size * array.itemsize != constant.bytes:
        raise ValueError(f"Expected {constant.name} of shape {constant.shape}, got {array.shape}.")
    return array.reshape(-1).view(np.uint8).data
