"""Our weight files: HDF5 <-> {"layer/weight": array}, and their strict assignment to a model.

A file holds one dataset per weight, `layer/weight`, and Keras' legacy attributes `layer_names` and
`weight_names`, so that every Keras since 2.0 also reads it with `load_weights(path, by_name=True)`.
The root attribute `modelzoo` is the receipt: JSON that says which model this is and what it was
made from. Equal contents give equal bytes: no dates, no random names. One file serves with and
without the head.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from modelzoo import hdf5, synthetic
from modelzoo.errors import WeightsMismatch, some
from modelzoo.files import appearing

RECEIPT = "modelzoo"  # the root attribute that holds the receipt
MAX_WEIGHTS = 100_000  # of one file; the largest has fewer than 5,000
# Starts of paths: the layer that a model with other classes does not take from the file, and those that a
# model without top does not have.
HEAD = ("logits/", "predictions/")
TOP = ("conv_2/", "fc1/", "fc2/", "fc6/", "fc7/", "head_layernorm/", "detector_", *HEAD)
# Keras reads a file without these as one of Keras 1 and rearranges its kernels.
KERAS_LAYOUT = {"keras_version": "2.0.0", "backend": "tensorflow"}


def write(target: Path, arrays: Iterable[tuple[str, np.ndarray]], receipt: Mapping[str, Any]) -> None:
    """Writes the weights, in the order of the model's layers, one at a time; `target` appears when whole."""
    with appearing(target) as temporary, h5py.File(temporary, "w") as file:
        layers: dict[str, list[str]] = {}
        for path, array in arrays:
            layer, _, name = path.rpartition("/")
            file.create_dataset(path, data=array, track_times=False)
            layers.setdefault(layer, []).append(name)
        for attribute, value in KERAS_LAYOUT.items():
            file.attrs[attribute] = np.bytes_(value)
        file.attrs["layer_names"] = np.array(list(layers), "S")
        for layer, names in layers.items():
            file[layer].attrs["weight_names"] = np.array(names, "S")
        file.attrs[RECEIPT] = json.dumps(receipt, sort_keys=True)


def is_ours(path: Path) -> bool:
    """Whether the file is HDF5 with our receipt."""
    if not (path.is_file() and h5py.is_hdf5(path)):
        return False
    try:
        with h5py.File(path, "r") as file:
            return RECEIPT in file.attrs
    except Exception:  # h5py's on a damaged file; whoever reads it says so
        return False


def receipt(path: Path) -> dict[str, Any]:
    """What the file says of itself; raises WeightsMismatch if it is none of ours."""
    with _open(path) as file:
        return _receipt(file)


def read(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The file's weights, one at a time, in the stored dtype."""
    with _open(path) as file:
        for name, dataset in _datasets(file).items():
            yield name, _values(dataset)


def shapes(model) -> dict[str, tuple[int, ...]]:
    """The shape of each weight of a Keras model by `layer/weight`, in the order of the layers."""
    return {path: tuple(variable.shape) for path, variable in _variables(model)}


def top(paths: Iterable[str]) -> list[str]:
    """Those of the weights that a model without top does not have."""
    return [path for path in paths if _within(path, TOP)]


def assign(model, path: Path, *, fresh_head: bool = False) -> None:
    """Sets every weight of the model from one of our files.

    Nothing may be missing and nothing left over, except the head: of a model without one, or with
    a `fresh_head`, which keeps its own. The model is unchanged if WeightsMismatch is raised.
    """
    from modelzoo.architectures import deferred

    variables = {
        name: variable for name, variable in _variables(model) if not (fresh_head and _within(name, HEAD))
    }
    with _open(path) as file:
        datasets = _datasets(file)
        _check(file, datasets, {name: tuple(variable.shape) for name, variable in variables.items()})
        for name, variable in variables.items():
            deferred.set_value(variable, _values(datasets[name]))


def assign_synthetic(model, *, fresh_head: bool = False) -> None:
    """Sets every weight of the model, but not a `fresh_head`, by the rule of synthetic.py."""
    from modelzoo.architectures import deferred

    for path, variable in _variables(model):
        if not (fresh_head and _within(path, HEAD)):
            deferred.set_value(variable, synthetic.array(path, tuple(variable.shape)))


def check(path: Path, wanted: Mapping[str, tuple[int, ...]]) -> None:
    """Raises WeightsMismatch unless the file has exactly the wanted weights; a head may be left over."""
    with _open(path) as file:
        _check(file, _datasets(file), wanted)


def _variables(model) -> Iterator[tuple[str, Any]]:
    for layer in model.layers:
        for variable in layer.weights:
            yield f"{layer.name}/{variable.name}", variable


def _within(name: str, starts: tuple[str, ...]) -> bool:
    return name.startswith(starts)


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    try:
        file = h5py.File(path, "r")
    except Exception as error:  # on damaged files not only OSError
        raise WeightsMismatch(f"{path} is not an HDF5 file that can be read.") from error
    with file:
        with _refused(file):
            ours = RECEIPT in file.attrs
        if not ours:
            raise WeightsMismatch(
                f"{path} is not one of our weight files: its {RECEIPT!r} attribute is missing."
            )
        yield file


def _refused(file: h5py.File):
    return hdf5.refused_as(WeightsMismatch, f"{file.filename} cannot be read as one of our weight files")


def _receipt(file: h5py.File) -> dict[str, Any]:
    with _refused(file):
        found = json.loads(hdf5.text(file, RECEIPT))
        if not isinstance(found, dict):
            raise ValueError("its receipt is not an object")
        return found


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """The file's weights in its order; each lies in the file, as large as its shape says."""
    datasets: dict[str, h5py.Dataset] = {}
    with _refused(file):
        for layer in hdf5.names(file, "layer_names"):
            group = hdf5.member(file, layer, h5py.Group)
            for weight in hdf5.names(group, "weight_names"):
                name = f"{layer}/{weight}"
                if name in datasets:
                    raise ValueError(f"it holds two weights named {name}")
                datasets[name] = hdf5.member(group, weight, h5py.Dataset)
                if len(datasets) > MAX_WEIGHTS:
                    raise ValueError(f"it has more than {MAX_WEIGHTS} weights")
    return datasets


def _values(dataset: h5py.Dataset) -> np.ndarray:
    with _refused(dataset.file):
        return hdf5.values(dataset)


def _check(
    file: h5py.File, datasets: Mapping[str, h5py.Dataset], wanted: Mapping[str, tuple[int, ...]]
) -> None:
    given = set(datasets)
    for part in (HEAD, TOP):
        if not any(_within(name, part) for name in wanted):
            given = {name for name in given if not _within(name, part)}
    differences = [
        f"{verb} {some(sorted(names))}"
        for verb, names in (("lacks", wanted.keys() - given), ("has beyond the model", given - wanted.keys()))
        if names
    ]
    differences += [
        f"has {name} of shape {datasets[name].shape} where {shape} is wanted"
        for name, shape in wanted.items()
        if name in given and datasets[name].shape != tuple(shape)
    ][:1]
    if differences:
        owner = _receipt(file).get("model", "an unnamed model")
        raise WeightsMismatch(
            f"{file.filename} holds the weights of {owner}, which do not fit this model: "
            f"it {' and '.join(differences)}."
        )
