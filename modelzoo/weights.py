"""modelzoo weight files: HDF5 <-> {"layer/weight": array}, read strictly.

A file holds one dataset per weight, `layer/weight`, and Keras' legacy attributes `layer_names` and
`weight_names`, so that every Keras since 2.0 also reads it with `load_weights(path, by_name=True)`.
The root attribute `modelzoo` is the provenance: JSON that says which model this is and what it was
made from. Equal contents give equal bytes: no dates, no random names. One file serves with and
without the head.

Values are finite, and of 16, 32 or 64 bits of floating point: nothing else is written, and what else a file
holds is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from modelzoo.errors import WeightsMismatch, abbreviated, readable
from modelzoo.files import atomic_write
from modelzoo.formats import hdf5

PROVENANCE = "modelzoo"  # the root attribute that holds the provenance
# In a provenance, where the classes are not the model's own: how many, and their names if they have any.
CLASSES, LABELS = "classes", "labels"
WARNING = "warning"  # in a provenance: what whoever loads the file should know
# Files of version 0.1 say {"synthetic": true} instead.
OLD_WARNINGS = {"synthetic": "it has synthetic weights: predictions are meaningless"}
FLOAT_BYTES = (2, 4, 8)  # float16, float32 and float64; HDF5 has no bfloat16
FLOATS = "float16, float32 or float64"
# Keras reads a file without these as one of Keras 1 and rearranges its kernels.
KERAS_LAYOUT = {"keras_version": "2.0.0", "backend": "tensorflow"}

Shape = tuple[int, ...]


def write(target: Path, arrays: Iterable[tuple[str, np.ndarray]], provenance: Mapping[str, Any]) -> None:
    """Writes the weights, in the order of the model's layers, one at a time; `target` appears when whole.

    Raises WeightsMismatch, with nothing written, for values that are not finite or of another dtype; OSError.
    """
    try:
        _write(target, arrays, provenance)
    except RuntimeError as error:
        if "errno = " not in str(error):
            raise
        raise OSError(str(error)) from error  # h5py noticed a full disk when it closed the file


def _write(target: Path, arrays: Iterable[tuple[str, np.ndarray]], provenance: Mapping[str, Any]) -> None:
    with atomic_write(target) as temporary, h5py.File(temporary, "w") as file:
        layers: dict[str, list[str]] = {}
        for path, array in arrays:
            layer, _, name = path.rpartition("/")
            if not _is_float(array.dtype):
                raise WeightsMismatch(f"Expected {FLOATS} for {readable(path)}, got {array.dtype}.")
            _check_finite(str(target), path, array)
            file.create_dataset(path, data=array, track_times=False)
            layers.setdefault(layer, []).append(name)
        for attribute, value in KERAS_LAYOUT.items():
            file.attrs[attribute] = np.bytes_(value)
        file.attrs["layer_names"] = np.array(list(layers), "S")
        for layer, names in layers.items():
            file[layer].attrs["weight_names"] = np.array(names, "S")
        file.attrs[PROVENANCE] = json.dumps(provenance, sort_keys=True)


def is_modelzoo_file(path: Path) -> bool:
    """Whether this is a modelzoo weight file: HDF5 with a provenance. Raises OSError if it cannot be read."""
    if not path.is_file():
        return False
    path.open("rb").close()  # says in plain words that it cannot be read
    try:
        with h5py.File(path, "r") as file:
            return PROVENANCE in file.attrs
    except Exception:  # h5py's on a damaged file; whoever reads it says so
        return False


def provenance(path: Path) -> dict[str, Any]:
    """What the file says of itself; raises WeightsMismatch if it was not written by modelzoo."""
    with _open(path) as file:
        return _provenance(file)


def classes(path: Path) -> int | None:
    """How many classes the file's head has where they are not the model's own; None where they are."""
    return stated_classes(provenance(path))


def stated_classes(provenance: Mapping[str, Any]) -> int | None:
    """How many classes a provenance states, if it does."""
    found = provenance.get(CLASSES)
    return found if type(found) is int and found > 0 else None


def stated_labels(provenance: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The names of these classes, if there are as many; None if they are only numbered."""
    found: Any = provenance.get(LABELS)
    classes = stated_classes(provenance)
    if not isinstance(found, list) or len(found) != classes:
        return None
    return tuple(found) if all(isinstance(name, str) for name in found) else None


def has_layers(path: Path, layers: Collection[str]) -> bool:
    """Whether the file has weights of any of these layers; raises as `provenance` does."""
    with _open(path) as file:
        return any(place.layer in layers for place in _places(file).values())


def warning(path: Path) -> str | None:
    """What the file's provenance says that whoever loads it should know; raises as `provenance` does."""
    return stated_warning(provenance(path))


