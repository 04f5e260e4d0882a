"""Graph and arrays -> Keras 2's file of weights, in keras.applications' names where it has the network.

The metadata are datasets of a group of their own, which Keras passes by.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from modelzoo.errors import ConversionError, ExportError, quoted
from modelzoo.exporters.options import Arrays, Options, Texts
from modelzoo.exporters.upstream import named_by, stored_arrays
from modelzoo.formats import hdf5, read_keras_h5, write_keras_h5
from modelzoo.graph import Graph
from modelzoo.weights import Arrays as Lazy

GROUP = "modelzoo"
LARGEST = 1 << 26  # bytes of a text


def write(path: Path, graph: Graph, arrays: Arrays, texts: Texts, options: Options) -> None:
    """Writes the weights in the order of Keras' layers, one at a time, and the texts.

    Raises ValueError for an array that is missing or has another shape.
    """
    write_keras_h5(path, _stored(graph, arrays, options))
    for name, text in texts.items():
        add_text(path, name, text)
    if options.upstream is not None and options.upstream.original:
        add_text(path, "original", options.upstream.original)


def add_text(path: Path, name: str, text: str) -> None:
    """Adds a text to the metadata."""
    with h5py.File(path, "a") as file:
        values = np.frombuffer(text.encode(), np.uint8)
        file.create_dataset(f"{GROUP}/{name}", data=values, track_times=False)


def read_texts(path: Path) -> dict[str, str]:
    """The metadata. Raises OSError, and ValueError for a file that holds none."""
    with hdf5.refused_as(ConversionError, "it holds no metadata of modelzoo's"), h5py.File(path, "r") as file:
        group = hdf5.member(file, GROUP, h5py.Group)
        return {name: _text(hdf5.member(group, name, h5py.Dataset)) for name in group}


def _text(dataset: h5py.Dataset) -> str:
    if dataset.dtype != np.uint8 or dataset.ndim != 1 or dataset.size > LARGEST:
        raise ValueError("expected bytes of a text")
    return dataset[()].tobytes().decode()


def check(path: Path, graph: Graph, arrays: Arrays, options: Options) -> str:
    """What was read back, in words. Raises ExportError if a weight differs."""
    expected = _stored(graph, arrays, options)
    with read_keras_h5(path) as found:
        if list(found) != list(expected):
            raise ExportError(f"The file holds other weights than the {len(expected)} of {graph.name}.")
        for name, array in expected.items():
            if not np.array_equal(found.read(name), array):
                raise ExportError(f"The file holds other values of {quoted(name)} than were written.")
    return f"read back {len(expected):,} weights, bit-identical, in {named_by(options)}"


def _stored(graph: Graph, arrays: Arrays, options: Options) -> Arrays:
    """What the file holds, in its order."""
    weights = stored_arrays(graph, arrays, options)
    constants = {} if options.upstream is None else options.upstream.constants
    names = [*constants, *weights]
    return Lazy(dict.fromkeys(names), lambda name: constants[name] if name in constants else weights[name])
