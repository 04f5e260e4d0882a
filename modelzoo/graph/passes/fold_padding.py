"""Zero padding into the windows after it, which then need no padded copy of the map."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from modelzoo.graph.convolutions import Conv, DepthwiseConv, SeparableConv
from modelzoo.graph.elementwise import Activation, Add, Dropout, Multiply, ReLU
from modelzoo.graph.graph import Graph, Node
from modelzoo.graph.operator import Shape
from modelzoo.graph.passes.rewriting import Arrays, Uses, needed, rewritten
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.shaping import (
    Concat,
    Cropping,
    Flatten,
    Permute,
    Reshape,
    SamePadding,
    UpSampling,
    ZeroPadding,
)
from modelzoo.graph.windows import Margins, extent, margins

Windowed = Conv | DepthwiseConv | SeparableConv | MaxPool
NOT_NEGATIVE = {"hard_sigmoid", "relu", "relu6", "sigmoid", "softmax", "softplus"}
KEEPS_SIGNS = (
    *(Add, Multiply, Concat, MaxPool, AveragePool, GlobalPool, Dropout),
    *(ZeroPadding, SamePadding, Cropping, Reshape, Flatten, Permute, UpSampling),
)


def fold_padding(graph: Graph, arrays: Arrays) -> tuple[Graph, dict[str, NDArray[Any]]]:
    """Without the paddings that all of their consumers can do themselves, by explicit margins.

    These are convolutions, depthwise and separable ones, and a max pooling whose input cannot be below zero:
    there a zero is never more than a pixel. A padding that depends on an unknown side stays, as does one
    whose value an output or a feature map gives. No array changes.
    """
    uses, changed, instead = Uses.of(graph), dict[str, Node](), dict[str, str]()
    positive = _never_negative(graph)
    for node in graph.nodes:
        around = _around(node, graph.shape(node.inputs[0]))
        if around is None or node.name in uses.given or node.container is not None:
            continue
        consumers = uses.consumers[node.name]
        folded = [_with_padding(uses, consumer, node.shape, around, positive) for consumer in consumers]
        if all(consumer is not None for consumer in folded):
            changed |= {consumer.name: consumer for consumer in folded if consumer is not None}
            instead[node.name] = node.inputs[0]
    result = rewritten(graph, changed, instead)
    return result, needed(result, arrays)


def _around(node: Node, shape: Shape) -> Margins | None:
    """What a padding puts around a map of this shape; None if that is not known, and for other operators."""
    if isinstance(node.operator, ZeroPadding):
        return node.operator.margins
    return node.operator.margins(shape) if isinstance(node.operator, SamePadding) else None


def _with_padding(uses: Uses, node: Node, padded: Shape, around: Margins, positive: set[str]) -> Node | None:
    """The consumer with that much more padding; None if it would compute something else, or cannot pad."""
    operator = node.operator
    if not isinstance(operator, Windowed) or uses.is_shared(node) or node.container is not None:
        return None
    window = operator.size if isinstance(operator, MaxPool) else extent(operator.kernel, operator.dilation)
    own = margins(operator.padding, padded[1:3], window, operator.stride)
    if own is None:
        return None
    total = _sum(own, around)
    if isinstance(operator, MaxPool):
        in_padding = any(max(pair) >= side for pair, side in zip(total, window, strict=True))
        if node.inputs[0] not in positive or in_padding:  # a window may see nothing but padding
            return None
    return replace(node, operator=replace(operator, padding=total))


def _sum(a: Margins, b: Margins) -> Margins:
    (top, bottom), (left, right) = a
    (above, below), (before, after) = b
    return (top + above, bottom + below), (left + before, right + after)


def _never_negative(graph: Graph) -> set[str]:
    """The nodes whose values cannot be below zero, whatever the weights."""
    found: set[str] = set()
    for node in graph.nodes:
        operator = node.operator
        keeps = isinstance(operator, KEEPS_SIGNS) or operator == Activation("linear")
        if (
            isinstance(operator, ReLU)
            or (isinstance(operator, Activation) and operator.function in NOT_NEGATIVE)
            or (keeps and all(name in found for name in node.inputs))
        ):
            found.add(node.name)
    return found
