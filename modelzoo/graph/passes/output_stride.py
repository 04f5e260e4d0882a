"""Finer feature maps from the same weights: dilated windows in place of strided ones."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import Any

from modelzoo.graph.convolutions import Conv, DepthwiseConv, SeparableConv
from modelzoo.graph.graph import Graph, Node
from modelzoo.graph.operator import Operator
from modelzoo.graph.passes.rewriting import rewritten
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.shaping import SamePadding, ZeroPadding
from modelzoo.graph.windows import Margins, Pair

CONVOLUTIONS = (Conv, DepthwiseConv, SeparableConv)
POOLINGS = (MaxPool, AveragePool)


def with_output_stride(graph: Graph, output_stride: int) -> Graph:
    """The network with feature maps of this stride at most.

    Windows that would stride beyond it do not, and those after them are dilated (Chen et al. 2017,
    https://arxiv.org/abs/1706.05587). The weights stay, and of a map that became n times as fine every n-th
    place is what it was. Raises ValueError where no arithmetic gives that: for a network that pools over
    windows there, or pads by TensorFlow's "same" under a stride.
    """
    dilation = _Dilation(graph, output_stride)
    for node in graph.nodes:
        dilation.visit(node)
    return rewritten(graph, dilation.changed, {})


@dataclass(frozen=True)
class _Dilation:
    """What becomes of the nodes so far: of each value its stride in the given graph, and how many times as
    fine it gets.
    """

    graph: Graph
    most: int
    strides: dict[str, int] = field(default_factory=dict)
    rates: dict[str, int] = field(default_factory=dict)
    changed: dict[str, Node] = field(default_factory=dict)

    def visit(self, node: Node) -> None:
        """Notes what becomes of a node, whose inputs were visited."""
        stride = max((self.strides.get(name, 1) for name in node.inputs), default=1)
        rate = max((self.rates.get(name, 1) for name in node.inputs), default=1)
        step = _step(node.operator)
        finer = stride * step > self.most and step > 1
        self.strides[node.name] = stride * step
        self.rates[node.name] = rate * step if finer else rate
        if finer or rate > 1:
            operator = self._dilated(node, rate, finer)
            self.changed[node.name] = replace(node, operator=operator)

    def _dilated(self, node: Node, rate: int, finer: bool) -> Operator:
        operator = node.operator
        if isinstance(operator, ZeroPadding):
            return ZeroPadding(_times(operator.margins, rate))
        if isinstance(operator, (SamePadding, GlobalPool)) and node.name in self.below_maps:
            raise self._refusal(node)
        window: Pair | None = getattr(operator, "kernel", getattr(operator, "size", None))
        if not isinstance(operator, (*CONVOLUTIONS, *POOLINGS)) or window is None:
            return operator
        padding: Any = operator.padding
        halves = isinstance(operator, AveragePool) and window == operator.stride and rate == 1
        if padding == "same" and finer and window != (1, 1) and not halves:
            raise self._refusal(node)
        if isinstance(operator, POOLINGS):
            if rate > 1 and window != (1, 1):
                raise self._refusal(node)
            return replace(operator, stride=(1, 1)) if finer else operator
        options: dict[str, Any] = {"stride": (1, 1)} if finer else {}
        if not isinstance(padding, str):
            options["padding"] = _times(padding, rate)
        if window != (1, 1):
            options["dilation"] = tuple(rate * side for side in operator.dilation)
        return replace(operator, **options)

    @functools.cached_property
    def below_maps(self) -> frozenset[str]:
        """The nodes that feature maps need; the others are the network's top."""
        maps = self.graph.maps
        return frozenset(self.graph.with_outputs(maps).node) if maps else frozenset()

    def _refusal(self, node: Node) -> ValueError:
        kind = type(node.operator).__name__
        return ValueError(
            f"{self.graph.name} cannot have an output_stride of {self.most}: its {kind} {node.name!r} has no "
            "dilated form that gives the same values. Choose a larger one, or features of finer levels."
        )


def _step(operator: Operator) -> int:
    return max(operator.stride) if isinstance(operator, (*CONVOLUTIONS, *POOLINGS)) else 1


def _times(margins: Margins, rate: int) -> Margins:
    (top, bottom), (left, right) = margins
    return (top * rate, bottom * rate), (left * rate, right * rate)
