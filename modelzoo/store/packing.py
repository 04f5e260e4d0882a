"""pack(): a file that training left becomes a model folder; nothing in it is executed.

A .keras file and a legacy .h5 file of a whole model say their graph. A .weights.h5 file, a modelzoo weight
file and an upstream's own are of the base's graph, with as many classes as their head has, or as there are
labels.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelzoo import files, registry
from modelzoo.errors import ConversionError, ModelZooError, readable
from modelzoo.registry import Entry, FolderEntry, Label, Licenses, Metric, Preprocessing
from modelzoo.store.saving import save, save_graph, stated, target_of

if TYPE_CHECKING:
    import numpy as np

    from modelzoo.backends.keras_answers import Model
    from modelzoo.graph import Graph

ZIP_START = b"PK"


def pack(
    file: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    base: str | os.PathLike[str],
    labels: str | Sequence[str] | Sequence[Label] | None = None,
    preprocessing: Preprocessing | str | os.PathLike[str] | None = None,
    license: str | Licenses | None = None,
    metrics: Iterable[Metric | Mapping[str, Any]] = (),
    note: str | None = None,
) -> FolderEntry:
    """Writes a model folder from a file of a trained network; the arguments are those of modelzoo.save.

    file: a .keras file, a legacy .h5 file of a whole model or of weights, a .weights.h5 file, a modelzoo
        weight file, or the upstream's own.

    Raises as save does, and ConversionError for what cannot be read, or does not fit the base.
    """
    path, target = Path(file), target_of(folder)
    if not path.exists():
        raise ConversionError(f"There is no file {readable(str(path))}.")
    entry = registry.info(base)
    options: dict[str, Any] = {"labels": labels, "preprocessing": preprocessing, "license": license}
    options |= {"metrics": metrics, "note": note}
    with _whole_model(path) as model:
        if model is not None:
            return save(model, target, base=base, **options)
    options["labels"] = _stated_labels(path) if labels is None else labels
    facts = stated(entry, **options)
    classes = None if facts.labels is None else len(label_table(facts.labels))
    graph, arrays = _on_base(entry, path, classes)
    return save_graph(graph, arrays, target, facts)


def _stated_labels(path: Path) -> tuple[str, ...] | None:
    """The names of the classes that a modelzoo weight file states, if it does."""
    from modelzoo import weights

    return weights.stated_labels(weights.provenance(path)) if weights.is_modelzoo_file(path) else None


def label_table(labels: tuple[Label, ...] | str) -> tuple[Label, ...]:
    """The labels themselves."""
    from modelzoo.labels import read

    return read(labels) if isinstance(labels, str) else labels


@contextmanager
def _whole_model(path: Path) -> Generator[Model | None]:
    """The model of a file that says its graph; None for one that has weights only."""
    try:
        with _read(path) as model:
            yield model
    except (ValueError, KeyError) as error:
        if isinstance(error, ModelZooError):
            raise
        raise ConversionError(f"{readable(str(path))} cannot be packed: {str(error).rstrip('.')}.") from error


@contextmanager
def _read(path: Path) -> Generator[Model | None]:
    from modelzoo.backends import keras_files
    from modelzoo.formats import keras_h5

    is_zip = _starts_as_zip(path)
    config = None if is_zip else keras_h5.model_config(path)
    if is_zip:
        with keras_files.unpacked(path) as model:
            yield model
    elif config is not None:
        yield _legacy(path, config)
    else:
        yield None


def _starts_as_zip(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(ZIP_START)) == ZIP_START


def _legacy(path: Path, config: str) -> Model:
    from modelzoo.backends import keras_answers, keras_files
    from modelzoo.formats.keras_h5 import read_keras_h5

    model = keras_files.model_of(config)
    keras_files.check_size(keras_answers.network_of(model)[0], path)
    with read_keras_h5(path) as tensors:
        keras_files.assign(model, {name: tensors.read(name) for name in tensors})
    return model


def _on_base(entry: Entry, path: Path, classes: int | None) -> tuple[Graph, Mapping[str, np.ndarray]]:
    """The base's graph with the classes of a file of weights, and these."""
    from modelzoo import weights
    from modelzoo.formats import keras_h5
    from modelzoo.store.convert import convert

    if weights.is_modelzoo_file(path):
        return _own_weights(entry, path)
    if keras_h5.is_keras_3(path):
        return _in_order(entry, path, classes or entry.graph.classes)
    with files.temporary_directory() as folder:
        converted = folder / "converted.h5"
        convert(entry, path, converted)
        return _own_weights(entry, converted)


def _graph(entry: Entry, classes: int) -> Graph:
    from modelzoo import architectures

    activation = entry.graph.activation
    if classes == 1 and activation == "softmax":
        activation = "sigmoid"  # a softmax of one class is always 1
    return architectures.network(entry.graph, classes=classes, classifier_activation=activation)


def _own_weights(entry: Entry, path: Path) -> tuple[Graph, dict[str, np.ndarray]]:
    from modelzoo import architectures, weights
    from modelzoo.store.checks import check_owner

    check_owner(entry, path)
    arrays = dict(weights.read(path))
    heads = [name for name in arrays if name.rpartition("/")[0] in architectures.top_layers(entry.graph).head]
    if not heads:
        raise ConversionError(
            f"{readable(str(path))} has no weights of the head of {entry.key}: "
            "expected a classifier's, with its own classes."
        )
    graph = _graph(entry, arrays[heads[0]].shape[-1])
    weights.check(path, graph.weight_shapes)
    return graph, arrays


def _in_order(entry: Entry, path: Path, classes: int) -> tuple[Graph, dict[str, np.ndarray]]:
    """The weights of a .weights.h5 file, which names no layer: they are taken in the order of the layers."""
    from modelzoo.backends import keras_files
    from modelzoo.formats import hdf5

    shown, graph = readable(str(path)), _graph(entry, classes)
    with hdf5.refused_as(ConversionError, f"{shown} cannot be read"):
        hdf5.check_plain(path)
    try:
        keras_files.check_size(graph, path)
        return graph, keras_files.arrays_in_order(graph, path)
    except ValueError as error:
        raise ConversionError(
            f"{shown} is not of {entry.key} with {classes} classes: {error}. A .keras file says its layers: "
            "model.save('model.keras') writes one."
        ) from error
