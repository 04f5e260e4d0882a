"""Away with what only training needs."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from modelzoo.graph.elementwise import Activation, Dropout
from modelzoo.graph.graph import Graph
from modelzoo.graph.passes.rewriting import Arrays, needed, rewritten


def drop_training_only(graph: Graph, arrays: Arrays) -> tuple[Graph, dict[str, NDArray[Any]]]:
    """Without dropouts and linear activations, which give what they get; outputs and maps give that, too.

    Where only such a node makes values precise (logits in float32 of a network in float16), it stays.
    """
    instead: dict[str, str] = {}
    for node in graph.nodes:
        name = node.inputs[0]
        name = instead.get(name, name)
        rounds_more = node.precise and name in graph.node and not graph.node[name].precise
        if (isinstance(node.operator, Dropout) or node.operator == Activation("linear")) and not rounds_more:
            instead[node.name] = name
    result = rewritten(graph, {}, instead)
    return result, needed(result, arrays)
