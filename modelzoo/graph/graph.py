"""Graph: what a network is, before any framework: nodes in order, each an operator on values with names."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from modelzoo.graph.operator import Operator, Shape, Weight
from modelzoo.graph.order import in_keras_order

FINEST_FEATURE = 2  # features=True starts at C2, stride 4: finer maps are rarely needed and large


@dataclass(frozen=True)
class Node:
    """An operator applied to values; `name` is also that of its output.

    layer: the layer of a framework that computes it, and with its weights; None for an arithmetic operation
        that has no layer. Nodes with the same layer share its weights.
    container: the nested model that the layer lies in, if its weights carry that one's name.
    precise: whether its values need float32 where the network computes in less: logits, probabilities.
    """

    name: str
    operator: Operator
    inputs: tuple[str, ...]
    shape: Shape
    weights: tuple[Weight, ...] = ()
    layer: str | None = None
    container: str | None = None
    precise: bool = False

    @property
    def owner(self) -> str | None:
        """What the paths of its weights begin with."""
        return self.container or self.layer

    @property
    def paths(self) -> dict[str, str]:
        """The path of each weight, "layer/weight", by its name in the operator."""
        return {weight.name: f"{self.owner}/{weight.name}" for weight in self.weights}


@dataclass(frozen=True)
class Graph:
    """A network: its inputs, its nodes, each after those it needs, its outputs, and its feature maps.

    inputs: the shape of each, (batch, height, width, channels), by name.
    nodes: in the order of Keras' layers, which is also that of weights in files.
    outputs: the nodes whose values the network gives, by the names under which it gives them.
    maps: the nodes of feature maps that there are, by name: Cn has stride 2**n.
    """

    name: str
    inputs: Mapping[str, Shape]
    nodes: tuple[Node, ...]
    outputs: Mapping[str, str]
    maps: Mapping[str, str] = field(default_factory=dict)

    @functools.cached_property
    def node(self) -> Mapping[str, Node]:
        """The nodes by name."""
        return MappingProxyType({node.name: node for node in self.nodes})

    @functools.cached_property
    def weights(self) -> Mapping[str, Weight]:
        """Every weight by its path, "layer/weight", in the order of layers."""
        found: dict[str, Weight] = {}
        for node in self.nodes:
            for weight in node.weights:
                path = f"{node.owner}/{weight.name}"
                if found.setdefault(path, weight) != weight:
                    raise ValueError(f"{self.name} has two different weights {path!r}.")
        return MappingProxyType(found)

    @property
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every weight by its path, in the order of layers."""
        return {path: weight.shape for path, weight in self.weights.items()}

    @property
    def parameters(self) -> int:
        """The number of values of all weights."""
        return sum(weight.size for weight in self.weights.values())

    @property
    def multiply_adds(self) -> int | None:
        """Those of all nodes for one image; None where an input's height or width is not known."""
        each = [self.multiply_adds_of(node) for node in self.nodes]
        return None if None in each else sum(number for number in each if number is not None)

    def multiply_adds_of(self, node: Node) -> int | None:
        """Those of one node; see Operator.multiply_adds."""
        return node.operator.multiply_adds([self.shape(name) for name in node.inputs], node.shape)

    def shape(self, name: str) -> Shape:
        """The shape of an input or of a node's value. Raises KeyError for an unknown name."""
        return self.inputs[name] if name in self.inputs else self.node[name].shape

    @property
    def output_shapes(self) -> dict[str, Shape]:
        """The shape of every output by its name."""
        return {name: self.shape(value) for name, value in self.outputs.items()}

    @property
    def output(self) -> str:
        """The name of the only output's value; raises ValueError if there are several."""
        if len(self.outputs) != 1:
            raise ValueError(f"{self.name} has several outputs: {', '.join(self.outputs)}.")
        return next(iter(self.outputs.values()))

    def with_outputs(self, outputs: Mapping[str, str]) -> Graph:
        """The part of the network that these outputs need: {name: node}."""
        nodes = in_keras_order(self.nodes, list(outputs.values()))
        there = self.inputs.keys() | {node.name for node in nodes}
        maps = {name: value for name, value in self.maps.items() if value in there}
        return replace(self, nodes=nodes, outputs=dict(outputs), maps=maps)

    def features(self, names: bool | Sequence[str | int] = True) -> Graph:
        """The part of the network that gives these feature maps: by their names, or counted from the last.

        True means all from C2 on, -1 the coarsest. Raises ValueError for a map that there is not.
        """
        levels = list(self.maps)
        if names is True:
            names = [name for name in levels if int(name[1:]) >= FINEST_FEATURE]
        from_last = {place - len(levels): name for place, name in enumerate(levels)}
        if (
            isinstance(names, (str, bool))
            or not names
            or not all(x in self.maps or x in from_last for x in names)
        ):
            raise ValueError(
                f"features must be True, names among {', '.join(levels)}, or -1 to -{len(levels)}, counted "
                f"from the last; got {names!r}."
            )
        chosen = [name if isinstance(name, str) else from_last[name] for name in names]
        return self.with_outputs({name: self.maps[name] for name in chosen})
