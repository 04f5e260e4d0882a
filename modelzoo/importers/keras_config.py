"""The configuration of a model of Keras 1, 2 or 3, as data: layers, and the calls that connect them.

A configuration names classes and functions. They stay names here: nothing is imported or executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from modelzoo.errors import quoted

MOST_BYTES = 2**26  # of a configuration
MOST_LAYERS = 20_000
DEEPEST = 50  # models in models
MODELS = {"Model", "Functional", "Sequential", "Container"}
CONSTANT = "_CONSTANT_VALUE"  # in place of a layer's name: the value follows


@dataclass(frozen=True)
class Ref:
    """An output of a call of a layer, inside one model."""

    layer: str
    call: int
    output: int


@dataclass(frozen=True)
class Call:
    """What a layer is called with: references and constants in a row, and options by name."""

    inputs: tuple[Any, ...]
    options: Mapping[str, Any]

    @property
    def refs(self) -> list[Ref]:
        given = [*self.inputs, *self.options.values()]
        return [x for value in given for x in (value if isinstance(value, list) else [value]) if _is_ref(x)]


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer, its class's name, and its options as they stand in the file; or a model with layers."""

    kind: str
    name: str
    options: Mapping[str, Any]
    calls: tuple[Call, ...] = ()
    model: Model | None = None


@dataclass(frozen=True, eq=False)
class Model:
    """A network. Of a Sequential the layers follow one another; otherwise calls connect them."""

    name: str
    layers: tuple[Layer, ...]
    sequential: bool
    inputs: tuple[Ref, ...] = ()
    outputs: tuple[Ref, ...] = ()


def parsed(text: str) -> Model:
    """The model of a configuration in JSON. Raises ValueError in one sentence for anything else."""
    if len(text) > MOST_BYTES:
        raise ValueError(f"its configuration has more than {MOST_BYTES:,} characters")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("its configuration is not JSON") from error
    facts = _object(value, "the configuration")
    if "class_name" not in facts and "model_config" in facts:
        facts = _object(facts["model_config"], "the configuration")
    return _Parser().layer(facts, 0, None).model or _no_model(facts)


def _no_model(facts: Mapping[str, Any]) -> Model:
    raise ValueError(f"expected a functional or Sequential model, got {quoted(facts.get('class_name'))}")


class _Parser:
    def __init__(self) -> None:
        self.count = 0

    def layer(self, value: object, depth: int, number: int | None) -> Layer:
        facts = _object(value, "a layer")
        self.count += 1
        if depth > DEEPEST or self.count > MOST_LAYERS:
            raise ValueError(f"it has more than {DEEPEST} models in models, or {MOST_LAYERS:,} layers")
        kind, options = facts.get("class_name"), facts.get("config")
        if not isinstance(kind, str):
            raise ValueError(f"expected the class of a layer, got {quoted(kind)}")
        kind = _with_owner(kind, facts)
        calls = tuple(_call(node) for node in _list(facts.get("inbound_nodes", []), "calls"))
        if kind in MODELS:
            model = self.model(kind, options, depth, facts.get("name"))
            return Layer(kind, model.name, {}, calls, model)
        found = _object(options, f"the options of a {kind}")
        name = facts.get("name", found.get("name", f"layer_{number}"))
        if not isinstance(name, str) or not name:
            raise ValueError(f"expected the name of a layer, got {quoted(name)}")
        return Layer(kind, name, found, calls)

    def model(self, kind: str, options: object, depth: int, given: object) -> Model:
        config = options if isinstance(options, dict) else {"layers": options}  # Keras 1: a list of layers
        found = cast("dict[str, Any]", config)
        name = given or found.get("name") or kind.lower()
        if not isinstance(name, str):
            raise ValueError(f"expected the name of a model, got {quoted(name)}")
        layers = tuple(
            self.layer(each, depth + 1, number)
            for number, each in enumerate(_list(found.get("layers"), f"the layers of {quoted(name)}"))
        )
        if kind == "Sequential":
            return Model(name, layers, True)
        if len({layer.name for layer in layers}) != len(layers):
            raise ValueError(f"two layers of {quoted(name)} have one name")
        ends = (tuple(_refs(found.get(word))) for word in ("input_layers", "output_layers"))
        return Model(name, layers, False, *ends)


def _with_owner(kind: str, facts: Mapping[str, Any]) -> str:
    """The class, with what it belongs to if that is not Keras: somebody's own may have a known name."""
    module, registered = facts.get("module"), facts.get("registered_name")
    if module is not None and str(module).partition(".")[0] != "keras":
        return f"{module}>{kind}"
    return kind if registered in (None, kind) else str(registered)


def _call(node: object) -> Call:
    """One call, as the versions of Keras write it.

    Keras 3: {"args": [tensor, ...], "kwargs": {...}}. Keras 1 and 2: a list of
    [layer, call, output, options], or one of these by itself.
    """
    if isinstance(node, dict):
        facts = cast("dict[str, Any]", node)
        arguments = _list(facts.get("args", []), "arguments")
        first = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], list) else arguments
        options = _object(facts.get("kwargs", {}), "the options of a call")
        return Call(tuple(map(_argument, first)), {k: _argument(v) for k, v in options.items()})
    inputs = _list(node, "a call")
    if inputs and isinstance(inputs[0], str):
        inputs = [inputs]
    found, options = [], {}
    for each in inputs:
        parts = _list(each, "an input of a call")
        if len(parts) < 3:
            raise ValueError(f"expected an input of a call, got {quoted(parts)}")
        found.append(parts[2] if parts[0] == CONSTANT else _ref(parts[:3]))
        given = _object(parts[3] if len(parts) > 3 else {}, "the options of a call")
        options |= {name: _option(value) for name, value in given.items()}
    return Call(tuple(found), options)


def _argument(value: Any) -> Any:
    """An argument in Keras 3's form."""
    if isinstance(value, list):
        return [_argument(item) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    facts = cast("dict[str, Any]", value)
    if facts.get("class_name") == "__keras_tensor__":
        return _ref(_object(facts.get("config"), "a tensor").get("keras_history"))
    return facts


def _option(value: Any) -> Any:
    """An option of a call in Keras 2's form, which may be a reference or several."""
    if isinstance(value, list):
        items = cast("list[Any]", value)
        if len(items) == 3 and isinstance(items[0], str) and type(items[1]) is int is type(items[2]):
            return _ref(items)
        return [_option(item) for item in items]
    return value


def _refs(value: object) -> list[Ref]:
    """The references in what a model says of its inputs or outputs: a list, one alone, or a dict of them."""
    if isinstance(value, dict):
        return [ref for _, item in sorted(cast("dict[str, Any]", value).items()) for ref in _refs(item)]
    items = _list(value, "the inputs or outputs of a model")
    if items and isinstance(items[0], str):
        return [_ref(items[:3])]
    return [ref for item in items for ref in _refs(item)]


def _ref(value: object) -> Ref:
    match value:
        case [str(layer), int(call), int(output)]:
            return Ref(layer, call, output)
        case _:
            raise ValueError(f"expected an output of a layer, got {quoted(value)}")


def _is_ref(value: object) -> bool:
    return isinstance(value, Ref)


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"expected {what} as an object, got {quoted(value)}")
    return cast("dict[str, Any]", value)


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"expected {what} as a list, got {quoted(value)}")
    return cast("list[Any]", value)
