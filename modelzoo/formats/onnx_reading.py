"""ONNX files read whole: operations with their attributes, and tensors, whose values stay in the file.

https://github.com/onnx/onnx/blob/main/onnx/onnx.proto says what the numbers of fields mean. Only what lies in
the file is read: a tensor that names another file is refused. What is wrong raises ValueError.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.errors import quoted
from modelzoo.formats import protobuf
from modelzoo.formats.networks import MOST_OPERATIONS, MOST_TENSORS, Network, Node, Tensor
from modelzoo.formats.onnx import (
    GRAPH_FIELD,
    OPSET_FIELD,
    Sides,
    message_of,
    pair_of,
    string_of,
    value_of,
)
from modelzoo.formats.tensors import BFLOAT16, MAX_DIMENSIONS, first_bytes

LARGEST_SIDE = 2**40
MOST_VERSIONS = 64  # of the file format; there are 13
NEXT = (0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72)  # the first bytes of the other fields of a model
TYPES = {  # numbers of data types; bfloat16 is the upper half of float32
    1: "<f4",
    2: "u1",
    3: "i1",
    4: "<u2",
    5: "<i2",
    6: "<i4",
    7: "<i8",
    9: "?",
    10: "<f2",
    11: "<f8",
    12: "<u4",
    13: "<u8",
    16: "bfloat16",
}
# Where values lie that are not raw bytes: the number of the field, and how each value is packed there.
VALUES = {"<f4": (4, "<f4"), "<f8": (10, "<f8"), "<i8": (7, ""), "<u4": (11, ""), "<u8": (11, "")}


def read(path: Path) -> Network:
    """The network of a file. Raises OSError, and ValueError for another file or a damaged one."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    graph, opset = None, 0
    for number, value in protobuf.fields(
        memoryview(mapped)
    ):  # unmapped when nobody has a part of it any more
        if number == GRAPH_FIELD:
            graph = message_of(value)
        elif number == OPSET_FIELD:
            domain, version = pair_of(value)
            opset = version if isinstance(version, int) and not domain else opset
    if graph is None or not opset:
        raise ValueError("it has no graph, or no set of operators")
    return _network(graph, opset)


def _network(graph: memoryview, opset: int) -> Network:
    name, nodes = "", []
    tensors: dict[str, Tensor] = {}
    ends: dict[int, dict[str, Sides]] = {11: {}, 12: {}}
    for number, value in protobuf.fields(graph):
        if number == 1:
            nodes.append(_node(message_of(value)))
        elif number == 2:
            name = string_of(value)
        elif number == 5:
            key, tensor = _tensor(message_of(value))
            tensors[key] = tensor
        elif number == 15:
            raise ValueError("it has sparse tensors")
        elif number in ends:
            key, sides = value_of(message_of(value))
            ends[number][key] = sides
        if len(nodes) > MOST_OPERATIONS or len(tensors) > MOST_TENSORS:
            raise ValueError(f"it has more than {MOST_OPERATIONS:,} operations or tensors")
    inputs = {key: sides for key, sides in ends[11].items() if key not in tensors}
    return Network(name, opset, inputs, ends[12], tuple(nodes), tensors)


def _node(message: memoryview) -> Node:
    texts: dict[int, list[str]] = {1: [], 2: [], 3: [], 4: [], 7: []}
    attributes: dict[str, Any] = {}
    for number, value in protobuf.fields(message):
        if number in texts:
            texts[number].append(string_of(value))
        elif number == 5:
            name, found = _attribute(message_of(value))
            attributes[name] = found
    kind, domain, name = ((texts[number] or [""])[-1] for number in (4, 7, 3))
    domain = "" if domain == "ai.onnx" else domain
    return Node(kind, domain, name, tuple(texts[1]), tuple(texts[2]), attributes)


