"""feature_info(): the feature maps of a registry's network, without a framework and without weights."""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from modelzoo import registry
from modelzoo.architectures.network import network, smallest_side_of
from modelzoo.graph import Graph, Shape
from modelzoo.graph.operator import channels_of
from modelzoo.registry import Architecture

CHANNELS = 3
SIDES = (256, 512)  # of two images: what a map grows by between them is free of what its edges lose
COARSEST = 32  # pixels; sides repeat their rounding after so many

Rounding = Literal["up", "down", "either", "less"]


@dataclass(frozen=True)
class FeatureInfo:
    """A feature map that `load(..., features=...)` gives.

    rounding: what a map's side is where the stride does not divide the image's. "up" is the next whole number
        above side / stride, "down" the one below, "either" depends on the side, and "less" may be smaller
        still: windows without padding lose pixels at the edges. map_sizes() says it for a size.
    """

    name: str  # C1, C2, ...
    channels: int
    stride: int  # pixels of the image for one of the map; timm calls it reduction
    layer: str  # whose output it is: a node of the graph, for which Keras may have an operation and no layer
    rounding: Rounding


def feature_info(name: str) -> tuple[FeatureInfo, ...]:
    """All feature maps of the model `name`, or of a model folder, the finest first, as timm's feature_info.

    They are those of images of any size. Raises UnknownModel.
    """
    return _feature_info(registry.info(name).graph)


def minimum_size(name: str, *, include_top: bool = False) -> int:
    """The side in pixels of the smallest square image that the model `name` takes. Raises UnknownModel.

    Feature maps need no top; what classifies may need larger images.
    """
    facts = registry.info(name).graph
    return smallest_side_of(facts, top=include_top)


def map_sizes(name: str, height: int, width: int) -> dict[str, tuple[int, int]]:
    """The height and width of each feature map of the model `name`, for images of this size.

    Raises UnknownModel, and ValueError for images that are smaller than minimum_size().
    """
    facts = registry.info(name).graph
    graph = network(facts, input_shape=(height, width, CHANNELS))
    return {level: _sides(graph.shape(node)) for level, node in graph.maps.items()}


@functools.cache
def _feature_info(facts: Architecture) -> tuple[FeatureInfo, ...]:
    try:
        small, large = (network(facts, input_shape=(side, side, CHANNELS)) for side in SIDES)
    except ValueError:  # built for images of its own size
        maps = network(facts)
        return tuple(
            FeatureInfo(level, channels_of(maps.shape(node)), 2 ** int(level[1:]), node, "either")
            for level, node in maps.maps.items()
        )
    sides = _sides_of_maps(large)
    found: list[FeatureInfo] = []
    for level, node in large.maps.items():
        growth = _sides(large.shape(node))[0] - _sides(small.shape(node))[0]
        stride = round((SIDES[1] - SIDES[0]) / growth)
        channels = channels_of(large.shape(node))
        found.append(FeatureInfo(level, channels, stride, node, _rounding(sides[level], stride)))
    return tuple(found)


def _sides_of_maps(graph: Graph) -> dict[str, dict[int, int]]:
    """For each map its height by that of the image, for as many heights as there are ways of rounding."""
    found: dict[str, dict[int, int]] = {level: {} for level in graph.maps}
    for height in range(SIDES[0], SIDES[0] + COARSEST):
        shapes: dict[str, Shape] = dict.fromkeys(graph.inputs, (None, height, height, CHANNELS))
        for node in graph.nodes:
            shapes[node.name] = node.operator.shape(*(shapes[name] for name in node.inputs))
        for level, node in graph.maps.items():
            found[level][height] = _sides(shapes[node])[0]
    return found


def _rounding(sides: dict[int, int], stride: int) -> Rounding:
    if all(side == -(-image // stride) for image, side in sides.items()):
        return "up"
    if all(side == image // stride for image, side in sides.items()):
        return "down"
    return "either" if all(side >= image // stride for image, side in sides.items()) else "less"


def _sides(shape: Shape) -> tuple[int, int]:
    """The height and width of a map, which images of a known size leave none unknown."""
    _, height, width, _ = shape
    assert height is not None
    assert width is not None
    return height, width


def levels_in(layers: Collection[str]) -> dict[str, frozenset[str]]:
    """The layers with weights that each feature level needs, of names as a network of the registry has them.

    A network with a part of the layers, or with others after them, will do. Of several, the one that has the
    most of them counts. Empty if there is none.
    """
    there, best = frozenset(layers), (0, dict[str, frozenset[str]]())
    for levels in _all_levels():
        known = {level: needed for level, needed in levels.items() if needed <= there}
        if known:
            best = max(best, (len(known[max(known)]), known), key=lambda found: found[0])
    return best[1]


@functools.cache
def _all_levels() -> list[dict[str, frozenset[str]]]:
    """Of each network's levels the names of all layers with weights that it needs."""
    facts = {
        (entry.graph.family, entry.graph.variant): entry.graph
        for entry in registry.current().entries.values()
    }
    found: list[dict[str, frozenset[str]]] = []
    for known in facts.values():
        graph = network(known)
        found.append({level: _owners(graph, node) for level, node in graph.maps.items()})
    return found


def _owners(graph: Graph, node: str) -> frozenset[str]:
    nodes = graph.with_outputs({node: node}).nodes
    return frozenset(found.owner for found in nodes if found.owner is not None and found.weights)
