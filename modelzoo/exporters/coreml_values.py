"""Values in MIL: feature maps have channels first there; what has another rank is as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from modelzoo.exporters.coreml_ranks import MOST_RANK
from modelzoo.exporters.options import Arrays
from modelzoo.graph import Graph, Node, Shape
from modelzoo.graph.windows import Margins

mb: Any = import_module("coremltools.converters.mil").Builder
Value = Any  # MIL's variable
FIRST, LAST = (0, 3, 1, 2), (0, 2, 3, 1)  # the order of axes: channels first, channels last
AXES = (0, 2, 3, 1)  # where an axis of a map lies in MIL


def mil_name(graph: Graph, name: str) -> str:
    """What a node's value is called in MIL: letters, digits, underscores; outputs keep their names."""
    plain_name = re.sub(r"\W", "_", name, flags=re.ASCII)
    plain_name = f"_{plain_name}" if plain_name[:1].isdigit() else plain_name
    return f"{plain_name}_value" if plain_name in graph.outputs or name in graph.inputs else plain_name


@dataclass(frozen=True)
class Site:
    """A node, its weights, and the dtype that is computed in."""

    graph: Graph
    node: Node
    arrays: Arrays
    dtype: Any

    @property
    def name(self) -> str:
        return mil_name(self.graph, self.node.name)

    @property
    def shapes(self) -> list[Shape]:
        """The shapes of the inputs, channels last."""
        return [self.graph.shape(name) for name in self.node.inputs]

    def weight(self, name: str) -> np.ndarray:
        return np.asarray(self.arrays[self.node.paths[name]])

    def constant(self, values: Any) -> np.ndarray:
        return np.ascontiguousarray(np.asarray(values), self.dtype)

    def options(self, **weights: np.ndarray | None) -> dict[str, Any]:
        """Constants by name, those that are there."""
        return {name: self.constant(array) for name, array in weights.items() if array is not None}

    def bias(self) -> np.ndarray | None:
        return self.weight("bias") if "bias" in self.node.paths else None

    def each_channel(self, values: Any) -> np.ndarray:
        """Numbers of the channels, or one of all, as a constant that broadcasts over the first input."""
        array = np.asarray(values, np.float64).ravel()
        shape = (-1, 1, 1) if len(self.shapes[0]) == 4 else (-1,)
        return self.constant(array.reshape(shape)[None] if len(self.shapes[0]) > 1 else array)


def to_map(value: Value, dtype: Any) -> Value:
    """An input of the graph, as the operators take it."""
    value = arranged(value)
    return mb.cast(x=value, dtype="fp16") if dtype == np.float16 else value


def from_image(value: Value, facts: Mapping[str, Any], dtype: Any) -> Value:
    """The levels of an image, channels first, as the network takes them."""
    backwards = -1 if facts["channels"] == "BGR" else 1
    mean, std = (np.asarray(facts[name], np.float64)[::backwards] for name in ("mean", "std"))
    scale, shift = (
        array.astype(np.float32).reshape(1, -1, 1, 1)
        for array in (facts["max_value"] / 255 / std, -mean / std)
    )
    scaled = mb.mul(x=value, y=scale, name="image_scale")
    value = mb.add(x=scaled, y=shift, name="image_shift")
    return mb.cast(x=value, dtype="fp16") if dtype == np.float16 else value


def plain(value: Value, name: str) -> Value:
    """An output of the graph, float32."""
    value = rearranged(value)
    return mb.cast(x=value, dtype="fp32", name=name)


def arranged(value: Value, **name: str) -> Value:
    """A value with channels last, in MIL's order."""
    if len(value.shape) > MOST_RANK:
        raise ValueError(f"Core ML's tensors have up to {MOST_RANK} dimensions, this one {len(value.shape)}")
    return mb.transpose(x=value, perm=FIRST, **name) if len(value.shape) == 4 else value


def rearranged(value: Value) -> Value:
    """A value in MIL's order, with channels last."""
    return mb.transpose(x=value, perm=LAST) if len(value.shape) == 4 else value


def padded(at: Site, x: Value, found: Margins, name: str) -> Value:
    (top, bottom), (left, right) = found
    zero = at.dtype(0)
    return mb.pad(x=x, pad=(top, bottom, left, right), mode="constant", constant_val=zero, name=name)
