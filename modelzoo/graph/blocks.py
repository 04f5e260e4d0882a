"""The blocks that a network repeats: by its layers' names, and by its shape where names do not tell."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from modelzoo.graph.elementwise import (
    ELU,
    Activation,
    Broadcasting,
    Dropout,
    LeakyReLU,
    ReLU,
)
from modelzoo.graph.graph import Graph, Node
from modelzoo.graph.normalization import Rescale
from modelzoo.graph.operator import Operator
from modelzoo.graph.shaping import Concat

# What a layer's name says of its block: the beginning of a name, and what the block is called.
NAMES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), title)
    for pattern, title in (
        (r"((?:\w+_)?stage_?\d+_block_?\d+)(?=_|$)", r"\1"),  # ours; ConvNeXt
        (r"(conv\d+_block\d+)(?=_)", r"\1"),  # ResNet, DenseNet
        (r"(block\d+_\d+)(?=_|$)", r"\1"),  # Inception-ResNet
        (r"(block\d+[a-z]?|block_\d+)(?=_|$)", r"\1"),  # VGG, Xception, MobileNet, EfficientNet
        (r"(expanded_conv(?:_\d+)?)(?=_)", r"\1"),  # MobileNet v2 and v3
        (r"(mixed_?\d+[a-z]?)(?=_[a-z]|$)", r"\1"),  # Inception
        (r"((?:cell|reduction|stage|stem)\d+)(?=_)", r"\1"),  # NASNet; ResNet-9, YOLO
        (r"(?:adjust|normal|reduction|separable_conv)_\w*?_?((?:stem_|reduce_)?\d+)$", r"cell_\1"),
        (r"(\w+_downsampling_block_\d+)", r"\1"),  # ConvNeXt
        (r"conv_(?:dw|pw|pad)_(\d+)(?=_|$)", r"conv_\1"),  # MobileNet
        (r"(?:conv|relu)(\d+)_\d+$|pool(\d+)$", r"conv\1\2"),  # VGG
        (r"(conv\d+|pool\d+|stem|detector|top|final)(?=_|$)", r"\1"),
    )
)
MERGING = (Broadcasting, Concat)  # ends branches
FOLLOWING = (*MERGING, Activation, Dropout, ELU, LeakyReLU, ReLU, Rescale)  # ends a block


@dataclass(frozen=True)
class Block:
    """Some nodes of a network, in its order."""

    title: str
    nodes: tuple[Node, ...]


def blocks(graph: Graph) -> list[Block]:
    """All nodes of the network, each in one block; the blocks in the order of their first nodes."""
    found: dict[str, Hashable] = {node.name: name for node in graph.nodes if (name := _named(node.name))}
    segments = _segments(graph)
    _join_inputs(graph, found, (Rescale,))  # before a sum that it is part of
    _join_inputs(graph, found, MERGING)
    _join_consumers(graph, found, segments)
    _join_inputs(graph, found, FOLLOWING)
    _join_neighbors(graph, found, segments)
    members: dict[Hashable, list[Node]] = {}
    for node in graph.nodes:
        members.setdefault(found[node.name], []).append(node)
    return [
        Block(key if isinstance(key, str) else _title(nodes), tuple(nodes)) for key, nodes in members.items()
    ]


def _named(name: str) -> str | None:
    """The block that a layer's name tells."""
    for pattern, title in NAMES:
        if match := pattern.match(name):
            return match.expand(title)
    return None


def _title(nodes: list[Node]) -> str:
    return nodes[0].name if len(nodes) == 1 else f"{nodes[0].name} … {nodes[-1].name}"


def _segments(graph: Graph) -> dict[str, int]:
    """The number of the segment of each node.

    A segment ends with a node that everything after it depends on, and on nothing else: branches begin and
    end within one.
    """
    uses: dict[str, int] = dict.fromkeys((*graph.inputs, *graph.node), 0)
    for node in graph.nodes:
        for name in set(node.inputs):
            uses[name] += 1
    needed, segment = {name for name in graph.inputs if uses[name]}, 0
    found: dict[str, int] = {}
    for node in graph.nodes:
        for name in set(node.inputs):
            uses[name] -= 1
            if not uses[name]:
                needed.discard(name)
        if uses[node.name]:
            needed.add(node.name)
        found[node.name] = segment
        segment += needed == {node.name}
    return found


def _join_inputs(graph: Graph, found: dict[str, Hashable], kinds: tuple[type[Operator], ...]) -> None:
    """A sum or an activation belongs to the block that it ends: that of its last input."""
    order = {name: place for place, name in enumerate(graph.node)}
    for node in graph.nodes:
        inputs = [name for name in node.inputs if name in found]
        if inputs and node.name not in found and isinstance(node.operator, kinds):
            found[node.name] = found[max(inputs, key=order.__getitem__)]


def _join_consumers(graph: Graph, found: dict[str, Hashable], segments: dict[str, int]) -> None:
    """A nameless node belongs where all that take its value do, if it is in their segment or takes theirs."""
    consumers: dict[str, list[str]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            consumers.setdefault(name, []).append(node.name)
    for node in reversed(graph.nodes):
        takers = consumers.get(node.name, [])
        keys = {found.get(name) for name in takers}
        if node.name in found or len(keys) != 1 or None in keys:
            continue
        inside = all(segments[name] == segments[node.name] for name in takers)
        if inside or keys == {found.get(name) for name in node.inputs}:
            found[node.name] = keys.pop()


def _join_neighbors(graph: Graph, found: dict[str, Hashable], segments: dict[str, int]) -> None:
    """What is left: the nodes of a segment that branches are a block, and so are those of a chain."""
    sizes = _counts(segments.values())
    before: Node | None = None
    for place, node in enumerate(graph.nodes):
        if node.name in found:
            before = None
            continue
        together = before is not None and (
            segments[node.name] == segments[before.name]
            or sizes[segments[node.name]] == sizes[segments[before.name]] == 1
            or isinstance(node.operator, FOLLOWING)
        )
        found[node.name] = found[before.name] if together and before is not None else place
        before = node


def _counts(values: Iterable[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for value in values:
        found[value] = found.get(value, 0) + 1
    return found
