"""export(): a model, by its name or as Keras has it -> a proven file for another runtime."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib import resources
from pathlib import Path
from typing import Any, cast

import modelzoo
from modelzoo import exporters, labels, registry, store, zoo
from modelzoo.errors import ExportError, UnknownModel, WeightsMismatch, readable
from modelzoo.exporters import Exported, Metadata, Precision, Samples
from modelzoo.exporters.delivery import Network
from modelzoo.exporters.options import Options
from modelzoo.exporters.samples import DEFAULT_SIDE
from modelzoo.graph import Shape
from modelzoo.graph.shaping import SamePadding
from modelzoo.images import preprocess
from modelzoo.registry import Entry, Preprocessing
from modelzoo.store import PRETRAINED, Located
from modelzoo.zoo import SYNTHETIC, NetworkOptions

KERAS_FILE = ".keras"
CHANNELS = 3
SYNTHETIC_WARNING = "it has synthetic weights: predictions are meaningless"


def export(
    model: object,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    weights: str | os.PathLike[str] | None = PRETRAINED,
    precision: Precision = "f32",
    fold: bool = True,
    keep: bool = False,
) -> Exported:
    """Writes a model for another runtime, which must answer as the model does before the file is there.

    model: a name of the registry; a modelzoo weight file; a .keras file; or a functional or Sequential
        keras.Model of operators that modelzoo.graph has.
    format: "onnx", "openvino", "keras", "litert" or "python"; by default what the path's ending says.
    weights: of a name, as in modelzoo.load.
    precision: "f16" keeps kernels and matrices in half of the bytes; the runtime computes in float32.
    fold: ONNX's batch norms become part of the kernels before them.
    keep: leaves a file that does not agree, for a look at it; the error is raised all the same.

    Raises ExportError for a network that the format cannot hold, a missing package, and a file that does not
    agree; OutputError where nothing can be written; and what modelzoo.load raises.
    """
    target = Path(path)
    found = exporters.format_of(target, format)
    found.require()
    options = Options(precision, fold, ("modelzoo", modelzoo.__version__))
    with network(model, weights, open_sides=found.open_sides) as given:
        metadata = replace(given.metadata, precision=precision, modelzoo=modelzoo.__version__)
        return exporters.deliver(replace(given, metadata=metadata), target, found, options, keep=keep)


@contextmanager
def network(
    model: object, weights: str | os.PathLike[str] | None, *, open_sides: bool = True
) -> Generator[Network]:
    """What is exported, while its weights can be read."""
    if not isinstance(model, str | os.PathLike):
        yield _of_keras(model)
        return
    name = os.fspath(cast("str | os.PathLike[str]", model))
    entry, weights = _entry(name, weights)
    if entry is None:
        from modelzoo.backends import keras_files

        yield _of_keras(keras_files.opened(Path(name)))
        return
    if weights is None:
        raise ExportError("Expected weights to export, got None: random ones are of no use to anybody.")
    entry = store.entry_of(entry, weights)
    options = _open_sides(entry) if open_sides else NetworkOptions()
    graph = zoo.graph_of(entry, options)
    found = zoo.find_weights(entry, options, weights)
    with zoo.values(entry, options, found, graph) as arrays:
        yield Network(graph, arrays, _metadata(entry, found), _samples(entry))


def _entry(
    name: str, weights: str | os.PathLike[str] | None
) -> tuple[Entry | None, str | os.PathLike[str] | None]:
    """The entry that a name or a weight file names, and the weights; None for a .keras file."""
    from modelzoo import weights as weight_files

    path = Path(name)
    try:
        return registry.info(name), weights
    except UnknownModel:
        if not path.is_file():
            raise
    if path.suffix.lower() == KERAS_FILE:
        return None, weights
    if not weight_files.is_modelzoo_file(path):
        raise ExportError(
            f"{readable(name)} is no modelzoo weight file: name the model, and give the file as its weights "
            "(-w FILE)."
        )
    owner = weight_files.provenance(path).get("model")
    if not isinstance(owner, str):
        raise WeightsMismatch(f"{readable(name)} does not say which model it holds the weights of.")
    return registry.info(owner), path


def _open_sides(entry: Entry) -> NetworkOptions:
    """The network for images of any size where it has no part that depends on it, or else of its own size."""
    options = NetworkOptions(input_shape=(None, None, CHANNELS))
    try:
        graph = zoo.graph_of(entry, options)
    except ValueError:
        return NetworkOptions()
    depends = any(
        isinstance(node.operator, SamePadding) and node.operator.margins(graph.shape(node.inputs[0])) is None
        for node in graph.nodes
    )
    unknown = any(None in shape[1:] for shape in graph.output_shapes.values() if len(shape) == 2)
    return NetworkOptions() if depends or unknown else options


def _metadata(entry: Entry, weights: zoo.Weights) -> Metadata:
    return Metadata(
        name=entry.key,
        task=entry.task,
        preprocessing=asdict(entry.preprocessing),
        input_shape=entry.graph.input_shape,
        label_set=entry.labels,
        labels=tuple((label.id, label.name) for label in labels.of(entry)),
        license=asdict(entry.licenses),
        provenance=_provenance(weights),
    )


def _provenance(weights: zoo.Weights) -> Mapping[str, Any]:
    from modelzoo import weights as weight_files

    if weights == SYNTHETIC:
        return {weight_files.WARNING: SYNTHETIC_WARNING}
    if isinstance(weights, Located) and weight_files.is_modelzoo_file(weights.path):
        return weight_files.provenance(weights.path)
    return {}


def _samples(entry: Entry) -> Samples:
    height, width, _ = entry.graph.input_shape
    return Samples(preprocess(photograph(), entry.preprocessing)[0], (height, width))


def photograph() -> bytes:
    """A photograph of a cat, CC0; see examples/README.md."""
    return (resources.files("modelzoo.images") / "photograph.jpg").read_bytes()


def _of_keras(model: object) -> Network:
    """A live model, of whose preprocessing nothing is known. Raises ExportError for what is no model."""
    from modelzoo.backends import keras_files

    graph, arrays = keras_files.imported(model)
    shape = next((shape for shape in graph.inputs.values() if len(shape) == 4), None)
    return Network(graph, arrays, Metadata(graph.name), _plain_samples(shape))


def _plain_samples(shape: Shape | None) -> Samples:
    sides = (None, None) if shape is None else shape[1:3]
    height, width = (side or DEFAULT_SIDE for side in sides)
    return Samples(preprocess(photograph(), plain_preprocessing(max(height, width)))[0], (height, width))


def plain_preprocessing(size: int) -> Preprocessing:
    """Images of this size in values from -1 to 1, which most networks take."""
    return Preprocessing(
        crop_size=size,
        interpolation="opencv_linear",
        max_value=255.0,
        mean=(127.5, 127.5, 127.5),
        std=(127.5, 127.5, 127.5),
    )
