"""Small Keras models for tests: of what the vocabulary writes, and of a family's network."""

from __future__ import annotations

from collections.abc import Callable

import keras

from modelzoo import architectures, variables
from modelzoo.architectures.layers import Layers
from modelzoo.backends import keras as backend
from modelzoo.graph import Graph, Tensor


def graph_of(write: Callable[[Layers, Tensor], Tensor], input_shape: tuple[int | None, ...]) -> Graph:
    """The graph of what write(nn, images) writes."""
    nn = Layers()
    output = write(nn, nn.input("images", (None, *input_shape)))
    return nn.graph("small", {output.name: output})


def model_of(write: Callable[[Layers, Tensor], Tensor], input_shape: tuple[int | None, ...]) -> keras.Model:
    """A Keras model of what write(nn, images) writes, with random weights."""
    return initialized(backend.model(graph_of(write, input_shape)))


def built(family: str, variant: str, *, dtype: str | None = None, **options) -> keras.Model:
    """A Keras model of a family's network, without values yet; the options are architectures.build's."""
    return backend.model(architectures.build(family, variant, **options), dtype=dtype)


def initialized(model: keras.Model) -> keras.Model:
    """The model itself, after its weights got random values."""
    variables.initialize(model)
    return model
