"""The weights that a registry's network has: their paths and shapes, from its graph."""

from __future__ import annotations

from collections.abc import Collection

from modelzoo import architectures
from modelzoo.registry import Entry

# By family, variant and classes: recognition and publishing ask for the same networks again, at several input
# shapes, on which no weight depends.
_known: dict[tuple[str, str, int], dict[str, tuple[int, ...]]] = {}


def weight_shapes(entry: Entry) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of the entry's full network by `layer/weight`, in the order of layers."""
    facts = entry.graph
    network = (facts.family, facts.variant, facts.classes)
    if network not in _known:
        _known[network] = architectures.network(facts, classes=facts.classes).weight_shapes
    return dict(_known[network])


def top_weights(entry: Entry, paths: Collection[str]) -> list[str]:
    """Those of the paths that a model without top does not have."""
    return list(architectures.top_weights(entry.graph, paths)[0])


def head_weights(entry: Entry, paths: Collection[str]) -> list[str]:
    """Those of the paths whose shapes depend on the number of classes."""
    return list(architectures.top_weights(entry.graph, paths)[1])
