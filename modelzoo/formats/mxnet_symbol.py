"""MXNet's symbols: a network as JSON, nodes in an order in which they can run, with their inputs by number.

https://github.com/apache/mxnet/blob/v1.9.x/3rdparty/tvm/nnvm/src/pass/saveload_json.cc reads and writes it.
An input or a weight is a node of the operator "null". All attributes are texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from modelzoo.formats.onnx import Attribute, Operation

VERSION = 10901  # of MXNet, 1.9.1, as its files say it
LARGEST = 1 << 28  # bytes of a file
TEXT = "__modelzoo_{}__"  # MXNet keeps attributes with these underscores, and does not look at them


def write_symbol(
    path: Path,
    operations: Sequence[Operation],
    outputs: Sequence[str],
    shapes: Mapping[str, tuple[int, ...]],
    texts: Mapping[str, str],
) -> None:
    """Writes a network; what no operation gives is an input or a weight, of the shape that is known.

    The texts become attributes of the first input.
    """
    nodes: list[dict[str, Any]] = []
    numbers: dict[str, int] = {}

    def number(name: str) -> int:
        if name not in numbers:
            numbers[name] = len(nodes)
            shape = {"__shape__": _text(shapes[name])} if name in shapes else {}
            nodes.append({"op": "null", "name": name, "attrs": shape, "inputs": []})
        return numbers[name]

    for operation in operations:
        inputs = [[number(name), 0, 0] for name in operation.inputs]
        attributes = {name: _text(value) for name, value in operation.attributes.items()}
        numbers[operation.output] = len(nodes)
        nodes.append({"op": operation.kind, "name": operation.name, "attrs": attributes, "inputs": inputs})
    heads = [[number(name), 0, 0] for name in outputs]
    leaves = [place for place, node in enumerate(nodes) if node["op"] == "null"]
    first = next(nodes[place] for place in leaves if nodes[place]["name"] not in shapes)
    first["attrs"] |= {TEXT.format(name): text for name, text in texts.items()}
    symbol = {
        "nodes": nodes,
        "arg_nodes": leaves,
        "heads": heads,
        "attrs": {"mxnet_version": ["int", VERSION]},
    }
    _write(path, symbol)


def add_text(path: Path, name: str, text: str) -> None:
    """Adds a text to the first input that has some."""
    symbol = _read(path)
    for node in symbol["nodes"]:
        if any(key.startswith("__modelzoo_") for key in node.get("attrs", {})):
            node["attrs"][TEXT.format(name)] = text
            break
    _write(path, symbol)


def read_texts(path: Path) -> dict[str, str]:
    """The texts of a network that has some. Raises OSError, and ValueError for what is no symbol."""
    before, after = TEXT.split("{}")
    return {
        key[len(before) : -len(after)]: value
        for node in read_nodes(path)
        for key, value in node["attrs"].items()
        if key.startswith(before) and key.endswith(after)
    }


def read_nodes(path: Path) -> list[dict[str, Any]]:
    """The nodes of a network: op, name, attrs and inputs. Raises OSError, and ValueError for what is none."""
    nodes = _read(path)["nodes"]
    for node in nodes:
        attributes = node.setdefault("attrs", {})
        names = (node.get("op"), node.get("name"))
        if not isinstance(attributes, dict) or not all(isinstance(name, str) for name in names):
            raise ValueError("it has a node without an operator or a name")
    return nodes


def _write(path: Path, symbol: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(symbol, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _read(path: Path) -> dict[str, Any]:
    if path.stat().st_size > LARGEST:
        raise ValueError("it is too large for the symbol of a network")
    found = json.loads(path.read_text("utf-8"))
    if not isinstance(found, dict) or not isinstance(found.get("nodes"), list):
        raise ValueError("it is not the symbol of a network of MXNet's")
    if not all(isinstance(node, dict) for node in found["nodes"]):
        raise ValueError("it has nodes that are none")
    return cast("dict[str, Any]", found)


def _text(value: Attribute | bool) -> str:
    if isinstance(value, (str, bool, int, float)):
        return str(value)
    return f"({', '.join(map(str, value))}{',' * (len(value) == 1)})"
