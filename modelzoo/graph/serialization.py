"""Graph <-> JSON: what is left of a graph when its shapes are left out, and attributes that are the default.

Reading is strict. Whatever was not written by `to_json` is refused in one sentence, and nothing that a file
says is executed: an operator is found in OPERATORS, and its attributes are checked against their types.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Union, cast

from modelzoo.graph.builder import Builder, Tensor
from modelzoo.graph.graph import Graph, Node
from modelzoo.graph.operator import Initializer, Operator, Shape
from modelzoo.graph.operators import OPERATORS

VERSION = 1
MOST_NODES = 100_000
LARGEST = 2**31 - 1  # of a whole number
LONGEST_NAME = 1000
LONGEST_LIST = 100_000
POSITIVE = (
    "dilation",
    "filters",
    "groups",
    "kernel",
    "multiplier",
    "size",
    "stride",
    "units",
    "axes",
    "shared_axes",
)
LEAST = dict.fromkeys(POSITIVE, 1) | {
    "margins": 0,
    "padding": 0,
    "target": -1,
}  # of attributes' whole numbers
FACTS = {"name", "operator", "inputs", "layer", "container", "precise"}  # of a node; all else are attributes


def to_json(graph: Graph) -> dict[str, Any]:
    """The graph as a value for json.dumps; `from_json` makes an equal graph of it."""
    return {
        "version": VERSION,
        "name": graph.name,
        "inputs": {name: list(shape) for name, shape in graph.inputs.items()},
        "nodes": [_node_to_json(node) for node in graph.nodes],
        "outputs": dict(graph.outputs),
        "maps": dict(graph.maps),
    }


def from_json(value: object) -> Graph:
    """The graph that `to_json` made this of. Raises ValueError for everything else, in one sentence."""
    fields = _object(value, "a graph", {"version", "name", "inputs", "nodes", "outputs", "maps"})
    if fields["version"] != VERSION or isinstance(fields["version"], bool):
        raise ValueError(f"Expected a graph of version {VERSION}, got {_shown(fields['version'])}.")
    builder, values = Builder(), {}
    for name, shape in _object(fields["inputs"], "the inputs").items():
        sides = _read(shape, Shape, f"the input {_shown(name)}")
        if not sides or min(_numbers(sides), default=1) < 1:
            raise ValueError(f"Expected the sides of the input {_shown(name)} to be positive, got {sides}.")
        values[name] = builder.input(_name(name, "an input"), sides)
    nodes = _list(fields["nodes"], "the nodes", MOST_NODES)
    for node in nodes:
        _add(builder, node, values)
    outputs, maps = (_named(fields[word], f"the {word}", values) for word in ("outputs", "maps"))
    name = _name(fields["name"], "a graph")
    graph = builder.graph(name, outputs, maps)
    if len(graph.nodes) != len(nodes) or len(graph.maps) != len(maps):
        raise ValueError(f"Expected only nodes that the outputs of {_shown(name)} need, got others, too.")
    return graph


def to_bytes(graph: Graph) -> bytes:
    """The graph as compressed JSON; equal graphs give equal bytes."""
    return gzip.compress(json.dumps(to_json(graph), separators=(",", ":")).encode(), 9, mtime=0)


def from_bytes(content: bytes) -> Graph:
    """The graph of to_bytes(), of a file that comes with the package."""
    return from_json(json.loads(gzip.decompress(content)))


def _node_to_json(node: Node) -> dict[str, Any]:
    """Left out are the layer where it is called as the node, and everything that is the default."""
    facts: dict[str, Any] = {"name": node.name, "operator": type(node.operator).__name__}
    facts["inputs"] = list(node.inputs)
    if node.layer != node.name:
        facts["layer"] = node.layer
    if node.container is not None:
        facts["container"] = node.container
    if node.precise:
        facts["precise"] = True
    return facts | _attributes_to_json(node.operator)


def _attributes_to_json(value: Operator | Initializer) -> dict[str, Any]:
    found = {}
    for field in dataclasses.fields(typing.cast(Any, value)):
        attribute = getattr(value, field.name)
        if attribute != field.default:
            found[field.name] = _value_to_json(attribute)
    return found


def _value_to_json(value: Any) -> Any:
    if isinstance(value, Initializer):
        return _attributes_to_json(value)
    return [_value_to_json(item) for item in value] if isinstance(value, tuple) else value


def _add(builder: Builder, value: object, values: dict[str, Tensor]) -> None:
    """Writes a node, whose output joins the values."""
    facts = dict(_object(value, "a node"))
    name = _name(facts.pop("name", None), "a node")
    where = f"the node {_shown(name)}"
    operator, inputs = facts.pop("operator", None), facts.pop("inputs", None)
    layer, container, precise = (
        facts.pop("layer", name),
        facts.pop("container", None),
        facts.pop("precise", False),
    )
    if not isinstance(operator, str) or operator not in OPERATORS:
        raise ValueError(
            f"Expected an operator among {', '.join(OPERATORS)} in {where}, got {_shown(operator)}."
        )
    if not isinstance(precise, bool):
        raise ValueError(f"Expected precise to be true or false in {where}, got {_shown(precise)}.")
    unknown = [
        source
        for source in _list(inputs, f"the inputs of {where}")
        if not isinstance(source, str) or source not in values
    ]
    if unknown:
        raise ValueError(f"Expected inputs of {where} that come before it, got {_shown(unknown[0])}.")
    values[name] = builder.add_node(
        _attributes_from_json(OPERATORS[operator], facts, where),
        *(values[source] for source in typing.cast(list[str], inputs)),
        name=name,
        layer=layer if layer is None else _name(layer, "a layer"),
        container=container if container is None else _name(container, "a container"),
        precise=precise,
    )


def _attributes_from_json(kind: type, attributes: Mapping[str, Any], where: str) -> Any:
    """The operator, or initializer, of these attributes."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = attributes.keys() - fields.keys()
    if unknown:
        raise ValueError(f"Expected attributes of {kind.__name__} in {where}, got {_shown(min(unknown))}.")
    missing = [name for name, field in fields.items() if _required(field) and name not in attributes]
    if missing:
        raise ValueError(f"Expected the attribute {missing[0]!r} of {kind.__name__} in {where}, got none.")
    hints = _hints(kind)
    found = {name: _read(value, hints[name], f"{name} of {where}") for name, value in attributes.items()}
    for name in LEAST.keys() & found.keys():
        if min(_numbers(found[name]), default=LEAST[name]) < LEAST[name]:
            raise ValueError(
                f"Expected {name} of {where} to be {LEAST[name]} or more, got {_shown(found[name])}."
            )
    return kind(**found)


