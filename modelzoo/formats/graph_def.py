"""TensorFlow's graphs, .pb: operations with attributes, in an order in which they can run, and constants.

The messages are those of tensorflow/core/framework: graph.proto, node_def.proto, attr_value.proto and
tensor.proto. What is wrong raises ValueError.
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.errors import quoted
from modelzoo.formats.checkpoint_tensors import TYPES
from modelzoo.formats.networks import MOST_OPERATIONS, Network, Node, Sides, Tensor
from modelzoo.formats.onnx import message_of, string_of
from modelzoo.formats.protobuf import fields, varints
from modelzoo.formats.tensors import BFLOAT16, MAX_DIMENSIONS, first_bytes, stored_bytes, stored_dtype

INPUTS = ("Placeholder",)
KEPT = "_output_shapes"  # an attribute that repeats what is known
LARGEST_SIDE = 2**40
FEW = 2**16  # values of a constant that may be stated once for all
LONGEST = 2**24  # bytes of a text: what a file says of itself may list 11,166 classes
START = re.compile(rb"\x0a[\x80-\xff]{0,4}[\x00-\x7f]\x0a([\x01-\x7f]|[\x80-\xff][\x01-\x7f])[A-Za-z0-9.]")
# The fields of values that are not raw bytes, by type; of other integers it is 7.
VALUES = {"<f4": 5, "<f8": 6, "<i8": 10, "?": 11, "<f2": 13, BFLOAT16: 13}
FIXED = {5: "<f4", 6: "<f8"}


def read(path: Path) -> Network:
    """The network of a file: what its placeholders lead to. Raises OSError, and ValueError."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    nodes: dict[str, Node] = {}
    tensors: dict[str, Tensor] = {}
    for number, value in fields(memoryview(mapped)):  # unmapped when nobody has a part of it any more
        if number != 1:
            continue
        node = node_of(message_of(value))
        if node.name in nodes or node.name in tensors:
            raise ValueError(f"it has two operations {quoted(node.name)}")
        constant = node.attributes.get("value")
        if node.kind == "Const" and isinstance(constant, Tensor):
            tensors[node.name] = constant
        else:
            nodes[node.name] = node
        if len(nodes) + len(tensors) > MOST_OPERATIONS:
            raise ValueError(f"it has more than {MOST_OPERATIONS:,} operations")
    inputs: dict[str, Sides] = {
        name: node.attributes.get("shape") or () for name, node in nodes.items() if node.kind in INPUTS
    }
    return connected(nodes, inputs, tensors)


def connected(nodes: Mapping[str, Node], inputs: Mapping[str, Sides], tensors: Mapping[str, Any]) -> Network:
    """The network of operations in any order; what nothing takes is an output. ValueError: a circle."""
    found = _ordered({name: node for name, node in nodes.items() if name not in inputs})
    depending = _depending(found, inputs)
    used = {name for node in found for name in node.inputs}
    outputs: dict[str, Sides] = {name: () for name in depending if name not in used}
    return Network("network", 0, inputs, outputs, tuple(found), tensors)


def _ordered(nodes: Mapping[str, Node]) -> list[Node]:
    """The operations, each after those that it needs; raises ValueError for a circle."""
    done: dict[str, bool] = {}  # false while what it needs is looked at
    found: list[Node] = []
    for name in nodes:
        waiting = [name]
        while waiting:
            node = nodes[waiting[-1]]
            missing = [source for source in node.inputs if source in nodes and source not in done]
            if node.name not in done:
                done[node.name] = False
            if missing:
                waiting += missing
                continue
            waiting.pop()
            if not done[node.name]:
                if any(done.get(source) is False for source in node.inputs):
                    raise ValueError(f"the operation {quoted(node.name)} depends on itself")
                done[node.name] = True
                found.append(node)
    return found


def _depending(nodes: Sequence[Node], inputs: Mapping[str, Sides]) -> list[str]:
    """The operations that depend on an input."""
    found = dict.fromkeys(inputs)
    for node in nodes:
        if any(source in found for source in node.inputs):
            found[node.name] = None
    return [name for name in found if name not in inputs]


def node_of(message: memoryview, attribute: int = 5) -> Node:
    """An operation; `attribute` is the number of the field with one."""
    name, kind = "", ""
    inputs: list[str] = []
    attributes: dict[str, Any] = {}
    for number, value in fields(message):
        if number == 1:
            name = string_of(value)
        elif number == 2:
            kind = string_of(value)
        elif number == 3:
            source = string_of(value)
            if not source.startswith("^"):  # only an order in time
                inputs.append(source.removesuffix(":0"))
        elif number == attribute:
            parts = dict(fields(message_of(value)))
            key = string_of(parts.get(1, memoryview(b"")))
            if key != KEPT:
                attributes[key] = _attribute(message_of(parts.get(2, memoryview(b""))))
    return Node(kind, "", name, tuple(inputs), (name,), attributes)