def _attribute(message: memoryview) -> tuple[str, Any]:
    """Name and value: a number, a text, a tensor, or a tuple; None for what is none of these."""
    name, kind = "", 0
    one: dict[int, Any] = {}
    several: dict[int, list[Any]] = {7: [], 8: [], 9: []}
    for number, value in protobuf.fields(message):
        if number == 1:
            name = string_of(value)
        elif number == 20:
            kind = value
        elif number == 7:
            several[7] += _floats(value)
        elif number == 8:
            several[8] += [value] if isinstance(value, int) else protobuf.varints(value)
        elif number == 9:
            several[9].append(string_of(value))
        else:
            one[number] = value
    if kind == 1:
        return name, _floats(one.get(2, 0))[0]
    if kind == 2:
        return name, _signed(one.get(3, 0))
    if kind == 3:
        return name, string_of(one.get(4, memoryview(b"")))
    if kind == 4:
        return name, _tensor(message_of(one.get(5, memoryview(b""))))[1]
    found = several[{6: 7, 7: 8, 8: 9}[kind]] if kind in (6, 7, 8) else None
    return name, tuple(map(_signed, found)) if kind == 7 and found is not None else tuple(found or ())


def _floats(value: int | memoryview) -> list[float]:
    content = struct.pack("<I", value % 2**32) if isinstance(value, int) else bytes(value)
    return list(struct.unpack(f"<{len(content) // 4}f", content[: len(content) // 4 * 4]))


def _signed(value: Any) -> int:
    """An integer, whose negative values are the two's complement of 64 bits."""
    if not isinstance(value, int):
        raise ValueError("an attribute is no integer")
    return value - 2**64 if value >= 2**63 else value


def _tensor(message: memoryview) -> tuple[str, Tensor]:
    name, kind, raw = "", 0, None
    sides: list[int] = []
    others: dict[int, list[int | memoryview]] = {}
    for number, value in protobuf.fields(message):
        if number == 1:
            sides += [value] if isinstance(value, int) else protobuf.varints(value)
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 8:
            name = string_of(value)
        elif number == 9:
            raw = message_of(value)
        elif number in (13, 14) and value:
            raise ValueError(f"the values of {quoted(name)} lie in another file")
        else:
            others.setdefault(number, []).append(value)
        if len(sides) > MAX_DIMENSIONS:
            raise ValueError(f"a tensor has more than {MAX_DIMENSIONS} dimensions")
    type = TYPES.get(kind)
    if type is None or any(side > LARGEST_SIDE for side in sides):
        raise ValueError(f"the tensor {quoted(name)} has a type or sides that no network needs")
    content = raw if raw is not None else _content(type, others)
    size = 1 if isinstance(content, tuple) else np.dtype("<u2" if type == BFLOAT16 else type).itemsize
    if len(content) != math.prod(sides) * size:
        raise ValueError(
            f"the tensor {quoted(name)} of shape {tuple(sides)} has {len(content) // size} values"
        )
    return name, Tensor(tuple(sides), type, content)


def _content(type: str, fields: Mapping[int, list[int | memoryview]]) -> memoryview | tuple[int, ...]:
    """Values that are not raw: fixed ones as bytes, varints as integers."""
    number, packed = VALUES.get(type, (5, ""))
    found = fields.get(number, [])
    if not packed:
        return tuple(_integers(found))
    width = np.dtype(packed).itemsize
    joined = (v.to_bytes(width, "little") if isinstance(v, int) else bytes(v) for v in found)
    return memoryview(b"".join(joined))


def _integers(found: list[int | memoryview]) -> Iterator[int]:
    for value in found:
        if isinstance(value, int):
            yield value
        else:
            yield from protobuf.varints(value)


def is_onnx(path: Path) -> bool:
    """Whether the file begins as ONNX's: with its version, a small number, and another known field."""
    start = first_bytes(path, 3)
    return len(start) == 3 and start[0] == 0x08 and start[1] < MOST_VERSIONS and start[2] in NEXT
