"""Keras 1 and 2's .h5 files: a group for each layer, a dataset for each weight, names in attributes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.conversion.readers.common import TensorInfo, Tensors
from modelzoo.errors import ConversionError

MODEL_WEIGHTS = "model_weights"  # the group of the weights in a file that holds a whole model
TENSORFLOW_SUFFIX = re.compile(r":\d+$")


def open_keras_h5(path: Path) -> KerasTensors:
    """The weights in a Keras 1 or 2 .h5 file, of weights alone or of a whole model, as "layer/weight".

    The layer is the file's own name, which may hold slashes; the weight is the last part of its name,
    without TensorFlow's ":0". A layer that is a model itself has its weights under its own layers' names.
    """
    import h5py

    path = Path(path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ConversionError(f"{path} is not an HDF5 file that can be read; fetch it again.") from error
    try:
        return KerasTensors(path, file)
    except BaseException:
        file.close()
        raise


class KerasTensors(Tensors):
    """Also says which backend wrote the file, if the file says so: Theano's kernels are flipped."""

    def __init__(self, path: Path, file: Any):
        self._file = file
        self._path = path  # for errors before super().__init__
        try:
            self._datasets = self._find(file)
            infos = {
                name: TensorInfo(dataset.shape, dataset.dtype) for name, dataset in self._datasets.items()
            }
            self.backend = _text(self._root(file).attrs.get("backend", ""))
        except ConversionError:
            raise
        except Exception as error:  # h5py's own: KeyError, OSError, RuntimeError, ValueError and others
            raise self._error(f"{type(error).__name__}: {error}") from error
        super().__init__(path, infos)

    def _find(self, file: Any) -> dict[str, Any]:
        root = self._root(file)
        datasets: dict[str, Any] = {}
        for layer in self._names(root, "layer_names"):
            group = self._member(root, layer, "group")
            weights = self._names(group, "weight_names")
            for name, weight in zip(_weight_names(layer, weights), weights, strict=True):
                if name in datasets:
                    raise self._error(f"it holds two weights named {name}")
                datasets[name] = self._member(group, weight, "dataset")
        return datasets

    def _root(self, file: Any) -> Any:
        return self._member(file, MODEL_WEIGHTS, "group") if MODEL_WEIGHTS in file else file

    def _names(self, group: Any, attribute: str) -> list[str]:
        """A list of names; Keras cuts one that is too long for an attribute into numbered ones."""
        if attribute in group.attrs:
            return [_text(name) for name in group.attrs[attribute]]
        names: list[str] = []
        part = 0
        while f"{attribute}{part}" in group.attrs:
            names += [_text(name) for name in group.attrs[f"{attribute}{part}"]]
            part += 1
        if not part:
            raise self._error(
                f"{group.name} has no attribute {attribute!r}; Keras 3's own files have another layout"
            )
        return names

    def _member(self, group: Any, name: str, kind: str) -> Any:
        """What lies at `name` inside the file: no link may lead elsewhere, into another file least of all."""
        import h5py

        member = group
        for part in name.strip("/").split("/"):
            link = member.get(part, getlink=True) if isinstance(member, h5py.Group) else None
            if link is None:
                raise self._error(f"{group.name} names {name!r}, which is not there")
            if not isinstance(link, h5py.HardLink):
                raise self._error(f"{name!r} is a link to elsewhere")
            member = member[part]
        if not isinstance(member, h5py.Group if kind == "group" else h5py.Dataset):
            raise self._error(f"{name!r} is not a {kind}")
        if kind == "dataset" and (member.external or member.is_virtual):
            raise self._error(f"the values of {name!r} lie in another file")
        return member

    def _error(self, reason: str) -> ConversionError:
        return ConversionError(f"{self._path} cannot be read as a Keras 1 or 2 .h5 file: {reason}.")

    def _read(self, name: str) -> np.ndarray:
        if not self._file:
            raise ConversionError(f"{self.path} is closed; read its tensors inside the `with` statement.")
        try:
            return np.asarray(self._datasets[name][()])
        except (OSError, RuntimeError, ValueError) as error:
            raise self._error(f"the values of {name!r}: {error}") from error

    def close(self) -> None:
        self._file.close()


def _weight_names(layer: str, weights: list[str]) -> list[str]:
    """ "layer/weight" for each weight of a group; see open_keras_h5."""
    paths = [TENSORFLOW_SUFFIX.sub("", weight) for weight in weights]
    last = [path.rpartition("/")[2] for path in paths]
    return paths if len(set(last)) < len(last) else [f"{layer}/{name}" for name in last]


def _text(name: Any) -> str:
    return name.decode("utf-8") if isinstance(name, bytes) else str(name)