def stated_warning(provenance: Mapping[str, Any]) -> str | None:
    """What a provenance says that whoever loads the file should know."""
    old = (text for word, text in OLD_WARNINGS.items() if provenance.get(word))
    found = provenance.get(WARNING) or next(old, None)
    return None if found is None else str(found)


def read(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The file's weights, one at a time, in the stored dtype; raises WeightsMismatch if one is not finite."""
    with _open(path) as file:
        for name, place in _places(file).items():
            yield name, _values(file, place)


class Arrays(Mapping[str, np.ndarray]):
    """Arrays by their paths; each is read or computed when it is asked for, and not kept."""

    def __init__(self, paths: Collection[str], array: Callable[[str], np.ndarray]):
        self._paths, self._array = paths, array

    def __getitem__(self, path: str) -> np.ndarray:
        if path not in self._paths:
            raise KeyError(path)
        return self._array(path)

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


@contextmanager
def opened(path: Path, expected: Mapping[str, Shape], *, skip: Collection[str] = ()) -> Generator[Arrays]:
    """The expected weights of a modelzoo weight file, read one by one while the block lasts.

    Nothing may be missing and nothing unexpected, but for the layers named in `skip`: the file may have
    them or not, and they are not read (a new head, or a top that the model does not have). Raises
    WeightsMismatch, for values that are not finite when they are asked for.
    """
    expected = {name: shape for name, shape in expected.items() if _layer(name) not in skip}
    with _open(path) as file:
        places = _places(file)
        _check(file, places, expected, skip)
        yield Arrays(expected, lambda name: _values(file, places[name]))


def check(path: Path, expected: Mapping[str, Shape], *, skip: Collection[str] = ()) -> None:
    """Raises WeightsMismatch unless the file has exactly the expected weights, layers of `skip` aside.

    All values are read: they are finite.
    """
    with opened(path, expected, skip=skip) as arrays:
        for _ in arrays.values():
            pass


def _layer(path: str) -> str:
    return path.rpartition("/")[0]


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    try:
        file = h5py.File(path, "r")
    except Exception as error:  # on damaged files not only OSError
        raise WeightsMismatch(f"{path} is not an HDF5 file that can be read.") from error
    with file:
        with _refused(file):
            written_here = PROVENANCE in file.attrs
        if not written_here:
            raise WeightsMismatch(f"{path} was not written by modelzoo: it has no attribute {PROVENANCE!r}.")
        yield file


def _refused(file: h5py.File) -> AbstractContextManager[None]:
    return hdf5.refused_as(WeightsMismatch, f"{file.filename} cannot be read as a modelzoo weight file")


def _provenance(file: h5py.File) -> dict[str, Any]:
    with _refused(file):
        found = json.loads(hdf5.text(file, PROVENANCE))
        if not isinstance(found, dict):
            raise ValueError("its provenance is not an object")
        return found


def _places(file: h5py.File) -> dict[str, hdf5.Place]:
    """The file's weights in its order; each lies in the file, as large as its shape says."""
    places: dict[str, hdf5.Place] = {}
    with _refused(file):
        for layer, found in hdf5.layers(file):
            for place in found:
                name = f"{layer}/{place.weight}"
                if name in places:
                    raise ValueError(f"it holds two weights named {readable(name)}")
                places[name] = place
    return places


def _values(file: h5py.File, place: hdf5.Place) -> np.ndarray:
    with _refused(file):
        array = place.read(file)
    _check_finite(file.filename, f"{place.layer}/{place.weight}", array)
    return array


def _check_finite(file: str, name: str, array: np.ndarray) -> None:
    if not np.isfinite(array).all():  # as quick as a sum or the extremes: 17 GB/s
        raise WeightsMismatch(
            f"{file} holds values of {readable(name)} that are not finite: the file is damaged, or its "
            "training diverged. Use another file."
        )


def _is_float(dtype: np.dtype) -> bool:
    return dtype.kind == "f" and dtype.itemsize in FLOAT_BYTES


def _check(
    file: h5py.File,
    places: Mapping[str, hdf5.Place],
    expected: Mapping[str, Shape],
    skip: Collection[str],
) -> None:
    found = {name for name in places if _layer(name) not in skip}
    differences = [
        f"{word}: {abbreviated(sorted(names))}"
        for word, names in (("missing", expected.keys() - found), ("unexpected", found - expected.keys()))
        if names
    ]
    differences += [
        f"expected {name} of shape {tuple(shape)}, found {places[name].shape}"
        for name, shape in expected.items()
        if name in found and places[name].shape != tuple(shape)
    ][:1]
    differences += [
        f"expected {FLOATS} for {name}, found {places[name].dtype}"
        for name in expected
        if name in found and not _is_float(places[name].dtype)
    ][:1]
    if differences:
        owner = _provenance(file).get("model", "an unnamed model")
        raise WeightsMismatch(
            f"{file.filename} holds the weights of {owner}, which do not fit this model; "
            f"{'; '.join(differences)}."
        )
