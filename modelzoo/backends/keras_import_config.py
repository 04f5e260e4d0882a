"""The calls of layers, as a functional model's `get_config()` tells them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from modelzoo.graph import Tensor


@dataclass(frozen=True)
class Ref:
    """An output of a call of a layer, inside one model."""

    layer: str
    call: int
    output: int


def decoded(value: Any) -> Any:
    """The arguments of a call: references in place of Keras' tensors, arrays in place of its constants."""
    if isinstance(value, (list, tuple)):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("class_name")
    if kind == "__keras_tensor__":
        return Ref(*value["config"]["keras_history"])
    if kind == "__tuple__":
        return [decoded(item) for item in value["items"]]
    if kind in ("__numpy__", "__tensor__"):
        return np.asarray(value["config"]["value"], np.float32)
    return {key: decoded(item) for key, item in value.items()}


def refs(value: Any) -> list[Ref]:
    """All references in a structure, in the order of keras.tree.flatten; ["layer", 0, 0] is one, too."""
    return list(_refs(value))


def _refs(value: Any) -> Iterator[Ref]:
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, Mapping):
        for key in sorted(value):
            yield from _refs(value[key])
    elif isinstance(value, (list, tuple)):
        if len(value) == 3 and isinstance(value[0], str):
            yield Ref(*value)
        else:
            for item in value:
                yield from _refs(item)


def filled(value: Any, values: Mapping[Ref, Tensor]) -> Any:
    """The structure with the values in place of their references."""
    if isinstance(value, Ref):
        return values[value]
    if isinstance(value, list):
        return [filled(item, values) for item in value]
    return {key: filled(item, values) for key, item in value.items()} if isinstance(value, dict) else value


def tensors_in(value: Any) -> list[Any]:
    """All that a structure holds, in the order of keras.tree.flatten."""
    if isinstance(value, Mapping):
        return [item for key in sorted(value) for item in tensors_in(value[key])]
    if isinstance(value, list):
        return [item for each in value for item in tensors_in(each)]
    return [value]


def ordered(model: keras.Model, given: Any) -> list[Any]:
    """The inputs that a nested model is called with, in the order of its own."""
    if isinstance(model, keras.Sequential) or not isinstance(given, Mapping):
        return tensors_in(given)
    own = model.get_config()["input_layers"]
    return [
        given[key] for key in (sorted(own) if isinstance(own, Mapping) else (ref.layer for ref in refs(own)))
    ]
