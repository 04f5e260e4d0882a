"""The order of a graph's nodes: the one in which a functional keras.Model lists its layers.

Weight files keep their weights in it. Keras sorts by the longest way to an output, and nodes that are equally
far in the order in which it meets them on its way back from the outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelzoo.graph.graph import Node


def in_keras_order(nodes: Iterable[Node], outputs: Sequence[str]) -> tuple[Node, ...]:
    """Those of the nodes that the outputs need, each after those that it needs itself."""
    by_name = {node.name: node for node in nodes}
    met, finished = _traversed(by_name, outputs)
    depth: dict[str, int] = {}
    for name in reversed(finished):
        own = depth.setdefault(name, 0)
        for needed in by_name[name].inputs:
            if needed in by_name:
                depth[needed] = max(own + 1, depth.get(needed, 0))
    return tuple(by_name[name] for name in sorted(met, key=lambda name: (-depth[name], met[name])))


def _traversed(nodes: dict[str, Node], outputs: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """The nodes that the outputs need: when each is met for the first time, and all in order of being done.

    A node is done when all that it needs are.
    """
    met: dict[str, int] = {}
    finished: list[str] = []
    open_nodes = [iter(outputs)]
    names: list[str] = []  # of the nodes whose inputs are being visited
    while open_nodes:
        name = next((name for name in open_nodes[-1] if name in nodes and name not in met), None)
        if name is not None:
            met[name] = len(met)
            names.append(name)
            open_nodes.append(iter(nodes[name].inputs))
            continue
        open_nodes.pop()
        if names:
            finished.append(names.pop())
    return met, finished
