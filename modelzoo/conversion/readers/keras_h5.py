"""Keras 1 and 2's .h5 files: a group for each layer, a dataset for each weight, names in attributes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from modelzoo import hdf5
from modelzoo.conversion.readers.common import MAX_TENSORS, TensorInfo, Tensors
from modelzoo.errors import ConversionError

MODEL_WEIGHTS = "model_weights"  # the group of the weights in a file that holds a whole model
TENSORFLOW_SUFFIX = re.compile(r":\d+$")


def open_keras_h5(path: Path) -> KerasTensors:
    """The weights in a Keras 1 or 2 .h5 file, of weights alone or of a whole model, as "layer/weight".

    The layer is the file's own name, which may hold slashes; the weight is the last part of its name,
    without TensorFlow's ":0". A layer that is a model itself has its weights under its own layers' names.
    """
    path = Path(path)
    try:
        file = h5py.File(path, "r")
    except Exception as error:  # on damaged files not only OSError
        raise ConversionError(f"{path} is not an HDF5 file that can be read; fetch it again.") from error
    try:
        return KerasTensors(path, file)
    except BaseException:
        file.close()
        raise


class KerasTensors(Tensors):
    """Also says which backend wrote the file, if the file says so: Theano's kernels are flipped."""

    def __init__(self, path: Path, file: h5py.File):
        self._file = file
        self._what = f"{path} cannot be read as a Keras 1 or 2 .h5 file"
        with hdf5.refused_as(ConversionError, self._what):
            self._datasets = _datasets(file)
            self.backend = hdf5.text(_root(file), "backend")
            infos = {
                name: TensorInfo(dataset.shape, dataset.dtype) for name, dataset in self._datasets.items()
            }
        super().__init__(path, infos)

    def _read(self, name: str) -> np.ndarray:
        if not self._file:
            raise ConversionError(f"{self.path} is closed; read its tensors inside the `with` statement.")
        with hdf5.refused_as(ConversionError, f"{self._what}: the values of {name!r}"):
            return hdf5.values(self._datasets[name])

    def close(self) -> None:
        self._file.close()


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    root = _root(file)
    datasets: dict[str, h5py.Dataset] = {}
    for layer in _names(root, "layer_names"):
        group = hdf5.member(root, layer, h5py.Group)
        weights = list(_names(group, "weight_names"))
        for name, weight in zip(_weight_names(layer, weights), weights, strict=True):
            if name in datasets:
                raise ValueError(f"it holds two weights named {name}")
            datasets[name] = hdf5.member(group, weight, h5py.Dataset)
            if len(datasets) > MAX_TENSORS:
                raise ValueError(f"it has more than {MAX_TENSORS} weights")
    return datasets


def _root(file: h5py.File) -> h5py.Group:
    return hdf5.member(file, MODEL_WEIGHTS, h5py.Group) if hdf5.has(file, MODEL_WEIGHTS) else file


def _names(group: h5py.Group, attribute: str) -> Iterator[str]:
    """A list of names; Keras cuts one that is too long for an attribute into numbered ones."""
    if attribute in group.attrs:
        yield from hdf5.names(group, attribute)
        return
    part = 0
    while f"{attribute}{part}" in group.attrs:
        yield from hdf5.names(group, f"{attribute}{part}")
        part += 1
    if not part:
        raise ValueError(
            f"{group.name} has no attribute {attribute!r}; Keras 3's own files have another layout"
        )


def _weight_names(layer: str, weights: list[str]) -> list[str]:
    """ "layer/weight" for each weight of a group; see open_keras_h5."""
    paths = [TENSORFLOW_SUFFIX.sub("", weight) for weight in weights]
    last = [path.rpartition("/")[2] for path in paths]
    return paths if len(set(last)) < len(last) else [f"{layer}/{name}" for name in last]
