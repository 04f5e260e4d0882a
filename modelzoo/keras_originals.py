"""keras.applications' own networks, filled with our synthetic weights: the originals of its entries."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from modelzoo import synthetic
from modelzoo.registry import Entry

if TYPE_CHECKING:
    import keras

FAMILY = "keras_applications"


def has(entry: Entry) -> bool:
    """Whether the entry's original is a network of keras.applications."""
    return entry.graph.family == FAMILY


def of_one_size(entry: Entry) -> bool:
    """Whether such a network is drawn anew for every size of pictures."""
    return has(entry) and _facts(entry).fixed_size


def outputs(entry: Entry, pictures: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Logits and feature maps of Keras' network with the synthetic weights, {"picture/map": array}."""
    import keras

    from modelzoo import conversion

    shapes = conversion.weight_shapes(entry)
    results = {}
    for name, array in pictures.items():
        model = original(entry, *array.shape[1:3])
        fill(model, entry, shapes, official=False)
        every = keras.Model(model.inputs[0], maps(model, entry) | {"logits": model.output})
        for map_name, value in every(array, training=False).items():
            results[f"{name}/{map_name}"] = keras.ops.convert_to_numpy(value)
    return results


def original(entry: Entry, height: int, width: int, **options) -> keras.Model:
    """Keras' network for these pictures, up to the logits, in a thread of its own: its names count from 0."""
    import keras

    facts = _facts(entry)
    arguments = {"weights": None, "classifier_activation": None} | facts.options | options
    with ThreadPoolExecutor(max_workers=1) as executor:
        function = getattr(keras.applications, facts.model)
        return executor.submit(function, input_shape=(height, width, 3), **arguments).result()


def variables(model: keras.Model) -> dict[str, Any]:
    """By the name that a file gives them: "layer/weight"."""
    return {f"{layer.name}/{weight.name}": weight for layer in model.layers for weight in layer.weights}


def fill(
    model: keras.Model, entry: Entry, shapes: Mapping[str, tuple[int, ...]], *, official: bool = True
) -> None:
    """Gives the original our synthetic weights of these shapes, through the inverse of the conversion.

    If `official`, EfficientNet's normalisation gets the numbers of the official files, with the deviation in
    place of the variance, for which Keras makes up when it loads such a file; else the right ones.
    """
    from modelzoo.architectures.keras_applications import IMAGENET_MEAN, IMAGENET_STD

    family = import_module(f"modelzoo.conversion.{entry.sources[0].converter}")
    theirs = variables(model)
    name_of = family.naming(entry.graph.variant, list(theirs))
    for path, shape in shapes.items():
        theirs.pop(name_of(path)).assign(family.to_upstream(path, synthetic.array(path, shape)))
    variance = IMAGENET_STD if official else [std**2 for std in IMAGENET_STD]
    for kind, values in (("mean", IMAGENET_MEAN), ("variance", variance)):
        if f"normalization/{kind}" in theirs:
            theirs[f"normalization/{kind}"].assign(values)
            model.get_layer("normalization").finalize_state()
    left = [name for name in theirs if not family.IGNORED.fullmatch(name)]
    if left:
        raise AssertionError(f"{entry.key}: Keras' network has weights that ours has not: {left}")


def maps(model: keras.Model, entry: Entry) -> dict[str, Any]:
    """The original's own tensors of our feature maps."""
    operations = {operation.name: operation for operation in model.operations}
    return {name: operations[layer].output for name, layer in _facts(entry).maps.items()}


def _facts(entry: Entry):
    from modelzoo.architectures.keras_applications import VARIANTS

    return VARIANTS[entry.graph.variant]
