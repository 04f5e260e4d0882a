"""keras.applications' own networks, filled with our synthetic weights: the originals of its entries."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from modelzoo import conversion, registry
from modelzoo.architectures import synthetic
from modelzoo.architectures.keras_applications import IMAGENET_MEAN, IMAGENET_STD, VARIANTS, Variant
from modelzoo.registry import Entry

if TYPE_CHECKING:
    import keras

    from modelzoo.conversion import Converter

FAMILY = "keras_applications"


def has(entry: Entry) -> bool:
    """Whether the entry's original is a network of keras.applications."""
    return entry.graph.family == FAMILY


def outputs(entry: Entry, images: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Logits and feature maps of Keras' network with the synthetic weights, {"image/map": array}."""
    import keras

    shapes = conversion.weight_shapes(entry)
    results = {}
    for name, array in images.items():
        model = original(entry, *array.shape[1:3])
        fill(model, entry, shapes, official=False)
        every = keras.Model(model.inputs[0], maps(model, entry) | {"logits": model.output})
        for map_name, value in every(array, training=False).items():
            results[f"{name}/{map_name}"] = keras.ops.convert_to_numpy(value)
    return results


def original(entry: Entry, height: int, width: int, **options: Any) -> keras.Model:
    """Keras' network for these images, up to the logits, in a thread of its own: its names count from 0."""
    import keras

    facts = _facts(entry)
    arguments: dict[str, Any] = {
        "input_shape": (height, width, 3),
        "weights": None,
        "classes": entry.graph.classes,
        "classifier_activation": None,
        **facts.options,
        **options,
    }
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(getattr(keras.applications, facts.model), **arguments).result()


def variables(model: keras.Model) -> dict[str, keras.Variable]:
    """By the name that a file gives them: "layer/weight"."""
    return {f"{layer.name}/{weight.name}": weight for layer in model.layers for weight in layer.weights}


def fill(
    model: keras.Model, entry: Entry, shapes: Mapping[str, tuple[int, ...]], *, official: bool = True
) -> None:
    """Gives the original our synthetic weights of these shapes, through the inverse of the conversion.

    If `official`, EfficientNet's normalization gets the values of the official files, with the deviation in
    place of the variance, for which Keras makes up when it loads such a file; else the right ones.
    """
    converter, array = _converter(entry), synthetic.values_of(entry.graph)
    unfilled = variables(model)
    name_of = converter.upstream_names(entry.graph.variant, list(unfilled))
    for path, shape in shapes.items():
        unfilled.pop(name_of(path)).assign(converter.layout.to_upstream(path, array(path, shape)))
    variance = IMAGENET_STD if official else [std**2 for std in IMAGENET_STD]
    for kind, values in (("mean", IMAGENET_MEAN), ("variance", variance)):
        if f"normalization/{kind}" in unfilled:
            unfilled[f"normalization/{kind}"].assign(values)
            model.get_layer("normalization").finalize_state()
    left = [name for name in unfilled if not converter.ignored.fullmatch(name)]
    if left:
        raise AssertionError(f"{entry.key}: Keras' network has weights that ours has not: {left}")


def maps(model: keras.Model, entry: Entry) -> dict[str, Any]:
    """The original's own tensors of our feature maps."""
    operations = {operation.name: operation for operation in model.operations}
    return {name: operations[layer].output for name, layer in _facts(entry).maps.items()}


def _facts(entry: Entry) -> Variant:
    return VARIANTS[entry.graph.variant]


def _converter(entry: Entry) -> Converter:
    """How Keras keeps this network: as the entry's source says, or that of a packaged entry with the same."""
    same = (
        other
        for other in registry.packaged().entries.values()
        if (other.graph.family, other.graph.variant) == (entry.graph.family, entry.graph.variant)
    )
    sources = (source for known in (entry, *same) for source in known.sources)
    return conversion.converter_of(next(sources))
