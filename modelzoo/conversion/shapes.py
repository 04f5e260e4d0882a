"""The weights that a registry's network has: their paths and shapes, from its graph."""

from __future__ import annotations

import functools
from collections.abc import Collection

from modelzoo import architectures
from modelzoo.registry import Architecture, Entry


def weight_shapes(entry: Entry) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of the entry's full network by `layer/weight`, in the order of layers."""
    return dict(_shapes(entry.graph))


def top_weights(entry: Entry, paths: Collection[str]) -> list[str]:
    """Those of the paths that a model without top does not have."""
    return list(architectures.top_weights(entry.graph, paths)[0])


@functools.cache  # recognition and publishing ask for the same networks again
def _shapes(facts: Architecture) -> dict[str, tuple[int, ...]]:
    graph = architectures.build(
        facts.family, facts.variant, input_shape=facts.input_shape, classes=facts.classes
    )
    return graph.weight_shapes
