"""keras.applications' own networks, filled with our synthetic weights: the originals of its entries."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import keras
import numpy as np

from modelzoo import conversion, synthetic
from modelzoo.architectures.keras_applications import IMAGENET_MEAN, IMAGENET_STD, VARIANTS
from modelzoo.registry import Entry


def original(entry: Entry, side: int, weights: str | None = None) -> keras.Model:
    """Keras' whole network, up to the logits, for square pictures."""
    facts = VARIANTS[entry.graph.variant]
    function = getattr(keras.applications, facts.model)
    return function(weights=weights, input_shape=(side, side, 3), classifier_activation=None, **facts.options)


def names(model: keras.Model) -> dict[str, keras.Variable]:
    """The variables by the name that a file gives them: "layer/weight"."""
    return {f"{layer.name}/{variable.name}": variable for layer in model.layers for variable in layer.weights}


def fill(model: keras.Model, entry: Entry) -> dict[str, tuple[int, ...]]:
    """Gives the original our synthetic weights, through the inverse of the conversion; returns our shapes."""
    variables = names(model)
    family = import_module(f"modelzoo.conversion.{entry.sources[0].converter}")
    name_of = family.naming(entry.graph.variant, list(variables))
    shapes = conversion.weight_shapes(entry)
    for path, shape in shapes.items():
        variables.pop(name_of(path)).assign(family.to_upstream(path, synthetic.array(path, shape)))
    for name, value in (("mean", IMAGENET_MEAN), ("variance", IMAGENET_STD)):
        if f"normalization/{name}" in variables:
            variables.pop(f"normalization/{name}").assign(value)  # as in the official files
    assert set(variables) <= {"normalization/count"}, f"not filled: {sorted(variables)}"
    return shapes


def save(model: keras.Model, path: Path) -> Path:
    """The model as Keras writes an .h5 file."""
    model.save(path)
    return path


def picture(entry: Entry, height: int, width: int) -> np.ndarray:
    """Noise in the range of the entry's pictures: around 0, or the levels of a picture."""
    noise = synthetic.images(height, width)
    return 128 + 64 * noise if max(entry.pictures.std) < 0.01 else noise
