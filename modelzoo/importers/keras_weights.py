"""Which stored weight is whose: Keras 1 and 2 keep a list for each layer, and one for all of a nested model.

Names decide where they tell, "layer/kernel:0" or Keras 1's "layer_W"; where they do not, the order in which
Keras itself reads them: all that can be trained, layer by layer, then all that cannot. Both ways each weight
must be there once, and of its shape.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelzoo.errors import quoted
from modelzoo.formats.hdf5 import Place
from modelzoo.graph.operator import Weight
from modelzoo.importers.keras_config import Layer
from modelzoo.importers.keras_options import Origin, kind_of

SUFFIX = re.compile(r":\d+$")
CONVOLUTIONS = {"Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose"}


@dataclass(frozen=True)
class Owner:
    """A layer that has weights: its name in the graph, and the weights in Keras' order."""

    layer: Layer
    name: str
    weights: tuple[Weight, ...]

    @property
    def frozen(self) -> bool:
        return self.layer.options.get("trainable") is False


def paired(owners: Sequence[Owner], places: Sequence[Place]) -> dict[str, Place]:
    """The place of each weight, by its path in the graph. Raises ValueError where one is missing or left."""
    expected = sum(len(owner.weights) for owner in owners)
    if expected != len(places):
        names = ", ".join(quoted(owner.layer.name) for owner in owners[:3])
        raise ValueError(f"expected {expected} weights for the layers {names}, found {len(places)}")
    found = _by_names(owners, places) or _by_order(owners, places)
    return {f"{owner.name}/{weight.name}": place for (owner, weight), place in found}


Pairs = list[tuple[tuple[Owner, Weight], Place]]


def _by_names(owners: Sequence[Owner], places: Sequence[Place]) -> Pairs | None:
    """What the names say; None where they do not tell."""
    taken: dict[str, list[Place]] = {}
    for place in places:
        path = SUFFIX.sub("", place.weight)
        for part in path.split("/")[:-1]:
            taken.setdefault(part, []).append(place)
        last = path.rpartition("/")[2]
        for owner in owners:
            if last.startswith(f"{owner.layer.name}_"):
                taken.setdefault(owner.layer.name, []).append(place)
    if len({owner.layer.name for owner in owners}) != len(owners):
        return None
    found: Pairs = []
    for owner in owners:
        own = taken.get(owner.layer.name, [])
        if len(own) != len(owner.weights):
            return None
        found += [((owner, weight), place) for weight, place in zip(owner.weights, own, strict=True)]
    return found if len({place for _, place in found}) == len(places) else None


def _by_order(owners: Sequence[Owner], places: Sequence[Place]) -> Pairs:
    each = [(owner, weight) for owner in owners for weight in owner.weights]
    kept = [pair for pair in each if pair[1].trainable and not pair[0].frozen]
    others = [pair for pair in each if not (pair[1].trainable and not pair[0].frozen)]
    return list(zip([*kept, *others], places, strict=True))


def stored_shape(owner: Owner, weight: Weight, origin: Origin) -> tuple[int, ...]:
    """The shape that the weight has in the file."""
    shape = weight.shape
    kernel = len(shape) == 4 and kind_of(owner.layer) in CONVOLUTIONS
    if kernel and _first(owner, origin):
        height, width, a, b = shape
        return b, a, height, width
    if kernel and origin.first and kind_of(owner.layer) == "Conv2DTranspose":
        height, width, a, b = shape
        return height, width, b, a
    return shape


def arranged(owner: Owner, weight: Weight, origin: Origin, array: np.ndarray) -> np.ndarray:
    """The values as a graph has them: Keras 1's "th" kernels are turned, and Theano's mirrored."""
    kernel = len(weight.shape) == 4 and kind_of(owner.layer) in CONVOLUTIONS
    if kernel and _first(owner, origin):
        array = array.transpose(2, 3, 1, 0)
    elif kernel and origin.first and kind_of(owner.layer) == "Conv2DTranspose":
        array = array.transpose(0, 1, 3, 2)
    if kernel and origin.theano:
        array = array[::-1, ::-1]
    return np.ascontiguousarray(array, np.float32)


def _first(owner: Owner, origin: Origin) -> bool:
    """Whether the kernels have filters first, as Keras 1 had them where channels came first."""
    ordering = owner.layer.options.get("dim_ordering")
    return origin.first and ordering == "th"
