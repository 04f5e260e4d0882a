"""Keras models that somebody gives, alive or as .keras files -> what a graph and arrays say of them.

The configuration in a .keras file can name any class and function of any module, and Keras would import and
call these; some versions do so whatever safe_mode says. So each name is looked up in a list first.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np

from modelzoo.backends import keras_import
from modelzoo.backends.keras_import_layers import LAYERS, PASSING
from modelzoo.backends.keras_import_operations import OPERATIONS
from modelzoo.errors import ExportError, quoted, readable
from modelzoo.graph import Graph

CONFIG = "config.json"
MOST_BYTES = 2**26  # of a configuration
DEEPEST = 50  # objects in objects
UNUSED = ("compile_config", "build_config")  # of the model itself: its optimizer, its inputs' shapes
MODELS = {"Functional", "Sequential", "Model"}
POLICIES = {"DTypePolicy", "Policy"}
VALUES = {"__keras_tensor__", "__tensor__", "__numpy__", "__tuple__"}
INITIALIZERS = {
    name for name in dir(keras.initializers) if isinstance(getattr(keras.initializers, name), type)
}
# Configurations name the modules in which Keras defines its classes; public classes tell which these are.
MODEL_MODULES = keras.Sequential.__module__.removesuffix("sequential")
OPERATION_MODULES = keras.Operation.__module__.removesuffix("operation")
# A module's name, and the classes that a configuration may name in it.
KNOWN: dict[str | None, set[str]] = {
    None: VALUES,
    "keras": POLICIES | MODELS,
    "keras.layers": {kind.__name__ for kind in (*LAYERS, *PASSING)} | MODELS | {"InputLayer"},
    "keras.models": MODELS,
    f"{MODEL_MODULES}functional": {"Functional"},
    f"{MODEL_MODULES}sequential": {"Sequential"},
    "keras.initializers": INITIALIZERS,
    "keras.regularizers": {"L1", "L2", "L1L2", "OrthogonalRegularizer"},
    "keras.constraints": {"MaxNorm", "NonNeg", "UnitNorm", "MinMaxNorm"},
}


def imported(model: object) -> tuple[Graph, dict[str, np.ndarray]]:
    """The network of a model and its weights by path. Raises ExportError, which says what is in the way."""
    given: Any = model
    try:
        return keras_import.graph_of(given, inference=True), keras_import.arrays_of(given)
    except (ValueError, TypeError, AttributeError) as error:
        name = getattr(model, "name", None)
        shown = f"The Keras model {quoted(name)}" if isinstance(name, str) else quoted(model)
        raise ExportError(f"{shown} cannot be exported: {error}") from error


def opened(path: Path) -> Any:
    """The model of a .keras file, in which no code is run.

    Raises ExportError for a file that names what is none of Keras' classes that we read, or that Keras cannot
    read.
    """
    if not path.is_file():
        raise ExportError(f"There is no file {readable(str(path))}.")
    try:
        _check_classes(path)
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever Keras raises for a damaged or unsafe file
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise ExportError(f"{readable(str(path))} cannot be read by Keras: {quoted(words[0])}") from error


def _check_classes(path: Path) -> None:
    """Raises ValueError unless all classes in a .keras file's configuration are known."""
    with zipfile.ZipFile(path) as archive, archive.open(CONFIG) as file:
        text = file.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise ValueError(f"its configuration has more than {MOST_BYTES:,} bytes")
    config = json.loads(text)
    if isinstance(config, dict):
        config = {name: value for name, value in cast(dict[str, Any], config).items() if name not in UNUSED}
    for found in _objects(config):
        _check_class(found)


def _objects(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """All objects in a configuration that name a class."""
    if depth > DEEPEST:
        raise ValueError("its configuration is nested too deeply")
    if isinstance(value, dict):
        if "class_name" in value:
            yield cast(dict[str, Any], value)
        for inner in cast(dict[str, Any], value).values():
            yield from _objects(inner, depth + 1)
    elif isinstance(value, list):
        for inner in cast(list[Any], value):
            yield from _objects(inner, depth + 1)


def _check_class(found: Mapping[str, Any]) -> None:
    """Raises ValueError for a class that is not one of those that we know, in their modules."""
    module, name, registered = found.get("module"), found["class_name"], found.get("registered_name")
    operation = isinstance(module, str) and module.startswith(OPERATION_MODULES) and name in OPERATIONS
    known = isinstance(module, str | None) and isinstance(name, str) and name in KNOWN.get(module, ())
    if not (known or operation) or registered not in (None, name):
        shown = f"{module}.{name}" if module else name
        raise ValueError(f"it has the class {quoted(shown)}, which is none of Keras' that we read")
