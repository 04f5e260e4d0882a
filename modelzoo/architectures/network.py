"""The network of a registry's record, whether a family writes its graph or a model folder brings it along."""

from __future__ import annotations

from collections.abc import Iterable

from modelzoo.architectures import sizes, stored
from modelzoo.architectures.build import build
from modelzoo.architectures.top import Top, top_of
from modelzoo.graph import Graph
from modelzoo.registry.entries import Architecture
from modelzoo.registry.folders import StoredArchitecture

InputShape = tuple[int | None, int | None, int]


def network(
    facts: Architecture,
    *,
    input_shape: InputShape | None = None,
    classes: int | None = None,
    pooling: str | None = None,
    classifier_activation: str | None = None,
    name: str | None = None,
) -> Graph:
    """The part of a network that build() gives of a family's variant; by default for its own input shape."""
    if isinstance(facts, StoredArchitecture):
        return stored.build(
            facts,
            input_shape=input_shape,
            classes=classes,
            pooling=pooling,
            classifier_activation=classifier_activation,
            name=name,
        )
    return build(
        facts.family,
        facts.variant,
        input_shape=input_shape or facts.input_shape,
        classes=classes,
        pooling=pooling,
        classifier_activation=classifier_activation,
        name=name,
    )


def smallest_side_of(facts: Architecture, *, top: bool) -> int:
    """The side in pixels of the smallest square image that the network takes, with its top or without."""
    if isinstance(facts, StoredArchitecture):
        return stored.smallest_side(facts, top=top)
    return sizes.smallest_side(facts.family, facts.variant, top=top)


def top_layers(facts: Architecture) -> Top:
    """The layers with weights between the last feature map and the output, in their order."""
    if isinstance(facts, StoredArchitecture):
        return stored.top_layers(facts)
    return top_of(facts.family, facts.variant)


def top_weights(facts: Architecture, paths: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those of the weights ("layer/weight") that a network without top does not have; and the head's."""
    top = top_layers(facts)
    of_top = tuple(path for path in paths if path.rpartition("/")[0] in top.layers)
    return of_top, tuple(path for path in of_top if path.rpartition("/")[0] in top.head)
