"""What a graph is written with in ONNX and MXNet: values whose axes may lie in another order, and constants.

Both compute on (batch, channels, height, width), where graphs and images have the channels last. So each
value knows the order of its axes, and is brought into another only where an operator needs it, once for all
that do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from modelzoo.backends.kernels import halved
from modelzoo.formats.onnx import Attribute, Constant, Operation
from modelzoo.graph import Graph, Node, Shape
from modelzoo.graph.arrays import checked_array

Order = tuple[int, ...]
CHANNELS_FIRST: Order = (0, 3, 1, 2)
HALVED = 2  # dimensions from which on a constant is kept in float16, where that is asked for


@dataclass(frozen=True)
class Value:
    """What a node of the graph gives: axis i of the tensor is its axis order[i]."""

    tensor: str
    order: Order


@dataclass
class Values:
    """The values by name while a network is written, and what was made of them for those that use them."""

    graph: Graph
    arrays: Mapping[str, np.ndarray]
    half: bool = False  # whether kernels are kept in float16; they are computed with in float32
    opset: int = 0  # the version of ONNX's operators
    found: dict[str, Value] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    constants: dict[str, Constant] = field(default_factory=dict)
    shared: dict[tuple[object, ...], str] = field(default_factory=dict)

    def emit(self, kind: str, name: str, inputs: Sequence[str], **attributes: Attribute) -> str:
        """The name of the tensor that an operation gives, which is also the operation's."""
        self.operations.append(Operation(kind, name, tuple(inputs), name, attributes))
        return name

    def in_order(self, value: Value, order: Order) -> str:
        """The tensor of a value with its axes in this order."""
        axes = tuple(value.order.index(axis) for axis in order)
        if axes == plain(len(axes)):
            return value.tensor
        name = f"{value.tensor}/axes_{''.join(map(str, order))}"
        key = (value.tensor, axes)
        if key not in self.shared:
            self.shared[key] = self.emit("Transpose", name, [value.tensor], perm=axes)
        return self.shared[key]

    def constant(
        self, name: str, shape: Sequence[int], array: Callable[[], np.ndarray], dtype: str = "float32"
    ) -> str:
        """The name of a constant; float32 ones are kept in half precision where that is asked for."""
        if dtype != "float32" or not self.half or len(shape) < HALVED:
            self.constants[name] = Constant(name, tuple(shape), dtype, array)
            return name
        stored = f"{name}/f16"
        self.constants[stored] = Constant(stored, tuple(shape), "float16", lambda: halved(name, array()))
        return self.emit("Cast", name, [stored], to=1)


@dataclass(frozen=True)
class Site:
    """The node that is being written. Its helpers are named node/what: no layer of Keras may have a slash."""

    values: Values
    node: Node

    @property
    def shapes(self) -> list[Shape]:
        """Those of the inputs."""
        return [self.values.graph.shape(name) for name in self.node.inputs]

    def emit(self, kind: str, inputs: Sequence[str], what: str = "", **attributes: Attribute) -> str:
        """The tensor of an operation: the node's own, or that of a helper."""
        name = f"{self.node.name}/{what}" if what else self.node.name
        return self.values.emit(kind, name, inputs, **attributes)

    def channels_first(self, value: Value) -> str:
        """An input as ONNX's windows need it."""
        return self.values.in_order(value, CHANNELS_FIRST)

    def plain(self, value: Value) -> str:
        """An input with its axes in the graph's order."""
        return self.values.in_order(value, plain(len(value.order)))

    def has(self, weight: str) -> bool:
        """Whether the node has this weight."""
        return weight in self.node.paths

    def size(self, weight: str) -> tuple[int, ...]:
        """The shape of a weight in the graph."""
        return next(known.shape for known in self.node.weights if known.name == weight)

    def array(self, weight: str) -> np.ndarray:
        """The array of a weight; raises ValueError if there is none, or one of another shape."""
        return checked_array(self.values.arrays, self.node.paths[weight], self.size(weight))

    def weight(
        self,
        weight: str,
        shape: Sequence[int] | None = None,
        change: Callable[[np.ndarray], np.ndarray] = lambda array: array,
        order: Order = (),
    ) -> str:
        """A constant that is made of a weight; nodes that have the same weights in one order share it."""
        shape, path = self.size(weight) if shape is None else tuple(shape), self.node.paths[weight]
        key = ("weight", path, shape, order)
        if key not in self.values.shared:
            first = ("weight", path) not in self.values.shared
            name = path if first else f"{self.node.name}/{weight}_again"
            self.values.shared["weight", path] = path
            made = self.values.constant(name, shape, lambda: change(self.array(weight)))
            self.values.shared[key] = made
        return self.values.shared[key]

    def numbers(self, what: str, array: np.ndarray) -> str:
        """A constant of the operator's own: float32, or int64."""
        dtype = "int64" if array.dtype.kind == "i" else "float32"
        return self.values.constant(f"{self.node.name}/{what}", array.shape, lambda: array, dtype)

    def integers(self, what: str, numbers: Sequence[int]) -> str:
        """A constant of whole numbers."""
        return self.numbers(what, np.array(numbers, np.int64))

    def each_channel(self, size: int, order: Order) -> tuple[int, ...]:
        """The shape of one value a channel that meets a value of this order."""
        return tuple(size if axis == len(order) - 1 else 1 for axis in order)


def plain(rank: int) -> Order:
    """The graph's own order."""
    return tuple(range(rank))


def common_order(values: Sequence[Value]) -> Order:
    """The order in which to compute on several values: that of most convolutions if one is in it already."""
    orders = [value.order for value in values]
    return CHANNELS_FIRST if CHANNELS_FIRST in orders else orders[0]
