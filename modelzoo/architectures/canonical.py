"""A classifier's graph as model folders keep it, from that of any model: one input, known sides, maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from modelzoo.architectures.build import IMAGES
from modelzoo.architectures.network import network
from modelzoo.graph import Builder, Graph
from modelzoo.graph.maps import feature_maps, head_of
from modelzoo.registry import Architecture

CHANNELS = 3
Channels = Mapping[str, tuple[str, int | None]]  # of feature maps: the node, and how many it has


def maps_of(facts: Architecture) -> dict[str, tuple[str, int | None]]:
    """The feature maps of a known network: their nodes and channels by name."""
    graph = network(facts)
    return {level: (node, graph.shape(node)[-1]) for level, node in graph.maps.items()}


def graph_of(graph: Graph, *, maps: Channels, side: int | None) -> Graph:
    """The graph with an input `images` of a known square, its feature maps, and precise outputs.

    maps: those of the network that it was made from, which are kept where it still has them; `side`: that of
    images where the graph does not say it. Raises ValueError, in one sentence, for what is no classifier.
    """
    name, shape = _image(graph, side)
    builder = Builder()
    values = {name: builder.input(IMAGES, (None, *shape))}
    precise = _after_the_body(graph)
    nodes = tuple(replace(node, precise=node.precise or node.name in precise) for node in graph.nodes)
    values = builder.replay(replace(graph, nodes=nodes), values)
    if len(graph.outputs) != 1:
        raise ValueError(f"Expected a model with one output, got {', '.join(graph.outputs)}.")
    output = values[graph.output]
    if len(output.shape) != 2 or output.shape[1] is None:
        raise ValueError(f"Expected a model that gives (batch, classes), got {output.shape}.")
    result = builder.graph(graph.name, {output.name: output})
    found = feature_maps(result)
    for level, (node, channels) in maps.items():
        if node in result.node and result.shape(node)[-1] == channels and _is_map(result, node):
            found[level] = node
    levels = sorted(found, key=lambda level: int(level[1:]))
    return replace(result, maps={level: found[level] for level in levels})


def _image(graph: Graph, side: int | None) -> tuple[str, tuple[int, int, int]]:
    """The name of the only input, and the shape of its images."""
    if len(graph.inputs) != 1:
        raise ValueError(f"Expected a model with one input, got {', '.join(graph.inputs)}.")
    ((name, shape),) = graph.inputs.items()
    if len(shape) != 4 or shape[3] != CHANNELS:
        raise ValueError(f"Expected a model of images (batch, height, width, 3), got {shape}.")
    height, width = (side if known is None else known for known in shape[1:3])
    if height is None or width is None:
        raise ValueError("Expected images of a known size: give a preprocessing, or a base.")
    if height != width:
        raise ValueError(f"Expected a model of square images, got {height} x {width} pixels.")
    return name, (height, width, CHANNELS)


def _after_the_body(graph: Graph) -> set[str]:
    """The head and what comes after it: logits and probabilities need float32 where others do not."""
    head = head_of(graph) if len(graph.outputs) == 1 else None
    found = set() if head is None else {head.name}
    for node in graph.nodes:
        if not found.isdisjoint(node.inputs):
            found.add(node.name)
    return found


def _is_map(graph: Graph, node: str) -> bool:
    return len(graph.shape(node)) == 4
