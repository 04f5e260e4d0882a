"""Whole Keras models of versions 1 and 2 in .h5 files: the configuration as text, and the weights by groups.

Weights alone lie in such a file in the same way. Nothing of it is imported or executed: what the
configuration says is for the caller to understand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import h5py
import numpy as np

from modelzoo.errors import ConversionError
from modelzoo.formats import hdf5
from modelzoo.formats.hdf5 import Place
from modelzoo.formats.keras_h5 import KIND, listed_names, root_of

CONFIG = "model_config"


class KerasModelFile:
    """An open file; use it in a `with` statement.

    config: the network as JSON, "" in a file of weights alone. version: Keras', "" where Keras 1 left it out.
    backend: that of the program that wrote it, "" if it is not said. groups: each layer's weights in order.
    """

    def __init__(self, path: Path):
        self._what = f"{path} cannot be read as {KIND}"
        with hdf5.refused_as(ConversionError, self._what):
            self._file = h5py.File(path, "r")
            try:
                root = root_of(self._file)
                self.config = hdf5.text(self._file, CONFIG)
                self.version = hdf5.text(self._file, "keras_version") or hdf5.text(root, "keras_version")
                self.groups: dict[str, list[Place]] = {}
                for layer, places in hdf5.layers(root, listed_names):
                    if layer in self.groups:
                        raise ValueError(f"it names the layer {layer!r} twice")
                    self.groups[layer] = places
                self.backend = hdf5.text(self._file, "backend") or hdf5.text(root, "backend")
            except BaseException:
                self._file.close()
                raise
        if not self.backend and self.version[:1] in ("", "1"):
            self.backend = _backend_of_names(self.groups)

    def read(self, place: Place) -> np.ndarray:
        """The values of one weight."""
        with hdf5.refused_as(ConversionError, f"{self._what}: the values of {place.weight!r}"):
            return place.read(root_of(self._file))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()


def _backend_of_names(groups: dict[str, list[Place]]) -> str:
    """Keras 1 does not say what computed; TensorFlow ends its names in ":0", Theano does not."""
    names = [place.weight for places in groups.values() for place in places]
    if not names:
        return ""
    return "tensorflow" if all(":" in name for name in names) else "theano"
