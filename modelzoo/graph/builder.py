"""Builder: writes a graph node by node, for architectures, passes and readers of other formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelzoo.graph.graph import Graph, Node
from modelzoo.graph.operator import Dimension, Operator, Shape, channels_of, check_map
from modelzoo.graph.order import in_keras_order


@dataclass(frozen=True)
class Tensor:
    """A value that is being written about: the name of an input or a node, and its shape."""

    name: str
    shape: Shape

    @property
    def channels(self) -> int:
        """The last dimension."""
        return channels_of(self.shape)

    @property
    def sides(self) -> tuple[Dimension, Dimension]:
        """The height and width of a map."""
        check_map(self.shape)
        return self.shape[1], self.shape[2]

    @property
    def known_sides(self) -> tuple[int, int]:
        """The height and width of a map; raises ValueError if one is not known."""
        height, width = self.sides
        if height is None or width is None:
            raise ValueError(f"Expected a known height and width, got the shape {self.shape}.")
        return height, width


@dataclass(frozen=True)
class Builder:
    """Takes down nodes; `graph` makes a graph of those that its outputs need."""

    inputs: dict[str, Shape] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)

    def input(self, name: str, shape: Sequence[int | None]) -> Tensor:
        """A new input of this shape, the batch first."""
        self._check_new(name)
        self.inputs[name] = tuple(shape)
        return Tensor(name, tuple(shape))

    def add_node(
        self,
        operator: Operator,
        *inputs: Tensor,
        name: str,
        layer: str | None = None,
        container: str | None = None,
        precise: bool = False,
    ) -> Tensor:
        """The output of a new node; see Node. Raises ValueError, with its name, if it cannot be."""
        self._check_new(name)
        shapes = [tensor.shape for tensor in inputs]
        least, most = operator.arity
        try:
            if len(shapes) < least or (most is not None and len(shapes) > most):
                more = "" if least == most else " or more"
                raise ValueError(f"Expected {least} input{'s'[: least - 1]}{more}, got {len(shapes)}.")
            weights, shape = operator.weights(*shapes), operator.shape(*shapes)
        except ValueError as error:
            raise type(error)(f"{type(operator).__name__} {name!r}: {error}") from error
        names = tuple(tensor.name for tensor in inputs)
        self.nodes[name] = Node(name, operator, names, shape, weights, layer, container, precise)
        return Tensor(name, shape)

    def replay(self, graph: Graph, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Writes the nodes of a graph again, on other inputs, whose shapes may differ; all values by name."""
        found = dict(values)
        for node in graph.nodes:
            inputs = (found[name] for name in node.inputs)
            found[node.name] = self.add_node(
                node.operator,
                *inputs,
                name=node.name,
                layer=node.layer,
                container=node.container,
                precise=node.precise,
            )
        return found

    def graph(
        self, name: str, outputs: Mapping[str, Tensor], maps: Mapping[str, Tensor] | None = None
    ) -> Graph:
        """What was written, as far as the outputs need it; maps that they do not need are left out."""
        values = {output: tensor.name for output, tensor in outputs.items()}
        nodes = in_keras_order(self.nodes.values(), list(values.values()))
        there = self.inputs.keys() | {node.name for node in nodes}
        kept = {level: tensor.name for level, tensor in (maps or {}).items() if tensor.name in there}
        return Graph(name, dict(self.inputs), nodes, values, kept)

    def _check_new(self, name: str) -> None:
        if name in self.nodes or name in self.inputs:
            raise ValueError(f"Expected a new name for a node, got {name!r}, which there is already.")
