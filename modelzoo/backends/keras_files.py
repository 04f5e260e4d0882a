"""Keras models that somebody gives, alive or as .keras files -> what a graph and arrays say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.backends import keras_import
from modelzoo.errors import ExportError, quoted, readable
from modelzoo.graph import Graph


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
    """The model of a .keras file, in which no code is run. Raises ExportError if Keras cannot read it."""
    import keras

    if not path.is_file():
        raise ExportError(f"There is no file {readable(str(path))}.")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever Keras raises for a damaged or unsafe file
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise ExportError(f"{readable(str(path))} cannot be read by Keras: {quoted(words[0])}") from error
