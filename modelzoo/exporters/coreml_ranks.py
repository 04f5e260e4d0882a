"""Tensors of fewer dimensions: Core ML has up to five, and a reordering of pixels may pass through six."""

from __future__ import annotations

import math
from dataclasses import replace

from modelzoo.graph import Graph, Node
from modelzoo.graph.passes.rewriting import Uses, rewritten
from modelzoo.graph.shaping import Permute, Reshape

MOST_RANK = 5


def with_fewer_axes(graph: Graph) -> Graph:
    """The graph with axes that stay side by side as one, between reshapes to and from too many dimensions."""
    uses, changed = Uses.of(graph), dict[str, Node]()
    for node in graph.nodes:
        before = graph.node.get(node.inputs[0])
        if before is None or len(node.shape) <= MOST_RANK or not _is_between(uses, before, node):
            continue
        target, axes = _merged(before.operator, node.operator)
        changed[before.name] = replace(before, operator=Reshape(target))
        changed[node.name] = replace(node, operator=Permute(axes))
    return rewritten(graph, changed, {}) if changed else graph


def _is_between(uses: Uses, before: Node, node: Node) -> bool:
    """Whether nothing but other reshapes sees the values of a reshape and of the permutation after it."""
    seen = {before.name, node.name} & uses.given
    alone = len(uses.consumers[before.name]) == 1 and not seen
    after = uses.consumers.get(node.name, [])
    kinds = isinstance(before.operator, Reshape) and isinstance(node.operator, Permute)
    return kinds and alone and all(isinstance(other.operator, Reshape) for other in after)


def _merged(reshape: object, permute: object) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The target and the order of axes, those that follow each other before and after being one.

    >>> _merged(Reshape((16, 38, 2, 38, 2)), Permute((3, 5, 1, 2, 4)))
    ((608, 2, 38, 2), (2, 4, 1, 3))
    """
    assert isinstance(reshape, Reshape)
    assert isinstance(permute, Permute)
    groups: list[list[int]] = []
    for axis in permute.axes:
        if groups and groups[-1][-1] + 1 == axis:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    order = sorted(groups)
    sides = [[reshape.target[axis - 1] for axis in group] for group in order]
    target = tuple(-1 if -1 in group else math.prod(group) for group in sides)
    return target, tuple(order.index(group) + 1 for group in groups)
