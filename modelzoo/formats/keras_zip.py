"""Models of Keras 2.12 to 2.15 in .keras files: a zip of the configuration as text, and of the weights.

The weights' file names no layer: each lies in groups of its class, numbered in the order in which the layers
of a model stand. Nothing of a file is imported or executed.
"""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from modelzoo.errors import ConversionError, readable
from modelzoo.formats import archives, hdf5
from modelzoo.formats.hdf5 import Place

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MOST_BYTES = 2**26  # of a configuration
VARIABLES = "vars"  # the group of a layer's own weights
LAYERS = (
    "layers",
    "_layer_checkpoint_dependencies",
)  # the group of a model's layers, by the version of Keras
COUNTED = re.compile(r"(.+?)(?:_([1-9]\d*))?")


class KerasZipFile:
    """An open file; use it in a `with` statement. What is in it has the names of KerasModelFile."""

    backend = "tensorflow"

    def __init__(self, path: Path):
        self._what = f"{readable(str(path))}: its weights cannot be read"
        self._open = ExitStack()
        try:
            folder = self._open.enter_context(archives.unpacked(path))
            self.config = _text(folder / CONFIG)
            self.version = _version(_text(folder / METADATA))
            with hdf5.refused_as(ConversionError, self._what):
                hdf5.check_plain(folder / WEIGHTS)
                self._file = self._open.enter_context(h5py.File(folder / WEIGHTS, "r"))
        except BaseException:
            self._open.close()
            raise

    def layers(self, group: str, kind: str) -> list[str]:
        """The groups of the layers of a class in a model's own group, "" for that of the whole model."""
        found: list[tuple[int, str]] = []
        for inner in LAYERS:
            if hdf5.has(self._file[group or "/"], inner):
                for name in hdf5.member(self._file, f"{group}/{inner}", h5py.Group):
                    parts = COUNTED.fullmatch(name)
                    if parts is not None and parts[1] == kind:
                        found.append((int(parts[2] or 0), f"{group}/{inner}/{name}"))
        return [name for _, name in sorted(found)]

    def weights(self, group: str) -> list[Place]:
        """The weights in a layer's group, in Keras' order."""
        if not hdf5.has(self._file[group], VARIABLES):
            return []
        inside = hdf5.member(self._file, f"{group}/{VARIABLES}", h5py.Group)
        found = [hdf5.member(inside, str(number), h5py.Dataset) for number in range(len(inside))]
        return [
            Place(f"{group}/{VARIABLES}", str(number), dataset.shape, dataset.dtype)
            for number, dataset in enumerate(found)
        ]

    def read(self, place: Place) -> np.ndarray:
        """The values of one weight."""
        with hdf5.refused_as(ConversionError, self._what):
            return place.read(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()


def keras_version(path: Path) -> str:
    """The version of Keras that a .keras file says it is of; "" if it says none."""
    try:
        with archives.unpacked(path) as folder:
            return _version(_text(folder / METADATA))
    except ValueError:
        return ""


def _text(path: Path) -> str:
    """The text of a file. Raises ValueError for one that is missing, or too large."""
    if not path.is_file():
        raise ValueError(f"it has no {path.name}")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"its {path.name} has more than {MOST_BYTES:,} bytes")
    return path.read_text("utf-8")


def _version(metadata: str) -> str:
    try:
        found: Any = json.loads(metadata)
    except RecursionError:
        raise ValueError(f"its {METADATA} is nested too deeply") from None
    version = found.get("keras_version") if isinstance(found, dict) else None
    return version if isinstance(version, str) else ""
