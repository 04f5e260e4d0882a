"""MMdnn's intermediate representation: a graph in .json or .pb, and its arrays in .npy.

Its messages are shaped as TensorFlow's graphs are; graph.proto in microsoft/MMdnn says what they mean. In
JSON they are as protocol buffers' own mapping writes them: 64-bit integers as texts, and bytes in base64.
"""

from __future__ import annotations

import base64
import json
import mmap
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from modelzoo.errors import quoted
from modelzoo.formats import graph_def, protobuf
from modelzoo.formats.networks import MOST_OPERATIONS, Node
from modelzoo.formats.onnx import message_of
from modelzoo.formats.tensors import first_bytes

INPUT = "DataInput"
LARGEST_JSON = 2**26  # bytes
FLOAT32 = 10  # of the types' numbers
SHAPE = "shape"
ATTRIBUTE = 4  # the field of an operation


def read_nodes(path: Path) -> list[Node]:
    """The operations of a .json or .pb file. Raises OSError, and ValueError for another file."""
    if first_bytes(path, 1) == b"{":
        return _from_json(path)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    found: list[Node] = []
    for number, value in protobuf.fields(memoryview(mapped)):
        if number == 1:
            found.append(graph_def.node_of(message_of(value), ATTRIBUTE))
        _check_count(found)
    return found


def _check_count(nodes: Sequence[Node]) -> None:
    if len(nodes) > MOST_OPERATIONS:
        raise ValueError(f"it has more than {MOST_OPERATIONS:,} operations")


def _from_json(path: Path) -> list[Node]:
    with path.open("rb") as file:
        content = file.read(LARGEST_JSON + 1)
    if len(content) > LARGEST_JSON:
        raise ValueError(f"it has more than {LARGEST_JSON:,} bytes")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not JSON") from error
    nodes = _items(_fields(value).get("node", []))
    _check_count(nodes)
    return [_node(_fields(node)) for node in nodes]


def _node(facts: Mapping[str, Any]) -> Node:
    name, kind = facts.get("name"), facts.get("op")
    inputs = tuple(map(str, _items(facts.get("input", []))))
    if not isinstance(name, str) or not isinstance(kind, str):
        raise ValueError(f"expected an operation with a name, got {quoted(name)} of {quoted(kind)}")
    attributes = {key: _attribute(_fields(each)) for key, each in _fields(facts.get("attr", {})).items()}
    return Node(kind, "", name, tuple(each.removesuffix(":0") for each in inputs), (name,), attributes)


def _attribute(facts: Mapping[str, Any]) -> Any:
    for kind, value in facts.items():
        if kind == "list":
            lists = _fields(value)
            words = next((word for word in ("i", "f", "s") if word in lists), None)
            return [] if words is None else [_scalar(words, item) for item in _items(lists[words])]
        if kind == SHAPE:
            sides = (
                _scalar("i", _fields(side).get("size", 0)) for side in _items(_fields(value).get("dim", []))
            )
            return tuple(side if side >= 0 else None for side in sides)
        return _scalar(kind, value)
    return None


def _scalar(kind: str, value: Any) -> Any:
    """A number, truth value or text; None for what is none of these."""
    if kind == "i":
        if isinstance(value, bool) or not isinstance(value, int | str) or len(str(value)) > 20:
            raise ValueError(f"expected an integer, got {quoted(value)}")
        return int(value)
    if kind == "f":
        if not isinstance(value, int | float | str):
            raise ValueError(f"expected a number, got {quoted(value)}")
        return float(value)
    if kind == "s" and isinstance(value, str):
        return base64.b64decode(value, validate=True).decode()
    return value if kind == "b" and isinstance(value, bool) else None


def _fields(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, got {quoted(value)}")
    return cast("dict[str, Any]", value)


def _items(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"expected a list, got {quoted(value)}")
    return cast("list[Any]", value)


def write_nodes(nodes: Sequence[Node], graph: Path, text: Path) -> None:
    """Writes the operations as .pb and .json. Attributes: truth values, numbers, texts, integers in tuples.

    A tuple under the name "shape" of an input is a shape, whose open sides are None.
    """
    graph.write_bytes(b"".join(protobuf.field(1, _node_bytes(node)) for node in nodes))
    text.write_text(json.dumps({"node": [_node_json(node) for node in nodes]}, indent=2) + "\n", "utf-8")


def _is_shape(node: Node, name: str) -> bool:
    return node.kind == INPUT and name == SHAPE


def _node_bytes(node: Node) -> bytes:
    parts = [protobuf.field(1, node.name.encode()), protobuf.field(2, node.kind.encode())]
    parts += [protobuf.field(3, name.encode()) for name in node.inputs]
    for name, value in node.attributes.items():
        content = _shape_bytes(value) if _is_shape(node, name) else _value_bytes(value)
        parts.append(protobuf.field(4, protobuf.field(1, name.encode()) + protobuf.field(2, content)))
    return b"".join(parts)


def _shape_bytes(sides: Sequence[int | None]) -> bytes:
    dims = (protobuf.field(2, protobuf.field(1, -1 if side is None else side)) for side in sides)
    return protobuf.field(7, b"".join(dims))


def _value_bytes(value: Any) -> bytes:
    if isinstance(value, bool):
        return protobuf.field(5, int(value))
    if isinstance(value, int):
        return protobuf.field(3, value)
    if isinstance(value, float):
        return protobuf.fixed32(4, int.from_bytes(struct.pack("<f", value), "little"))
    if isinstance(value, str):
        return protobuf.field(2, value.encode())
    packed = b"".join(protobuf.varint(number % 2**64) for number in value)
    return protobuf.field(1, protobuf.field(3, packed))


def _node_json(node: Node) -> dict[str, Any]:
    attributes = {
        name: _shape_json(value) if _is_shape(node, name) else _value_json(value)
        for name, value in node.attributes.items()
    }
    return {"name": node.name, "op": node.kind, "input": list(node.inputs), "attr": attributes}


def _shape_json(sides: Sequence[int | None]) -> dict[str, Any]:
    return {"shape": {"dim": [{"size": str(-1 if side is None else side)} for side in sides]}}


def _value_json(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"b": value}
    if isinstance(value, int):
        return {"i": str(value)}
    if isinstance(value, float):
        return {"f": value}
    if isinstance(value, str):
        return {"s": base64.b64encode(value.encode()).decode()}
    return {"list": {"i": [str(number) for number in value]}}


def is_mmdnn_ir(path: Path) -> bool:
    """Whether the file is a graph whose input is MMdnn's, in either form."""
    start = first_bytes(path, 2**12)
    if start.startswith(b"{"):
        return b'"node"' in start and b'"op"' in start
    return graph_def.is_graph_def(path) and INPUT.encode() in start
