"""Which stored weight is whose: .h5 files have a list for each layer, and one for all of a nested model.

Names decide where they tell, "layer/kernel:0" or Keras 1's "layer_W"; where they do not, the order in which
Keras itself reads them: all that can be trained, layer by layer, then all that cannot. Both ways each weight
must be there once, and of its shape. In Keras 2's .keras files each layer has a
group, by its class and number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelzoo.errors import quoted
from modelzoo.formats.hdf5 import Place
from modelzoo.formats.keras_zip import KerasZipFile
from modelzoo.graph.operator import Weight
from modelzoo.importers.keras_config import Layer, Model
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


Pairs = list[tuple[tuple[Owner, Weight], Place]]


def paired(owners: Sequence[Owner], places: Sequence[Place]) -> Pairs:
    """Each weight and its place. Raises ValueError where one is missing or left."""
    expected = sum(len(owner.weights) for owner in owners)
    if expected != len(places):
        names = ", ".join(quoted(owner.layer.name) for owner in owners[:3])
        raise ValueError(f"expected {expected} weights for the layers {names}, found {len(places)}")
    return _by_names(owners, places) or _by_order(owners, places)


def each_of(owner: Owner, places: Sequence[Place]) -> list[tuple[Weight, Place]]:
    """The weights of one layer and their places. Raises ValueError where one is missing or left."""
    if len(places) != len(owner.weights):
        expected, name = len(owner.weights), quoted(owner.layer.name)
        raise ValueError(f"expected {expected} weights for the layer {name}, found {len(places)}")
    return list(zip(owner.weights, places, strict=True))


def located(model: Model, file: KerasZipFile, group: str = "") -> dict[int, list[Place]]:
    """Where the weights of each layer lie in a .keras file, by its identity.

    Raises ValueError if a model has other layers in the file than in its configuration.
    """
    found: dict[int, list[Place]] = {}
    kinds: dict[str, list[Layer]] = {}
    for layer in model.layers:
        if layer.kind != "InputLayer":
            kinds.setdefault(layer.kind, []).append(layer)
    for kind, layers in kinds.items():
        groups = file.layers(group, snake_case(kind))
        if len(groups) != len(layers):
            raise ValueError(f"expected weights of {len(layers)} {quoted(kind)} layers, found {len(groups)}")
        for layer, inner in zip(layers, groups, strict=True):
            if layer.model is not None:
                found |= located(layer.model, file, inner)
            else:
                found[id(layer)] = file.weights(inner)
    return found


def snake_case(kind: str) -> str:
    """The name of a class's groups.

    >>> [snake_case(kind) for kind in ("Conv2DTranspose", "TFOpLambda", "PReLU")]
    ['conv2d_transpose', 'tf_op_lambda', 'p_re_lu']
    """
    words = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", kind)
    return re.sub("([a-z])([A-Z])", r"\1_\2", words).lower()


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
