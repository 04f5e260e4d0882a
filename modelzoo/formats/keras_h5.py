"""Keras 1 and 2's .h5 files: a group for each layer, a dataset for each weight, names in attributes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np

from modelzoo.errors import ConversionError, abbreviated, readable
from modelzoo.files import atomic_write
from modelzoo.formats import hdf5
from modelzoo.formats.tensors import (
    TensorInfo,
    Tensors,
    as_stored,
    files_in,
    first_bytes,
    only_file,
    require_storable_names,
    visible_in,
)

KIND = "a Keras 1 or 2 .h5 file"
# Keras reads a file without these as one of Keras 1 and rearranges its kernels.
KERAS_LAYOUT = {"keras_version": "2.0.0", "backend": "tensorflow"}
MAX_ATTRIBUTE_BYTES = 64_512  # HDF5's own limit is 64 KiB with what belongs to it; Keras has this number
HDF5_START = b"\x89HDF\r\n\x1a\n"
ENDINGS = (".h5", ".hdf5")
KERAS_3_GROUPS = ("layers", "_layer_checkpoint_dependencies")  # at the top of its .weights.h5 files
MODEL_WEIGHTS = "model_weights"  # the group of the weights in a file that holds a whole model
KERAS_3_GROUP = "layers"  # of Keras 3's .weights.h5
TENSORFLOW_SUFFIX = re.compile(r":\d+$")


def read_keras_h5(path: Path) -> KerasTensors:
    """The weights in a Keras 1 or 2 .h5 file, of weights alone or of a whole model, as "layer/weight".

    The layer is the file's own name, which may hold slashes; the weight is the last part of its name,
    without TensorFlow's ":0". A layer that is a model itself has its weights under its own layers' names.
    `path` is the file, or a folder with exactly one there or one level below.
    """
    path = Path(path)
    if path.is_dir():
        path = only_file(path, "Keras .h5 file", _h5_in)
    try:
        file = h5py.File(path, "r")
    except Exception as error:  # on damaged files not only OSError
        reason = "is not an HDF5 file"
        if is_keras_h5(path):
            reason = "is an HDF5 file that cannot be read: it is truncated or damaged; download it again"
        raise ConversionError(f"{path} {reason}.") from error
    try:
        return KerasTensors(path, file)
    except BaseException:
        file.close()
        raise


def _h5_in(folder: Path) -> list[Path]:
    return [file for file in visible_in(folder) if file.suffix in ENDINGS and file.is_file()]


def model_config(path: Path) -> str | None:
    """The configuration in a file of a whole model, as JSON; None in other files. Raises ConversionError."""
    if not path.is_file() or not is_keras_h5(path):
        return None
    with hdf5.refused_as(ConversionError, f"{readable(str(path))} cannot be read"), h5py.File(path) as file:
        return hdf5.text(file, "model_config") or None


def is_keras_3(path: Path) -> bool:
    """Whether this is Keras 3's .weights.h5, which names no layers. Raises ConversionError."""
    if not path.is_file() or not is_keras_h5(path):
        return False
    with hdf5.refused_as(ConversionError, f"{readable(str(path))} cannot be read"), h5py.File(path) as file:
        return "layer_names" not in file.attrs and any(hdf5.has(file, group) for group in KERAS_3_GROUPS)


class KerasTensors(Tensors):
    """Also says which backend wrote the file, if the file says so: Theano's kernels are flipped."""

    def __init__(self, path: Path, file: h5py.File):
        self._file = file
        self._what = f"{path} cannot be read as {KIND}"
        with hdf5.refused_as(ConversionError, self._what):
            self._places = _places(file)
            self.backend = hdf5.text(root_of(file), "backend")
        super().__init__(
            path, {name: TensorInfo(place.shape, place.dtype) for name, place in self._places.items()}
        )

    def _read(self, name: str) -> np.ndarray:
        if not self._file:
            raise ConversionError(f"{self.path} is closed; read its tensors inside the `with` statement.")
        with hdf5.refused_as(ConversionError, f"{self._what}: the values of {name!r}"):
            return self._places[name].read(root_of(self._file))

    def close(self) -> None:
        self._file.close()


