"""keras.applications' own networks, filled with our synthetic weights: the originals of its entries."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import keras
import numpy as np

from modelzoo import synthetic
from modelzoo.architectures.keras_applications import IMAGENET_MEAN, IMAGENET_STD, VARIANTS
from modelzoo.registry import Entry

RAW = 255  # the white of pictures that the network itself normalises


def original(entry: Entry, height: int, width: int, **options) -> keras.Model:
    """Keras' network for these pictures, up to the logits, in a thread of its own: its names count from 0."""
    facts = VARIANTS[entry.graph.variant]
    arguments = {"weights": None, "classifier_activation": None} | facts.options | options
    with ThreadPoolExecutor(max_workers=1) as executor:
        function = getattr(keras.applications, facts.model)
        return executor.submit(function, input_shape=(height, width, 3), **arguments).result()


def variables(model: keras.Model) -> dict[str, Any]:
    """By the name that a file gives them: "layer/weight"."""
    return {f"{layer.name}/{weight.name}": weight for layer in model.layers for weight in layer.weights}


def fill(model: keras.Model, entry: Entry, shapes: dict[str, tuple[int, ...]]) -> None:
    """Gives the original our synthetic weights of these shapes, through the inverse of the conversion."""
    family = import_module(f"modelzoo.conversion.{entry.sources[0].converter}")
    theirs = variables(model)
    name_of = family.naming(entry.graph.variant, list(theirs))
    for path, shape in shapes.items():
        theirs.pop(name_of(path)).assign(family.to_upstream(path, synthetic.array(path, shape)))
    for kind, values in (("mean", IMAGENET_MEAN), ("variance", IMAGENET_STD)):  # as in the official files
        if f"normalization/{kind}" in theirs:
            theirs[f"normalization/{kind}"].assign(values)
            model.get_layer("normalization").finalize_state()
    left = [name for name in theirs if not family.IGNORED.fullmatch(name)]
    assert not left, f"not filled: {left}"


def picture(entry: Entry, height: int, width: int) -> np.ndarray:
    """Noise in the range of the entry's pictures: around 0, or among the levels up to 255."""
    noise = synthetic.images(height, width)
    return 128 + 64 * noise if entry.pictures.white == RAW and entry.pictures.mean == (0, 0, 0) else noise


def maps(model: keras.Model, entry: Entry) -> dict[str, Any]:
    """The original's own tensors of our feature maps."""
    operations = {operation.name: operation for operation in model.operations}
    return {name: operations[layer].output for name, layer in VARIANTS[entry.graph.variant].maps.items()}