def _attribute(message: memoryview) -> Any:
    """A text, number, truth value, type, shape, tensor or list of integers; None for anything else."""
    for number, value in fields(message):
        if number == 1:
            return _listed(message_of(value))
        if number == 2:
            return string_of(value) if len(message_of(value)) <= LONGEST else None
        if number == 3:
            return _signed(value)
        if number == 4 and isinstance(value, int):
            return struct.unpack("<f", struct.pack("<I", value))[0]
        if number == 5:
            return bool(value)
        if number == 6:
            return value
        if number == 7:
            return _shape(message_of(value))
        if number == 8:
            return _tensor(message_of(value))
    return None


def _signed(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError("an attribute is no integer")
    return value - 2**64 if value >= 2**63 else value


def _listed(message: memoryview) -> list[Any]:
    """The integers, floating-point numbers or texts of a list; nothing of another one."""
    found: list[Any] = []
    for number, value in fields(message):
        if number == 3:
            found += map(_signed, [value] if isinstance(value, int) else varints(value))
        elif number == 4:
            packed = struct.pack("<I", value) if isinstance(value, int) else bytes(value)
            found += struct.unpack(f"<{len(packed) // 4}f", packed[: len(packed) // 4 * 4])
        elif number == 2:
            found.append(string_of(value))
        if len(found) > FEW:
            raise ValueError(f"a list of an attribute has more than {FEW:,} items")
    return found


def _shape(message: memoryview) -> tuple[int | None, ...] | None:
    """The sides, None for those that are open; None if even their number is not known."""
    sides: list[int | None] = []
    for number, value in fields(message):
        if number == 3 and value:
            return None
        if number == 2:
            side = _signed(dict(fields(message_of(value))).get(1, 0))
            sides.append(side if 0 <= side <= LARGEST_SIDE else None)
        if len(sides) > MAX_DIMENSIONS:
            raise ValueError(f"a tensor has more than {MAX_DIMENSIONS} dimensions")
    return tuple(sides)


def _tensor(message: memoryview) -> Tensor | None:
    """A constant; None for one of texts and the like."""
    kind, sides, content = 0, (), memoryview(b"")
    others: dict[int, list[int | memoryview]] = {}
    for number, value in fields(message):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2:
            sides = _shape(message_of(value)) or ()
        elif number == 4:
            content = message_of(value)
        else:
            others.setdefault(number, []).append(value)
    type = TYPES.get(kind)
    if type is None:
        return None
    shape = tuple(side for side in sides if side is not None)
    size = math.prod(shape)
    if len(shape) != len(sides):
        raise ValueError("a constant has an open side")
    if not len(content):
        return Tensor(shape, type, _filled(type, others, size))
    if len(content) == stored_bytes((), type) and size != 1:  # one value for all places
        content = memoryview(np.full(_few(size), np.frombuffer(content, stored_dtype(type))[0]).tobytes())
    if len(content) != stored_bytes(shape, type):
        raise ValueError(f"a constant of shape {shape} has {len(content)} bytes")
    return Tensor(shape, type, content)


def _filled(
    type: str, others: Mapping[int, list[int | memoryview]], size: int
) -> memoryview | tuple[int, ...]:
    """Values that are listed; the last one stands for all that are not."""
    number = VALUES.get(type, 7)
    found = others.get(number, [])
    if number in FIXED:
        width = np.dtype(FIXED[number]).itemsize
        joined = b"".join(v.to_bytes(width, "little") if isinstance(v, int) else bytes(v) for v in found)
        given = len(joined) // width
        if given < size:
            last = joined[-width:] if joined else bytes(width)
            joined += last * (_few(size) - given)
        if len(joined) != size * width:
            raise ValueError(f"a constant of {size} values has {given}")
        return memoryview(joined)
    listed = [item for value in found for item in ([value] if isinstance(value, int) else varints(value))]
    if len(listed) < size:
        listed += (listed[-1:] or [0]) * (_few(size) - len(listed))
    if len(listed) != size:
        raise ValueError(f"a constant of {size} values has {len(listed)}")
    return tuple(listed)


def _few(size: int) -> int:
    if size > FEW:
        raise ValueError(f"a constant states one value for {size} places")
    return size


def is_graph_def(path: Path) -> bool:
    """Whether the file begins as a graph does: with an operation, whose name comes first."""
    return START.match(first_bytes(path, 16)) is not None
