"""What a network consists of, layer by layer: operators, shapes, parameters, multiply-adds; and the sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelzoo.graph.elementwise import Activation, ReLU
from modelzoo.graph.graph import Graph, Node
from modelzoo.graph.operator import Operator, Shape
from modelzoo.graph.pooling import GlobalPool

INPUT = "Input"
FLOAT32_BYTES = 4
UNKNOWN = "?"


@dataclass(frozen=True)
class Row:
    """A layer, or an input of the network.

    operator: its name in OPERATORS, or "Input".
    label: the operator as people write it, for example "Conv 3x3/2": the window, and a stride that is not 1.
    parameters: the values of the weights that no layer before has; those of shared weights count once.
    multiply_adds: for one image; None where an input's height or width is not known.
    """

    name: str
    operator: str
    label: str
    inputs: tuple[str, ...]
    shape: Shape
    parameters: int
    multiply_adds: int | None


@dataclass(frozen=True)
class Totals:
    """Sums over the layers. bytes: what the weights take in float32."""

    parameters: int
    trainable_parameters: int
    multiply_adds: int | None
    bytes: int


def rows(graph: Graph) -> list[Row]:
    """The inputs, then all nodes in their order."""
    found = [Row(name, INPUT, INPUT, (), shape, 0, 0) for name, shape in graph.inputs.items()]
    seen: set[str] = set()
    for node in graph.nodes:
        new = {f"{node.owner}/{weight.name}": weight.size for weight in node.weights}
        parameters = sum(size for path, size in new.items() if path not in seen)
        seen |= new.keys()
        kind, multiply_adds = type(node.operator).__name__, graph.multiply_adds_of(node)
        found.append(
            Row(node.name, kind, label(node.operator), node.inputs, node.shape, parameters, multiply_adds)
        )
    return found


def totals(graph: Graph) -> Totals:
    """The sums over all layers of a network."""
    weights = graph.weights.values()
    return Totals(
        parameters=graph.parameters,
        trainable_parameters=sum(weight.size for weight in weights if weight.trainable),
        multiply_adds=graph.multiply_adds,
        bytes=graph.parameters * FLOAT32_BYTES,
    )


def label(operator: Operator) -> str:
    """An operator as people write it: "Conv 7x7/2", "Conv 3x3 in 32 groups", "ReLU6", "softmax"."""
    if isinstance(operator, Activation):
        return operator.function
    if isinstance(operator, ReLU) and operator.limit is not None:
        return f"ReLU{operator.limit:g}"
    if isinstance(operator, GlobalPool):
        return f"GlobalPool {operator.reduction}"
    name, window = type(operator).__name__, getattr(operator, "kernel", getattr(operator, "size", None))
    if window is None:
        return name
    parts = [name, _sides(window) + _stride(getattr(operator, "stride", (1, 1)))]
    if (dilation := getattr(operator, "dilation", (1, 1))) != (1, 1):
        parts.append(f"dilated {_sides(dilation)}")
    if (groups := getattr(operator, "groups", 1)) > 1:
        parts.append(f"in {groups} groups")
    return " ".join(parts)


def sides(shape: Shape) -> str:
    """A shape without its batch, "56x56x256"; a side that is not known is a question mark."""
    return _sides(shape[1:])


def parameters_of(nodes: Sequence[Node]) -> int:
    """The number of values of all weights of some nodes, each weight once."""
    return sum(
        {f"{node.owner}/{weight.name}": weight.size for node in nodes for weight in node.weights}.values()
    )


def _sides(dimensions: Shape) -> str:
    return "x".join(UNKNOWN if side is None else str(side) for side in dimensions)


def _stride(stride: tuple[int, int]) -> str:
    if stride == (1, 1):
        return ""
    return f"/{stride[0]}" if stride[0] == stride[1] else f"/{_sides(stride)}"
