"""Which value of another network, or tensor of a file, is that of each node of a graph."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modelzoo.graph import Graph, Node
from modelzoo.graph.elementwise import Activation, ReLU
from modelzoo.graph.normalization import BatchNorm, ChannelScale, Rescale
from modelzoo.graph.passes.rewriting import Uses

ABSORBED = (
    BatchNorm,
    ReLU,
    Activation,
    ChannelScale,
    Rescale,
)  # what runtimes compute with what comes before
CALLED_AGAIN = "_1"
NEAR = 0.1  # a relative error below which a tensor is taken for the value that it is nearest to

Values = Mapping[str, np.ndarray]


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """||found - expected|| / ||expected||; infinite where shapes differ or values are not finite."""
    if found.shape != expected.shape:
        return float("inf")
    ours = np.asarray(expected, np.float64)
    with np.errstate(all="ignore"):
        difference = np.linalg.norm(np.asarray(found, np.float64) - ours)
        error = float(difference / max(float(np.linalg.norm(ours)), np.finfo(np.float64).tiny))
    return error if np.isfinite(error) else float("inf")


def in_order(tensor: np.ndarray, expected: np.ndarray, *, channels_first: bool = False) -> np.ndarray:
    """The tensor with its axes as the graph has them, by its sides, or where it comes near to its value.

    channels_first: what is assumed where neither tells.
    """
    if tensor.ndim not in (3, 4) or tensor.ndim != expected.ndim:
        return tensor
    turned, channels = np.moveaxis(tensor, 1, -1), expected.shape[-1]
    nearest = min(tensor, turned, key=lambda each: relative(each, expected))
    if relative(nearest, expected) <= NEAR:
        return nearest
    is_first = turned.shape[-1] == channels and (channels_first or tensor.shape[-1] != channels)
    return turned if is_first else tensor


def of_graph(graph: Graph, other: Graph) -> dict[str, str]:
    """The other graph's node for each of the graph's, by its name; else by kind, size and order.

    The outputs belong together whatever they are called.
    """
    by_name = {
        node.name: node.name
        for node in graph.nodes
        if node.name in other.node and type(other.node[node.name].operator) is type(node.operator)
    }
    ours, theirs = _tokens(graph, by_name), _tokens(other, by_name)
    found = dict(by_name)
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    for block in matcher.get_matching_blocks():
        for place in range(block.size):
            mine, its = graph.nodes[block.a + place].name, other.nodes[block.b + place].name
            found.setdefault(mine, its)
    if len(graph.outputs) == len(other.outputs) == 1:
        found[graph.output] = other.output
    return found


def _tokens(graph: Graph, by_name: Mapping[str, str]) -> list[tuple[object, ...]]:
    """What two nodes must have in common to be taken for the same."""
    return [
        ("name", node.name)
        if node.name in by_name
        else (type(node.operator).__name__, node.shape, tuple(weight.shape for weight in node.weights))
        for node in graph.nodes
    ]


def of_file(
    graph: Graph, values: Values, tensors: Values, outputs: Values, *, channels_first: bool
) -> dict[str, np.ndarray]:
    """A file's value of each node that it has a tensor of, with its axes in the graph's order.

    values: the graph's own. channels_first: whether the file's tensors mostly are so.

    A kernel's tensor may be the value of the batch norm after it, which it took in; where that one has a
    tensor of its own, what the kernel gives in between is the file's own matter.
    """
    named = {name.removesuffix("/value"): tensor for name, tensor in tensors.items()}
    scopes = _Scopes.of(named)
    uses, found = Uses.of(graph), dict[str, np.ndarray]()
    for name, tensor in named.items():
        owners = [graph.node[name]] if name in graph.node else scopes.owners(graph, name)
        if not owners:
            continue
        chain = [*owners, *_followers(graph, uses, owners[-1], named.keys() - {name})]
        if len(owners) == 1 and chain[-1] is owners[-1] and _norm_after(graph, uses, owners[-1]):
            continue
        turned = [in_order(tensor, values[node.name], channels_first=channels_first) for node in chain]
        place = _nearest(chain, turned, values, owners[-1])
        found[chain[place].name] = turned[place]  # of several the last: LiteRT scales, and then shifts
    for name, tensor in outputs.items():
        value = graph.outputs.get(name, next(iter(graph.outputs.values())) if len(outputs) == 1 else None)
        if value is not None:
            found[value] = in_order(tensor, values[value])
    return found


@dataclass(frozen=True)
class _Scopes:
    """How LiteRT names tensors: model/layer/operation, several with semicolons between, of what it joined.

    end: what Keras puts after the name of each layer when it is called again.
    """

    end: str

    @classmethod
    def of(cls, names: Iterable[str]) -> _Scopes:
        layers = [scopes[1] for name in names for scopes in cls._scopes(name) if len(scopes) > 1]
        return cls(CALLED_AGAIN if all(layer.endswith(CALLED_AGAIN) for layer in layers) else "")

    @staticmethod
    def _scopes(name: str) -> list[list[str]]:
        """The scopes in a name, of each part of it; the last word is an operation, or is truncated."""
        return [part.split("/")[:-1] for part in name.split(";")]

    def owners(self, graph: Graph, name: str) -> list[Node]:
        """The nodes that a tensor is named after, in the graph's order."""
        words = {word.removesuffix(self.end) for scopes in self._scopes(name) for word in scopes}
        return [node for node in graph.nodes if node.name in words]


def _followers(graph: Graph, uses: Uses, node: Node, named: Collection[str]) -> Iterator[Node]:
    """What may have been computed with a node: nobody else takes its value, and it has no tensor itself."""
    while True:
        consumers = uses.consumers.get(node.name, [])
        if len(consumers) != 1 or node.name in uses.given or not isinstance(consumers[0].operator, ABSORBED):
            return
        node = consumers[0]
        if node.name in named:
            return
        yield node


def _norm_after(graph: Graph, uses: Uses, node: Node) -> bool:
    consumers = uses.consumers.get(node.name, [])
    return (
        len(consumers) == 1
        and isinstance(consumers[0].operator, BatchNorm)
        and bool(node.weights)
        and node.name not in uses.given
    )


def _nearest(nodes: Sequence[Node], tensors: Sequence[np.ndarray], values: Values, owner: Node) -> int:
    """Which node's value a tensor is, given as each of them would have it: that which it is nearest to.

    One that is near to none is the last that it can be: the norm after a kernel.
    """
    errors = [relative(each, values[node.name]) for each, node in zip(tensors, nodes, strict=True)]
    best = min(range(len(nodes)), key=errors.__getitem__)
    if errors[best] <= NEAR:
        return best
    last = nodes.index(owner)
    is_followed = last + 1 < len(nodes) and isinstance(nodes[last + 1].operator, BatchNorm)
    return last + 1 if is_followed else last
