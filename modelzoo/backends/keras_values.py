"""The weights of a Keras model by their paths, "layer/weight": their shapes, and their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import keras
import numpy as np

from modelzoo import variables
from modelzoo.errors import WeightsMismatch, readable

Shape = tuple[int, ...]
OTHER_FLOATS = {"float16": np.float16, "float64": np.float64}  # bfloat16 has the range of float32


def shapes(model: keras.Model) -> dict[str, Shape]:
    """The shape of each weight by its path, in the order of the layers."""
    return {path: tuple(variable.shape) for path, variable in by_path(model)}


def assign(model: keras.Model, arrays: Iterable[tuple[str, np.ndarray]]) -> None:
    """Sets weights of the model, which gets them in its own dtype; those that are not given stay as they are.

    Raises KeyError for a weight that the model does not have, and WeightsMismatch for values that would
    become infinite in its dtype.
    """
    targets = dict(by_path(model))
    for path, array in arrays:
        _check_range(path, array, targets[path].dtype)
        variables.set_value(targets[path], array)


def by_path(model: keras.Model) -> Iterator[tuple[str, keras.Variable]]:
    """Each weight and its path, in the order of the layers."""
    for layer in model.layers:
        for variable in layer.weights:
            yield f"{layer.name}/{variable.name}", variable


def _check_range(path: str, array: np.ndarray, dtype: str) -> None:
    target = np.dtype(OTHER_FLOATS.get(dtype, np.float32))
    if array.dtype.itemsize > target.itemsize and (np.abs(array) > np.finfo(target).max).any():
        raise WeightsMismatch(f"{readable(path)} has values beyond the range of {target}: use another dtype.")
