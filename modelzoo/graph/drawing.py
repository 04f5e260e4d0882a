"""A network in the language of Graphviz, DOT: a block or a layer a box."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from modelzoo.errors import readable
from modelzoo.graph.blocks import Block, blocks
from modelzoo.graph.graph import Graph, Node
from modelzoo.graph.operator import Shape
from modelzoo.graph.summary import label, parameters_of, sides

INK, PAPER, MAP = "#3d5a80", "#eef3fa", "#d6e6c8"  # MAP: a box that gives a feature map
WIDTH = 48  # characters of a line in a box
STYLE = (
    f'node [shape=box, style="rounded,filled", color="{INK}", fillcolor="{PAPER}", '
    'fontname="Helvetica", fontsize=11];',
    f'edge [color="{INK}", arrowsize=0.7];',
    'graph [fontname="Helvetica", fontsize=12, labelloc=t];',
)


def dot(graph: Graph, *, layers: bool = False) -> str:
    """The DOT text of a network: a box for each block, or for each layer, in frames for the blocks."""
    found = blocks(graph)
    draw = _layers if layers else _blocks
    title = _text(readable(graph.name), f"{graph.parameters:,} parameters")
    lines = [*STYLE, f"label={title};", *draw(graph, found)]
    return "\n".join(("digraph {", *(f"  {line}" for line in lines), "}", ""))


def _blocks(graph: Graph, found: list[Block]) -> Iterator[str]:
    """A box for each block."""
    boxes = {node.name: f"b{place}" for place, block in enumerate(found) for node in block.nodes}
    for place, block in enumerate(found):
        yield _box(graph, f"b{place}", block.title, block.nodes)
    yield from _ends_and_edges(graph, boxes)


def _layers(graph: Graph, found: list[Block]) -> Iterator[str]:
    """A box for each layer, and a frame around those of each block."""
    boxes = {name: f"n{place}" for place, name in enumerate(graph.node)}
    for place, block in enumerate(found):
        lines = [_box(graph, boxes[node.name], node.name, [node]) for node in block.nodes]
        if len(lines) > 1:
            frame = f'label={_text(readable(block.title))}; style=rounded; color="{INK}";'
            lines = [f"subgraph cluster_{place} {{ {frame}", *(f"  {line}" for line in lines), "}"]
        yield from lines
    yield from _ends_and_edges(graph, boxes)


def _box(graph: Graph, identifier: str, title: str, nodes: Sequence[Node]) -> str:
    """A box that says what some nodes are called, do, give and have learned, and which maps they give."""
    parameters, levels = parameters_of(nodes), _levels(graph, nodes)
    lines = [
        readable(title),
        *wrap(_operators(nodes), WIDTH),
        ", ".join(_shapes(graph, nodes)),
        *([f"{parameters:,} parameters"] if parameters else []),
        *([", ".join(levels)] if levels else []),
    ]
    color = f', fillcolor="{MAP}"' if levels else ""
    return f"{identifier} [label={_text(*lines)}{color}];"


def _operators(nodes: Sequence[Node]) -> str:
    """What one node computes, or how many there are of which operator."""
    if len(nodes) == 1:
        return label(nodes[0].operator)
    kinds = Counter(type(node.operator).__name__ for node in nodes)
    return ", ".join(f"{number} {kind}" if number > 1 else kind for kind, number in kinds.items())


def _shapes(graph: Graph, nodes: Sequence[Node]) -> Iterable[str]:
    """The shapes of what the nodes give to others, each once."""
    names = {node.name for node in nodes}
    taken = {name for node in graph.nodes if node.name not in names for name in node.inputs}
    taken |= set(graph.outputs.values())
    return dict.fromkeys(sides(node.shape) for node in nodes if node.name in taken)


def _levels(graph: Graph, nodes: Iterable[Node]) -> list[str]:
    """The names of the feature maps that some nodes give."""
    names = {node.name for node in nodes}
    return [level for level, name in graph.maps.items() if name in names]


def _ends_and_edges(graph: Graph, boxes: dict[str, str]) -> Iterator[str]:
    """The inputs, the outputs, and an arrow for every value that goes from one box to another."""
    places = boxes | {name: f"i{place}" for place, name in enumerate(graph.inputs)}
    for name, shape in graph.inputs.items():
        yield _end(places[name], name, shape)
    pairs = ((places[name], places[node.name]) for node in graph.nodes for name in node.inputs)
    yield from (f"{start} -> {end};" for start, end in dict.fromkeys(pairs) if start != end)
    for place, (name, value) in enumerate(graph.outputs.items()):
        yield _end(f"o{place}", name, graph.shape(value))
        yield f"{places[value]} -> o{place};"


def _end(identifier: str, name: str, shape: Shape) -> str:
    """An input or an output."""
    return f"{identifier} [label={_text(readable(name), sides(shape))}, shape=ellipse];"


def _text(*lines: str) -> str:
    """A string of DOT, in whose lines backslashes and character references have no meaning."""
    escaped = (line.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped) + '"'
