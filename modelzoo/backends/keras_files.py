"""Keras models that somebody gives, alive or as Keras' own files -> their graph and their weights.

A .keras file is a zip of the model's configuration and its weights; a legacy .h5 file has the configuration
in an attribute. A configuration can name any class and function of any module, and Keras' loader would import
and call these, some versions whatever safe_mode says. So each class is looked up in a list first; a Lambda, a
class of somebody's own or a function is refused, and nothing of it is imported.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from modelzoo import variables
from modelzoo.backends import keras as backend
from modelzoo.backends import keras_values
from modelzoo.backends.keras_answers import Model, network_of
from modelzoo.backends.keras_import import graph_of
from modelzoo.backends.keras_import_layers import LAYERS, PASSING
from modelzoo.backends.keras_import_operations import OPERATIONS
from modelzoo.errors import ConversionError, ExportError, quoted, readable
from modelzoo.formats import archives, hdf5
from modelzoo.graph import Graph

CONFIG, WEIGHTS = "config.json", "model.weights.h5"  # in a .keras file
MOST_BYTES = 2**26  # of a configuration
DEEPEST = 50  # objects in objects
LEAST_BYTES = 2  # of a weight in a file
MODELS = {"Functional", "Sequential", "Model"}
KNOWN_LAYERS = {kind.__name__ for kind in (*LAYERS, *PASSING)} | MODELS | {"InputLayer"}
POLICIES = {"DTypePolicy", "Policy"}
VALUES = {"__keras_tensor__", "__tensor__", "__numpy__", "__tuple__"}
INITIALIZERS = {
    name for name in dir(keras.initializers) if isinstance(getattr(keras.initializers, name), type)
}
REGULARIZERS = {"L1", "L2", "L1L2", "OrthogonalRegularizer"}
# Configurations name the modules in which Keras defines its classes; public classes tell which these are.
MODEL_MODULES = keras.Sequential.__module__.removesuffix("sequential")
OPERATION_MODULES = keras.Operation.__module__.removesuffix("operation")
MODULES = (f"{MODEL_MODULES}functional", f"{MODEL_MODULES}sequential")
# A module's name, and the classes that a configuration may name in it; a legacy one names no module.
KNOWN: dict[str | None, set[str]] = {
    None: KNOWN_LAYERS | INITIALIZERS | REGULARIZERS | VALUES | POLICIES,
    "keras": POLICIES | MODELS,
    "keras.layers": KNOWN_LAYERS,
    "keras.models": MODELS,
    MODULES[0]: {"Functional"},
    MODULES[1]: {"Sequential"},
    "keras.initializers": INITIALIZERS,
    "keras.regularizers": REGULARIZERS,
    "keras.constraints": {"MaxNorm", "NonNeg", "UnitNorm", "MinMaxNorm"},
}


def imported(model: object) -> tuple[Graph, dict[str, np.ndarray]]:
    """The network of a model and its weights by path. Raises ExportError, which says what is in the way."""
    try:
        return network_of(model)
    except (ValueError, TypeError, AttributeError) as error:
        name = getattr(model, "name", None)
        shown = f"The Keras model {quoted(name)}" if isinstance(name, str) else quoted(model)
        raise ExportError(f"{shown} cannot be exported: {error}") from error


def opened(path: Path) -> Model:
    """The model of a .keras file, in which no code is run.

    Raises ExportError for a file that names what is none of Keras' classes that we read, or that Keras cannot
    read.
    """
    if not path.is_file():
        raise ExportError(f"There is no file {readable(str(path))}.")
    try:
        with unpacked(path) as model:
            if model is None:
                raise ValueError(f"it has no {CONFIG} and {WEIGHTS}")
            return model
    except ConversionError as error:  # which names the file
        raise ExportError(str(error)) from error
    except (OSError, ValueError, KeyError) as error:
        raise ExportError(f"{readable(str(path))} cannot be read by Keras: {error}") from error


@contextmanager
def unpacked(path: Path) -> Generator[Model | None]:
    """The model of a .keras file; None for another zip, which may be an upstream's archive.

    Raises ValueError, in one sentence, for a model of other classes than those of Keras that we read, and for
    weights that are not its own; ConversionError for a damaged file.
    """
    with archives.unpacked(path) as folder:
        config, weights = folder / CONFIG, folder / WEIGHTS
        if not (config.is_file() and weights.is_file()):
            yield None
            return
        if config.stat().st_size > MOST_BYTES:
            raise ValueError(f"its configuration has more than {MOST_BYTES:,} bytes")
        model = model_of(config.read_text("utf-8"))
        check_size(graph_of(model, inference=True), weights)
        with hdf5.refused_as(ConversionError, f"{readable(str(path))}: its weights cannot be read"):
            hdf5.check_plain(weights)
        load(model, weights)
        yield model


def model_of(config: str) -> Model:
    """The model of a configuration, its variables without values. Raises ValueError, in one sentence."""
    if len(config) > MOST_BYTES:
        raise ValueError(f"its configuration has more than {MOST_BYTES:,} bytes")
    try:
        value = json.loads(config)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its configuration is not valid JSON: {error}") from error
    if not isinstance(value, dict) or str(value.get("class_name")) not in MODELS:
        raise ValueError("its configuration is not of a functional or Sequential model")
    value = {name: value[name] for name in ("module", "class_name", "config") if name in value}
    for found in _objects(value):
        _check(found)
        if found.get("module") is None and found["class_name"] in MODELS:  # as legacy files have it
            found["module"] = MODULES[found["class_name"] == "Sequential"]
            found["class_name"] = found["class_name"].replace("Model", "Functional")
    try:
        model = variables.without_values(lambda: keras.models.model_from_json(json.dumps(value)))
        graph_of(model, inference=True)
    except RecursionError:
        raise ValueError("its configuration is nested too deeply") from None
    except Exception as error:  # whatever Keras raises for a configuration that is not sound
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"Keras cannot build it: {quoted(reason)}") from error
    return model


def _objects(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """All objects in a configuration that name a class."""
    if depth > DEEPEST:
        raise ValueError("its configuration is nested too deeply")
    if isinstance(value, dict):
        if "class_name" in value:
            yield value
        for inner in value.values():
            yield from _objects(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner, depth + 1)


def _check(found: Mapping[str, Any]) -> None:
    """Raises ValueError for a class that is not one of those that we know, in their modules."""
    module, name, registered = found.get("module"), found["class_name"], found.get("registered_name")
    operation = isinstance(module, str) and module.startswith(OPERATION_MODULES) and name in OPERATIONS
    known = isinstance(module, str | None) and isinstance(name, str) and name in KNOWN.get(module, ())
    if not (known or operation) or registered not in (None, name):
        shown = f"{module}.{name}" if module else name
        raise ValueError(f"it has the class {quoted(shown)}, which is none of Keras' that we read")


def check_size(graph: Graph, path: Path) -> None:
    """Raises ValueError for more weights than a file can hold: they would take the memory of all of them."""
    if path.stat().st_size < LEAST_BYTES * graph.parameters:
        raise ValueError(
            f"its layers have {graph.parameters:,} weights, "
            f"more than its {path.stat().st_size:,} bytes can hold"
        )


def assign(model: Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Gives the model its weights by their paths, "layer/weight"; raises ValueError for missing ones."""
    shapes = {path: variable.shape for path, variable in _weights(model)}
    for path, shape in shapes.items():
        found = arrays[path].shape if path in arrays else None
        if found != tuple(shape):
            raise ValueError(f"it has {quoted(path)} of shape {found}, where its layers have {tuple(shape)}")
    keras_values.assign(model, ((path, arrays[path]) for path in shapes))
    variables.initialize(model)


def _weights(model: Model) -> Iterator[tuple[str, Any]]:
    seeds = ("seed_generator_state",)
    return ((path, v) for path, v in keras_values.by_path(model) if v.name not in seeds)


def load(model: Model, weights: Path) -> None:
    """Gives the model the weights of a Keras 3 .weights.h5 file; raises ValueError if they do not fit."""
    variables.initialize(model)
    try:
        model.load_weights(weights)
    except Exception as error:  # whatever Keras raises for a file of another model
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"its weights do not fit its layers: {quoted(reason)}") from error


def arrays_in_order(graph: Graph, weights: Path) -> dict[str, np.ndarray]:
    """The weights of a Keras 3 .weights.h5 file by the graph's paths.

    The file names no layer: they are taken in the layers' order. Raises ValueError if they do not fit.
    """
    model = backend.model(graph, dtype="float32")
    load(model, weights)
    return network_of(model)[1]
