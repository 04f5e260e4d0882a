"""What a Keras model, or a graph by Keras, answers for given inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from modelzoo.backends import keras as backend
from modelzoo.backends import keras_import, keras_values
from modelzoo.graph import Graph

Model = Any  # a keras.Model: Keras has no types that checkers know, and some rooms import no Keras
Inputs = Mapping[str, np.ndarray]


def network_of(model: Model) -> tuple[Graph, dict[str, np.ndarray]]:
    """The model's graph, without what only training needs, and its weights; see keras_import."""
    return keras_import.graph_of(model, inference=True), keras_import.arrays_of(model)


def of_model(model: Model, inputs: Inputs) -> dict[str, np.ndarray]:
    """The model's only output for each input of one image, float32 (classes,), by name."""
    found: dict[str, np.ndarray] = {}
    for name, images in inputs.items():
        output = model(keras.ops.convert_to_tensor(images), training=False)
        if isinstance(output, (dict, list, tuple)):
            (output,) = output.values() if isinstance(output, dict) else output
        found[name] = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(output, "float32")))[0]
    return found


def of_graph(graph: Graph, arrays: Mapping[str, np.ndarray], inputs: Inputs) -> dict[str, np.ndarray]:
    """The same of a graph with these weights, computed in float32."""
    model = backend.model(graph, dtype="float32")
    keras_values.assign(model, ((path, arrays[path]) for path in graph.weights))
    return of_model(model, inputs)


def computes_in_float32(model: Model) -> bool:
    """Whether no layer computes in less."""
    return {layer.compute_dtype for layer in model._flatten_layers()} <= {"float32"}
