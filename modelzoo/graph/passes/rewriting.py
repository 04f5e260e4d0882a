"""What all passes need: who uses a value, and a graph written again with some nodes changed or left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from modelzoo.graph.builder import Builder, Tensor
from modelzoo.graph.graph import Graph, Node

Arrays = Mapping[str, NDArray[Any]]  # the weights of a graph by their paths, "layer/weight"


class Computed(Mapping[str, NDArray[Any]]):
    """Arrays, some of which are computed anew whenever they are asked for; none is kept."""

    def __init__(self, arrays: Arrays, functions: Mapping[str, Callable[[], NDArray[Any]]]):
        self._arrays, self._functions = arrays, functions

    def __getitem__(self, path: str) -> NDArray[Any]:
        return self._functions[path]() if path in self._functions else self._arrays[path]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._arrays, *self._functions)))

    def __len__(self) -> int:
        return len(list(iter(self)))


@dataclass(frozen=True)
class Uses:
    """Who uses what in a graph.

    consumers: the nodes that take a value, by its name; a node that takes it twice counts twice.
    given: the values that outputs or feature maps give.
    sharing: how many nodes each layer has.
    """

    consumers: Mapping[str, list[Node]]
    given: frozenset[str]
    sharing: Counter[str]

    @classmethod
    def of(cls, graph: Graph) -> Uses:
        consumers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in node.inputs:
                consumers.setdefault(name, []).append(node)
        sharing = Counter(node.layer for node in graph.nodes if node.layer is not None)
        return cls(consumers, frozenset((*graph.outputs.values(), *graph.maps.values())), sharing)

    def is_shared(self, node: Node) -> bool:
        """Whether other nodes have the same layer, and so the same weights."""
        return node.layer is not None and self.sharing[node.layer] > 1


def rewritten(graph: Graph, changed: Mapping[str, Node], instead: Mapping[str, str]) -> Graph:
    """The graph with these nodes in place of those of the same names, and other values in place of some.

    instead: values by the names of nodes that are left out; each comes before the node that it replaces, and
    may be replaced itself. Shapes and weights are worked out anew, whatever those of the changed nodes say.
    """
    builder = Builder()
    values: dict[str, Tensor] = {name: builder.input(name, shape) for name, shape in graph.inputs.items()}
    for original in graph.nodes:
        if original.name in instead:
            values[original.name] = values[instead[original.name]]
            continue
        node = changed.get(original.name, original)
        values[node.name] = builder.add_node(
            node.operator,
            *(values[name] for name in node.inputs),
            name=node.name,
            layer=node.layer,
            container=node.container,
            precise=node.precise,
        )
    outputs = {name: values[value] for name, value in graph.outputs.items()}
    maps = {name: values[value] for name, value in graph.maps.items()}
    return builder.graph(graph.name, outputs, maps)


def needed(graph: Graph, arrays: Arrays) -> dict[str, NDArray[Any]]:
    """The arrays of the graph's weights, in its order; those that have none of its shape are left out."""
    return {
        path: arrays[path]
        for path, weight in graph.weights.items()
        if path in arrays and tuple(arrays[path].shape) == weight.shape
    }
