"""feature_info(): the feature maps of a registry's network, without a framework and without weights."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from modelzoo import registry
from modelzoo.architectures.network import network
from modelzoo.registry import Architecture

CHANNELS = 3
SIDES = (256, 512)  # of two images: what a map grows by between them is free of what its edges lose


@dataclass(frozen=True)
class FeatureInfo:
    """A feature map that `load(..., features=...)` gives."""

    name: str  # C1, C2, ...
    channels: int
    stride: int  # pixels of the image for one of the map; timm calls it reduction
    layer: str  # whose output it is


def feature_info(name: str) -> tuple[FeatureInfo, ...]:
    """All feature maps of the model `name`, or of a model folder, the finest first, as timm's feature_info.

    They are those of images of any size. Raises UnknownModel.
    """
    return _feature_info(registry.info(name).graph)


@functools.cache
def _feature_info(facts: Architecture) -> tuple[FeatureInfo, ...]:
    try:
        small, large = (network(facts, input_shape=(side, side, CHANNELS)) for side in SIDES)
    except ValueError:  # built for images of its own size
        maps = network(facts)
        return tuple(
            FeatureInfo(level, _known(maps.shape(node)[-1]), 2 ** int(level[1:]), node)
            for level, node in maps.maps.items()
        )
    return tuple(
        FeatureInfo(
            level, _known(large.shape(node)[-1]), _stride(small.shape(node)[1], large.shape(node)[1]), node
        )
        for level, node in large.maps.items()
    )


def _stride(small: int | None, large: int | None) -> int:
    return round((SIDES[1] - SIDES[0]) / (_known(large) - _known(small)))


def _known(dimension: int | None) -> int:
    """The dimension, which images of a known size leave none unknown."""
    if dimension is None:
        raise ValueError("Expected a feature map of a known shape.")
    return dimension
