"""Which values of a graph are its feature maps, and which node is its head: found by its structure."""

from __future__ import annotations

import math

from modelzoo.graph.convolutions import Conv, Dense
from modelzoo.graph.graph import Graph, Node
from modelzoo.graph.operator import Shape
from modelzoo.graph.pooling import GlobalPool
from modelzoo.graph.shaping import Cropping, Flatten, SamePadding, ZeroPadding

PADDINGS = (ZeroPadding, SamePadding, Cropping)
TOLERANCE = 0.3  # of the binary logarithm of a stride: without padding maps lose some of their sides


def head_of(graph: Graph) -> Node | None:
    """The dense layer or convolution that gives the logits: the last one with weights, if only nodes that
    have none and one input come after it."""
    node = graph.node.get(graph.output)
    while node is not None and not node.weights:
        node = graph.node.get(node.inputs[0]) if len(node.inputs) == 1 else None
    return node if node is not None and isinstance(node.operator, (Dense, Conv)) else None


def feature_maps(graph: Graph) -> dict[str, str]:
    """The names of the feature maps' nodes by level, of a network with one image as input: {"C2": ...}.

    A map is a value through which everything passes on the way from the image to the output, the last one of
    its stride, 2**n for Cn. What comes after the pooling over all places is none. The shapes must be known.
    """
    (image,) = graph.inputs
    passages, pooled, head = _passages(graph), _pooled(graph), head_of(graph)
    maps: dict[str, str] = {}
    for node in graph.nodes:
        if node is head:
            break
        if node.name in pooled or node.name not in passages or isinstance(node.operator, PADDINGS):
            continue
        level = _level(graph.inputs[image], node.shape)
        if level is not None and level > 0:
            maps.pop(f"C{level}", None)
            maps[f"C{level}"] = node.name
    return maps


def _passages(graph: Graph) -> set[str]:
    """The nodes that no way from the input to the output goes round."""
    place = {node.name: number for number, node in enumerate(graph.nodes)}
    last_use = {node.name: number for number, node in enumerate(graph.nodes)}
    first_use_ends = 0  # the place of the last node that takes the image itself
    for number, node in enumerate(graph.nodes):
        for name in node.inputs:
            if name in place:
                last_use[name] = number
            else:
                first_use_ends = number
    found: set[str] = set()
    reach = first_use_ends
    for number, node in enumerate(graph.nodes):
        if reach <= number:
            found.add(node.name)
        reach = max(reach, last_use[node.name])
    return found


def _pooled(graph: Graph) -> set[str]:
    """The nodes that see all places of the image as one."""
    found: set[str] = set()
    for node in graph.nodes:
        if isinstance(node.operator, (GlobalPool, Flatten)) or found.issuperset(node.inputs):
            found.add(node.name)
    return found


def _level(image: Shape, shape: Shape) -> int | None:
    """The binary logarithm of a map's stride; None for what is no map of such a stride, or has one place."""
    if len(shape) != 4 or shape[1:3] == (1, 1):
        return None
    sides = [(of_image, of_map) for of_image, of_map in zip(image[1:3], shape[1:3], strict=True)]
    logarithms = [math.log2(a / b) for a, b in sides if a and b]
    if len(logarithms) != 2:
        return None
    level = round(sum(logarithms) / 2)
    return level if all(abs(number - level) < TOLERANCE for number in logarithms) else None