def _numbers(value: Any) -> list[int]:
    """The whole numbers in an attribute."""
    if isinstance(value, tuple):
        return [number for item in value for number in _numbers(item)]
    return [value] if isinstance(value, int) else []


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """The types of the attributes by name."""
    return typing.get_type_hints(kind)


def _read(given: Any, kind: Any, where: str) -> Any:
    """The value, its lists made tuples; raises ValueError if it is not of this type."""
    value: Any = given
    for allowed in _alternatives(kind):
        if allowed is Initializer and isinstance(value, dict):
            return _attributes_from_json(Initializer, value, where)
        if typing.get_origin(allowed) is tuple and isinstance(value, list):
            kinds = _kinds_of_items(allowed, len(value))
            if kinds is not None:
                return tuple(_read(item, each, where) for item, each in zip(value, kinds, strict=True))
        if typing.get_origin(allowed) is Literal and value in typing.get_args(allowed):
            return value
        if _is_plain(value, allowed):
            return float(cast(float, value)) if allowed is float else value
    raise ValueError(f"Expected {where} to be as an operator has it, got {_shown(value)}.")


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """The members of a union, those of its own unions among them, or the type itself."""
    if typing.get_origin(kind) not in (Union, types.UnionType):
        return (kind,)
    return tuple(inner for each in typing.get_args(kind) for inner in _alternatives(each))


def _kinds_of_items(kind: Any, length: int) -> tuple[Any, ...] | None:
    """The types of so many items of a tuple, or None if it cannot have as many."""
    kinds = typing.get_args(kind)
    if kinds[-1] is Ellipsis:
        return (kinds[0],) * length if length <= LONGEST_LIST else None
    return kinds if len(kinds) == length else None


def _is_plain(value: object, kind: Any) -> bool:
    """Whether a number, a truth value or None is of this type; a whole number is a float, too."""
    if value is None or isinstance(value, bool):
        return kind is (type(None) if value is None else bool)
    if isinstance(value, int):
        return kind in (int, float) and abs(value) <= LARGEST
    return kind is float and isinstance(value, float) and math.isfinite(value)


def _object(value: object, what: str, names: set[str] | None = None) -> dict[str, Any]:
    """The value, if it is a JSON object, and has these names only."""
    if not isinstance(value, dict):
        raise ValueError(f"Expected {what} as an object, got {_shown(value)}.")
    if names is not None and value.keys() != names:
        different = min(str(name) for name in value.keys() ^ names)
        raise ValueError(f"Expected {what} to have {', '.join(sorted(names))}; {_shown(different)} differs.")
    return value


def _list(value: object, what: str, most: int = LONGEST_LIST) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"Expected {what} as a list of at most {most}, got {_shown(value)}.")
    return value


def _named(value: object, what: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Outputs or maps: values by name."""
    found = {}
    for name, source in _object(value, what).items():
        if not isinstance(source, str) or source not in values:
            raise ValueError(f"Expected nodes among {what}, got {_shown(source)}.")
        found[_name(name, "an output or a map")] = values[source]
    return found


def _name(value: object, what: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
        raise ValueError(f"Expected a name of {what}, got {_shown(value)}.")
    return value


def _shown(value: object) -> str:
    """What a file says, as messages show it: escaped, on one line, shortened."""
    shown = repr(value) if not isinstance(value, (dict, list)) else f"{type(value).__name__} of {len(value)}"
    return shown if len(shown) <= 120 else f"{shown[:117]}..."
