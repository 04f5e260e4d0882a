"""Networks of operations on names (ONNX, TensorFlow's graphs) -> Graph: what all their dialects share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelzoo.errors import quoted
from modelzoo.formats.networks import Network, Node
from modelzoo.graph import Graph, Operator, Tensor
from modelzoo.importers import constants
from modelzoo.importers.values import CHANNELS_FIRST, Array, Order, Reading, Value, clean, plain


@dataclass(frozen=True)
class Dialect:
    """What the operations of one program are.

    operations: each, by its kind, as operators. folded: those on constants, as arrays.
    maps: those that tell by themselves where the channels of a map are, as the order that they want.
    """

    operations: Mapping[str, Translate]
    folded: Mapping[str, Callable[..., Any]]
    maps: Mapping[str, Callable[[Node], Order]]


@dataclass
class Import:
    """The state of reading one network."""

    network: Network
    dialect: Dialect
    reading: Reading = field(default_factory=Reading)
    values: dict[str, Value] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)  # arrays, or tensors of the file

    def run(self) -> tuple[Graph, dict[str, Array]]:
        self.constants = dict(self.network.tensors)
        sizes = (math.prod(tensor.shape) for tensor in self.network.tensors.values())
        self.computed, self.most = 0, constants.MOST_VALUES + 2 * sum(sizes)
        self.uses: dict[str, list[Node]] = {}
        nodes = self.network.nodes
        for node in nodes:
            for name in node.inputs:
                self.uses.setdefault(name, []).append(node)
        for name, sides in self.network.inputs.items():
            shape = [side if isinstance(side, int) and side > 0 else None for side in sides]
            order = self._layout(name) if len(shape) == 4 else plain(len(shape))
            self.values[name] = self.reading.input(name, shape, order)
        done: set[str] = set()
        for node in nodes:
            if not set(node.outputs) <= done:
                done |= set(self._node(node))
        outputs = {name: self._output(name) for name in self.network.outputs}
        if not outputs:
            raise ValueError("it has no outputs")
        graph = self.reading.builder.graph(clean(self.network.name or "network"), outputs)
        return graph, self.reading.arrays

    def _layout(self, name: str) -> tuple[int, ...]:
        """Where the channels of an input are, as the first operations that depend on it tell."""
        waiting, seen = [name], {name}
        while waiting:
            for node in self.uses.get(waiting.pop(0), ()):
                if node.kind == "Transpose":
                    return plain(4)
                if node.kind in self.dialect.maps:
                    return self.dialect.maps[node.kind](node)
                waiting += [output for output in node.outputs if output not in seen]
                seen |= set(node.outputs)
        return plain(4)

    def _output(self, name: str) -> Tensor:
        if name not in self.values:
            raise ValueError(f"the output {quoted(name)} does not depend on its inputs")
        value = self.values[name]
        moved = any(self.values[name].order == CHANNELS_FIRST for name in self.network.inputs)
        return value.tensor if moved and value.order == CHANNELS_FIRST else self.reading.plain(value)

    def _node(self, node: Node) -> Sequence[str]:
        """The names of the values that the operation, and what belongs to it, gave."""
        at, known = Site(self, node), self.dialect.folded
        try:
            if constants.folds(node, known, self.constants, self.values):
                found = constants.folded(node, known, self.constants, self.values, self.network.opset)
                self.computed += found.size
                if self.computed > self.most:
                    raise ValueError("it computes more constants than a network needs")
                self.constants[node.outputs[0]] = found
                return node.outputs[:1]
            operator = self.dialect.operations.get(node.kind) if not node.domain else None
            if operator is None:
                raise ValueError("no operator does what this operation does")
            value = operator(at)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
            words = str(error) if isinstance(error, ValueError) else "its inputs or attributes are of no use"
            raise ValueError(
                f"Cannot express the operation {quoted(at.name)} ({node.kind}): {words}"
            ) from error
        for output in at.outputs:
            self.values[output] = value
        return at.outputs


class Site:
    """An operation that is being read, and what it is given."""

    def __init__(self, state: Import, node: Node):
        self._state, self.node = state, node
        self.reading = state.reading
        self.opset = state.network.opset
        self.outputs: list[str] = [name for name in node.outputs[:1] if name]
        if not self.outputs or any(name in state.values for name in self.outputs):
            raise ValueError(f"two operations give {quoted(''.join(node.outputs[:1]))}, or one gives nothing")
        self.name = clean(node.name or node.outputs[0])

    def option(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.node.attributes.get(name, default)

    def expect(self, name: str, *allowed: Any) -> None:
        """Raises ValueError if an attribute is there with another value."""
        found = self.option(name, allowed[0])
        if found not in allowed:
            raise ValueError(f"no operator has {name}={quoted(found)}")

    def given(self, number: int) -> bool:
        """Whether there is such an input."""
        return len(self.node.inputs) > number and self.node.inputs[number] != ""

    def is_constant(self, number: int) -> bool:
        return self.given(number) and self.node.inputs[number] in self._state.constants

    def value(self, number: int = 0) -> Value:
        """An input that depends on the network's."""
        if not self.given(number) or self.node.inputs[number] not in self._state.values:
            raise ValueError(f"expected a value as input {number}")
        return self._state.values[self.node.inputs[number]]

    def array(self, number: int) -> np.ndarray:
        """An input that is a constant."""
        return constants.array_of(self._constant(number))

    def shape_of(self, number: int) -> tuple[int, ...]:
        """The shape of a constant, whose values are not read."""
        return tuple(self._constant(number).shape)

    def later(self, number: int) -> Array:
        """A constant that is read when it is asked for, in float32."""
        found = self._constant(number)
        return lambda: np.asarray(constants.array_of(found), np.float32)

    def _constant(self, number: int) -> Any:
        if not self.is_constant(number):
            raise ValueError(f"expected a constant as input {number}")
        return self._state.constants[self.node.inputs[number]]

    def layer(self, number: int = 1) -> str:
        """The name of a layer with weights: what its kernel is called, if that ends in .weight."""
        kernel = self.node.inputs[number] if self.given(number) else ""
        return clean(kernel.removesuffix(".weight")) if kernel.endswith(".weight") else self.name

    def add(
        self,
        operator: Operator,
        *inputs: Tensor,
        name: str = "",
        weights: Mapping[str, Array] | None = None,
        arithmetic: bool = False,
    ) -> Tensor:
        return self.reading.add(
            operator, *inputs, name=name or self.name, weights=weights, arithmetic=arithmetic
        )

    def only_use(self, *kinds: str) -> Node | None:
        """The operation of one of these kinds that alone takes the output."""
        found = self._state.uses.get(self.node.outputs[0], [])
        ends = self.node.outputs[0] in self._state.network.outputs
        return found[0] if len(found) == 1 and found[0].kind in kinds and not ends else None

    def takes_over(self, node: Node) -> None:
        """What that operation gives is given here."""
        self.outputs = [node.outputs[0]]

    def constant_named(self, name: str) -> Any:
        """A constant by its name; None if it is none."""
        return self._state.constants.get(name)


Translate = Callable[[Site], Value]
