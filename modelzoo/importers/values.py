"""What a foreign network is read into: values whose axes may lie in another order, weights, and names.

Graphs have the channels last. A network of another program may have them first; then its maps are kept with
the channels last all the same, and each value knows which of its axes lies where. Values are only moved
where an operator needs them otherwise, so most networks get no layer that they did not have.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from modelzoo.errors import quoted
from modelzoo.graph import Builder, Operator, Tensor
from modelzoo.graph.serialization import LONGEST_NAME, MOST_NODES
from modelzoo.graph.shaping import Permute

Order = tuple[int, ...]
Array = Callable[[], np.ndarray]  # reads or computes an array when it is asked for
CHANNELS_FIRST: Order = (0, 3, 1, 2)
CHANNELS_LAST: Order = (0, 1, 2, 3)


def plain(rank: int) -> Order:
    """The order of axes that lie as the foreign network has them."""
    return tuple(range(rank))


@dataclass(frozen=True)
class Value:
    """What the foreign network computes: its axis i is the axis order[i] of a value of the graph."""

    tensor: Tensor
    order: Order

    @property
    def rank(self) -> int:
        return len(self.order)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape that the foreign network sees."""
        return tuple(self.tensor.shape[axis] for axis in self.order)

    def axis(self, number: int) -> int:
        """The axis of the graph's value; raises ValueError for one that there is not."""
        if isinstance(number, bool) or not -self.rank <= number < self.rank:
            raise ValueError(f"expected an axis of {self.rank}, got {quoted(number)}")
        return self.order[number % self.rank]


@dataclass
class Reading:
    """The nodes and weights that have been read so far."""

    builder: Builder = field(default_factory=Builder)
    arrays: dict[str, Array] = field(default_factory=dict)
    reserved: set[str] = field(default_factory=set)  # names of layers that are still to come

    def input(self, name: str, shape: Sequence[int | None], order: Order) -> Value:
        """An input of this foreign shape, whose batch is left open."""
        sides = [None, *shape[1:]]
        if len(sides) != len(order):
            raise ValueError(f"expected an input of {len(order)} sides, got {quoted(tuple(shape))}")
        own = [sides[order.index(axis)] for axis in range(len(order))]
        return Value(self.builder.input(self.unused(clean(name)), own), order)

    def add(
        self,
        operator: Operator,
        *inputs: Tensor,
        name: str,
        layer: str | None = None,
        weights: Mapping[str, Array] | None = None,
        arithmetic: bool = False,
    ) -> Tensor:
        """A new node with the name, or a similar one, and the arrays of its weights by their names."""
        if len(self.builder.nodes) >= MOST_NODES:
            raise ValueError(f"it has more than {MOST_NODES} nodes")
        name = self.unused(clean(name), name if arithmetic else layer)
        owner = None if arithmetic else layer or name
        for weight, array in (weights or {}).items():
            self.arrays.setdefault(f"{owner}/{weight}", array)
        return self.builder.add_node(operator, *inputs, name=name, layer=owner)

    def laid(self, value: Value, order: Order) -> Value:
        """The same value with its axes in this order."""
        if value.order == order:
            return value
        own = tuple(value.order[order.index(axis)] for axis in range(len(order)))
        if own[0] != 0:
            raise ValueError("it moves the batch, which stays first in a graph")
        name = f"{value.tensor.name}_axes_{''.join(map(str, own))}"
        if name in self.builder.nodes and self.builder.nodes[name].inputs == (value.tensor.name,):
            return Value(Tensor(name, self.builder.nodes[name].shape), order)
        return Value(self.add(Permute(own[1:]), value.tensor, name=name), order)

    def plain(self, value: Value) -> Tensor:
        """The value as the foreign network has it."""
        return self.laid(value, plain(value.rank)).tensor

    def last(self, value: Value, axis: int) -> Value:
        """The value with this foreign axis as the graph's last one."""
        if value.axis(axis) == value.rank - 1:
            return value
        rest = [number for number in range(value.rank) if number != axis % value.rank]
        found = dict(zip((*rest, axis % value.rank), range(value.rank), strict=True))
        return self.laid(value, tuple(found[number] for number in range(value.rank)))

    def alike(self, values: Sequence[Value]) -> tuple[list[Tensor], Order]:
        """Values of one rank in the order of the first one."""
        order = values[0].order
        if any(value.rank != len(order) for value in values):
            shapes = ", ".join(str(value.shape) for value in values)
            raise ValueError(f"expected values of one rank, got {shapes}")
        return [self.laid(value, order).tensor for value in values], order

    def unused(self, name: str, layer: str | None = None) -> str:
        """The name, or the first one with a number behind that neither a node nor another layer has."""
        taken = self.builder.nodes.keys() | self.builder.inputs.keys()
        if name not in taken and (name not in self.reserved or name == layer):
            return name
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        return next(n for n in numbered if n not in taken and n not in self.reserved)


def clean(name: str) -> str:
    """A name as layers may have one: without slashes, and not empty.

    >>> clean("scope/conv:0")
    'scope_conv'
    """
    found = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in name.removesuffix(":0"))
    return found.strip("_")[:LONGEST_NAME] or "node"
