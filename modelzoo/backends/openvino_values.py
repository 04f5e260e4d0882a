"""What a graph is written with in OpenVINO: values whose axes may lie in another order, and constants.

OpenVINO computes on (batch, channels, height, width), where graphs and images have the channels last. So each
value knows the order of its axes, and is brought into another only where an operator needs it, once for all
that do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from modelzoo.backends.openvino_import import import_openvino
from modelzoo.graph import Graph, Node, Shape
from modelzoo.graph.arrays import checked_array
from modelzoo.graph.windows import Margins

if TYPE_CHECKING:
    import openvino as ov
else:
    ov = import_openvino()
from openvino import opset13 as ops  # after the import above, which leaves its reports out

Order = tuple[int, ...]
CHANNELS_FIRST: Order = (0, 3, 1, 2)
NO_MARGINS: Margins = (0, 0), (0, 0)


@dataclass(frozen=True)
class Value:
    """What a node of the graph gives: axis i of `output` is its axis order[i].

    margins: zeros around height and width that the output does not have yet; most windows bring their own.
    """

    name: str
    output: ov.Node
    order: Order
    margins: Margins = NO_MARGINS


@dataclass(frozen=True)
class Values:
    """The values by name while a model is written, and what was made of them for those that use them."""

    graph: Graph
    arrays: Mapping[str, np.ndarray]
    norms: Mapping[str, Node]  # batch norms that scale the kernel of the node before them, by its name
    found: dict[str, Value] = field(default_factory=dict)
    arranged: dict[tuple[int, Margins, Order], ov.Node] = field(default_factory=dict)
    constants: dict[tuple[object, ...], ov.Node] = field(default_factory=dict)

    def array(self, node: Node, weight: str) -> np.ndarray:
        """The array of a node's weight; raises ValueError if there is none, or one of another shape."""
        shape = next(known.shape for known in node.weights if known.name == weight)
        return checked_array(self.arrays, node.paths[weight], shape)

    def padded(self, value: Value) -> Value:
        """The value with the zeros around it."""
        if value.margins == NO_MARGINS:
            return value
        key = (id(value.output), value.margins, value.order)
        if key not in self.arranged:
            pairs = dict(enumerate(value.margins, start=1))
            before, after = ([pairs.get(axis, (0, 0))[end] for axis in value.order] for end in (0, 1))
            self.arranged[key] = ops.pad(
                value.output,
                integers(before, f"{value.name}/before"),
                integers(after, f"{value.name}/after"),
                "constant",
                constant(np.zeros(()), f"{value.name}/zero"),
                name=value.name,
            )
        return replace(value, output=self.arranged[key], margins=NO_MARGINS)

    def in_order(self, value: Value, order: Order) -> ov.Node:
        """The value, zeros around it and all, with its axes in this order."""
        value = self.padded(value)
        axes = tuple(value.order.index(axis) for axis in order)
        if axes == plain(len(axes)):
            return value.output
        key = (id(value.output), NO_MARGINS, axes)
        if key not in self.arranged:
            name = f"{value.name}/axes_{''.join(map(str, order))}"
            self.arranged[key] = ops.transpose(value.output, integers(axes, f"{name}/axes"), name=name)
        return self.arranged[key]


@dataclass(frozen=True)
class Site:
    """The node that is being written. Its helpers are named node/what: no layer of Keras may have a slash."""

    values: Values
    node: Node

    @property
    def shapes(self) -> list[Shape]:
        """Those of the inputs."""
        return [self.values.graph.shape(name) for name in self.node.inputs]

    def name(self, what: str) -> str:
        """The name of a helper."""
        return f"{self.node.name}/{what}"

    def value(self, output: ov.Node, order: Order, margins: Margins = NO_MARGINS) -> Value:
        """The node's value."""
        return Value(self.node.name, output, order, margins)

    def in_order(self, value: Value, order: Order) -> ov.Node:
        """An input with its axes in this order."""
        return self.values.in_order(value, order)

    def plain(self, value: Value) -> ov.Node:
        """An input with its axes in the graph's order."""
        return self.values.in_order(value, plain(len(value.order)))

    def own(self, value: Value) -> ov.Node:
        """An input with its axes as they are."""
        return self.values.padded(value).output

    def array(self, weight: str) -> np.ndarray:
        """The array of a weight, by its name in the operator."""
        return self.values.array(self.node, weight)

    def weight(self, what: str, array: np.ndarray) -> ov.Node:
        """A constant that is made of the node's weights; nodes that have the same ones share it."""
        norm = self.values.norms.get(self.node.name)
        key = (*(self.node.paths.values() or [self.node.name]), norm and norm.owner, what, array.shape)
        if key not in self.values.constants:
            self.values.constants[key] = constant(array, self.name(what))
        return self.values.constants[key]

    def each_channel(self, array: np.ndarray, order: Order) -> np.ndarray:
        """One value for each channel, in the shape that meets a value of this order."""
        return array.reshape([-1 if axis == len(order) - 1 else 1 for axis in order])


def plain(rank: int) -> Order:
    """The graph's own order."""
    return tuple(range(rank))


def common_order(values: Sequence[Value]) -> Order:
    """The order in which to compute on several values: that of most convolutions if one is in it already."""
    orders = [value.order for value in values]
    return CHANNELS_FIRST if CHANNELS_FIRST in orders else orders[0]


def constant(array: np.ndarray, name: str) -> ov.Node:
    """A constant that lies where the array lies, if that is float32, in C's order and can be written to.

    It keeps the array alive. OpenVINO refuses arrays that cannot be written to, though it does not write.
    """
    return _constant(np.require(array, np.float32, ["C", "A", "W"]), name)


def integers(numbers: Sequence[int], name: str) -> ov.Node:
    """A constant of int64 numbers."""
    return _constant(np.array(numbers, np.int64), name)


def _constant(array: np.ndarray, name: str) -> ov.Node:
    found = ov.op.Constant(array, shared_memory=True)
    found.friendly_name = name
    return found