def _places(file: h5py.File) -> dict[str, hdf5.Place]:
    places: dict[str, hdf5.Place] = {}
    for layer, found in hdf5.layers(root_of(file), listed_names):
        for name, place in zip(_weight_names(layer, found), found, strict=True):
            if name in places:
                raise ValueError(f"it holds two weights named {readable(name)}")
            places[name] = place
    return places


def root_of(file: h5py.File) -> h5py.Group:
    """The group of the weights, also in a file that holds a whole model."""
    return hdf5.member(file, MODEL_WEIGHTS, h5py.Group) if hdf5.has(file, MODEL_WEIGHTS) else file


def listed_names(group: h5py.Group, attribute: str) -> Iterator[str]:
    """A list of names; Keras splits one that is too long for an attribute into numbered ones."""
    if attribute in group.attrs:
        yield from hdf5.names(group, attribute)
        return
    part = 0
    while f"{attribute}{part}" in group.attrs:
        yield from hdf5.names(group, f"{attribute}{part}")
        part += 1
    if not part and hdf5.has(group, KERAS_3_GROUP):
        raise ValueError(
            "Keras 3 wrote it as .weights.h5, by order and not by name. Load it into its model in Keras, "
            "and write model.save('model.h5')"
        )
    if not part:
        raise ValueError(f"{group.name} has no attribute {attribute!r}, as Keras writes it")


def _weight_names(layer: str, places: list[hdf5.Place]) -> list[str]:
    """ "layer/weight" for each weight of a group; see read_keras_h5."""
    paths = [TENSORFLOW_SUFFIX.sub("", place.weight) for place in places]
    last = [path.rpartition("/")[2] for path in paths]
    return paths if len(set(last)) < len(last) else [f"{layer}/{name}" for name in last]


def write_keras_h5(path: Path, arrays: Mapping[str, np.ndarray]) -> list[Path]:
    """Writes the arrays, named "layer/weight", in their order; returns the file.

    Every Keras since 2.0 reads it with `load_weights(path, by_name=True)`. Raises ConversionError for a name
    that would be read back as another, or for a dtype that such a file cannot have.
    """
    path = Path(path)
    require_storable_names(arrays, KIND)
    stored = ((name, as_stored(name, array, KIND)) for name, array in arrays.items())
    with (
        atomic_write(path) as temporary,
        hdf5.refused_as(ConversionError, f"{path} cannot be written as {KIND}"),
    ):
        with h5py.File(temporary, "w") as file:
            fill_layers(file, stored)
        with h5py.File(temporary) as file:
            found = _places(file)
        if changed := sorted(arrays.keys() - found.keys()):
            raise ValueError(f"expected names layer/weight, got {abbreviated(changed)}")
    return [path]


def fill_layers(file: h5py.File, arrays: Iterable[tuple[str, np.ndarray]]) -> None:
    """Writes a dataset for each array, one at a time, and the attributes by which Keras finds them."""
    layers: dict[str, list[str]] = {}
    for path, array in arrays:
        layer, _, weight = path.rpartition("/")
        if not layer:
            raise ValueError(f"expected names layer/weight, got {path!r}")
        file.create_dataset(path, data=array, track_times=False)
        layers.setdefault(layer, []).append(weight)
    for attribute, value in KERAS_LAYOUT.items():
        file.attrs[attribute] = np.bytes_(value)
    _set_names(file, "layer_names", list(layers))
    for layer, weights in layers.items():
        _set_names(file.require_group(layer), "weight_names", weights)


def _set_names(group: h5py.Group, attribute: str, names: list[str]) -> None:
    """A list of names, of equal lengths in HDF5; what is too long for one attribute becomes numbered ones."""
    encoded = np.array([name.encode() for name in names], "S")
    if encoded.nbytes <= MAX_ATTRIBUTE_BYTES:
        group.attrs[attribute] = encoded
        return
    count = MAX_ATTRIBUTE_BYTES // encoded.itemsize
    for part, start in enumerate(range(0, len(encoded), count)):
        group.attrs[f"{attribute}{part}"] = encoded[start : start + count]


def is_keras_h5(path: Path) -> bool:
    """Whether the file starts as HDF5 does, or one lies in the folder or one level below."""
    if path.is_dir():
        return bool(files_in(path, _h5_in))
    return first_bytes(path, len(HDF5_START)) == HDF5_START
