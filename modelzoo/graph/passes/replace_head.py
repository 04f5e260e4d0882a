"""Another number of classes, for a network that is to learn other ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from modelzoo.graph.convolutions import Conv, Dense
from modelzoo.graph.graph import Graph, Node
from modelzoo.graph.operator import Operator
from modelzoo.graph.passes.rewriting import Arrays, needed, rewritten
from modelzoo.graph.shaping import Reshape


def replace_head(
    graph: Graph, arrays: Arrays, classes: int, *, name: str = "logits"
) -> tuple[Graph, dict[str, NDArray[Any]]]:
    """With `classes` units or filters of the layer `name`, which has no arrays then; all others keep theirs.

    A reshape after it, to as many values as there were classes, changes with it. Raises ValueError if there
    is no dense layer or convolution of this name.
    """
    heads = [node for node in graph.nodes if node.layer == name and isinstance(node.operator, (Dense, Conv))]
    if not heads:
        raise ValueError(f"Expected a dense layer or a convolution {name!r} in {graph.name}, found none.")
    if classes < 1:
        raise ValueError(f"Expected at least one class, got {classes}.")
    before = heads[0].shape[-1]
    changed = {node.name: replace(node, operator=_with_classes(node.operator, classes)) for node in heads}
    after = set(changed)
    for node in graph.nodes:
        if not after.isdisjoint(node.inputs):
            after.add(node.name)
            if isinstance(node.operator, Reshape):
                target = tuple(classes if side == before else side for side in node.operator.target)
                changed[node.name] = replace(node, operator=Reshape(target))
    result = rewritten(graph, changed, {})
    kept = {path: array for path, array in arrays.items() if path not in _paths(heads)}
    return result, needed(result, kept)


def _with_classes(operator: Operator, classes: int) -> Operator:
    if isinstance(operator, Dense):
        return replace(operator, units=classes)
    assert isinstance(operator, Conv)
    return replace(operator, filters=classes)


def _paths(nodes: list[Node]) -> set[str]:
    return {path for node in nodes for path in node.paths.values()}
