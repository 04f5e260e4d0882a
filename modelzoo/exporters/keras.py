"""Graph and arrays -> a .keras file, which opens with Keras alone."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from modelzoo.exporters.options import Arrays, Options, Texts
from modelzoo.graph import Graph

FOLDER = "modelzoo/"  # of the archive; Keras looks for its own members only
LARGEST = 1 << 24  # bytes of a text
STAMP = (1980, 1, 1, 0, 0, 0)  # the earliest that an archive can hold: equal contents give equal bytes


def write(path: Path, graph: Graph, arrays: Arrays, texts: Texts, options: Options) -> None:
    """Writes the file. Raises ValueError, with the node's name, for what Keras cannot do."""
    model_of(graph, arrays, as_dict=len(graph.outputs) > 1).save(path)
    for name, text in texts.items():
        add_text(path, name, text)


def model_of(graph: Graph, arrays: Arrays, *, as_dict: bool) -> Any:
    """The Keras model of a graph with its weights."""
    from modelzoo import variables
    from modelzoo.backends import keras as backend
    from modelzoo.backends import keras_values

    model = backend.model(graph, dtype="float32", as_dict=as_dict)
    keras_values.assign(model, ((path_, arrays[path_]) for path_ in graph.weights))
    variables.initialize(model)  # the seeds of layers that drop
    return model


def add_text(path: Path, name: str, text: str) -> None:
    """Adds a text to the archive."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(f"{FOLDER}{name}", STAMP), text)


def read_texts(path: Path) -> dict[str, str]:
    """The metadata. Raises OSError, and ValueError for a file that is no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.startswith(FOLDER)]
            if any(info.file_size > LARGEST for info in members):
                raise ValueError("its metadata is too large")
            return {info.filename[len(FOLDER) :]: archive.read(info).decode() for info in members}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ValueError("it is not an archive that can be read") from error
