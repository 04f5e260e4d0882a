"""opened(): a network by its name, of a file, or as Keras has it -> graph, weights, metadata and samples."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any, cast

from modelzoo import exporters, importers, labels, registry, store, zoo
from modelzoo.errors import ExportError, UnknownModel, WeightsMismatch, readable
from modelzoo.exporters import Format, Metadata, Samples
from modelzoo.exporters.network import Network
from modelzoo.exporters.samples import DEFAULT_SIDE
from modelzoo.graph import Graph, Shape
from modelzoo.graph.shaping import SamePadding
from modelzoo.images import preprocess
from modelzoo.registry import Entry, Preprocessing
from modelzoo.store import PRETRAINED, Located
from modelzoo.zoo import SYNTHETIC, NetworkOptions

CHANNELS = 3
SYNTHETIC_WARNING = "it has synthetic weights: predictions are meaningless"


@contextmanager
def opened(
    model: object,
    weights: str | os.PathLike[str] | None = PRETRAINED,
    format: Format | None = None,
    architecture: str | os.PathLike[str] | None = None,
) -> Generator[tuple[Entry | None, Network]]:
    """A network while its weights can be read, and its entry, if it has one.

    format: what it is opened for, which says whether sides may be open; None: for images of its own size.
    architecture: the JSON of the Keras model whose weights alone a file holds.
    """
    if not isinstance(model, str | os.PathLike):
        yield None, _of_keras(model)
        return
    name = os.fspath(cast("str | os.PathLike[str]", model))
    entry, weights = (None, weights) if architecture is not None else _entry(name, weights)
    if entry is None:
        with importers.opened(Path(name), None if architecture is None else Path(architecture)) as found:
            yield None, _foreign(found.graph, found.arrays, _own_metadata(Path(name), found.graph))
        return
    if weights is None:
        raise ExportError("Expected weights to export, got None: random ones are of no use to anybody.")
    entry = store.entry_of(entry, weights)
    options = open_sides(entry, format) if format is not None and format.open_sides else NetworkOptions()
    graph = zoo.graph_of(entry, options)
    found = zoo.find_weights(entry, options, weights)
    with zoo.values(entry, options, found, graph) as arrays:
        yield entry, Network(graph, arrays, _metadata(entry, found), _samples(entry))


def _entry(
    name: str, weights: str | os.PathLike[str] | None
) -> tuple[Entry | None, str | os.PathLike[str] | None]:
    """The entry that a name or a weight file names, and the weights; None for a file with a network in it."""
    from modelzoo import weights as weight_files

    path = Path(name)
    try:
        return registry.info(name), weights
    except UnknownModel:
        if not path.is_file():
            raise
    if not weight_files.is_modelzoo_file(path):
        if importers.is_network(path):
            return None, weights
        raise ExportError(
            f"{readable(name)} is no modelzoo weight file, and no network that modelzoo reads: name the "
            "model, and give the file as its weights (-w FILE)."
        )
    owner = weight_files.provenance(path).get("model")
    if not isinstance(owner, str):
        raise WeightsMismatch(f"{readable(name)} does not say which model it holds the weights of.")
    return registry.info(owner), path


def open_sides(entry: Entry, format: Format) -> NetworkOptions:
    """The network for images of any size where it has no part that depends on it, or else of its own size."""
    options = NetworkOptions(input_shape=(None, None, CHANNELS))
    try:
        graph = zoo.graph_of(entry, options)
    except ValueError:
        return NetworkOptions()
    depends = not format.computed_padding and any(
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
    image = photograph()
    return Samples(preprocess(image, entry.preprocessing)[0], (height, width), image)


def photograph() -> bytes:
    """A photograph of a cat, CC0; see examples/README.md."""
    return (resources.files("modelzoo.images") / "photograph.jpg").read_bytes()


def _of_keras(model: object) -> Network:
    """A live model, of whose preprocessing nothing is known. Raises ExportError for what is no model."""
    from modelzoo.backends import keras_files

    graph, arrays = keras_files.imported(model)
    return _foreign(graph, arrays, Metadata(graph.name))


def _foreign(graph: Graph, arrays: Mapping[str, Any], metadata: Metadata) -> Network:
    """A network of another program."""
    shape = next((shape for shape in graph.inputs.values() if len(shape) == 4), None)
    return Network(graph, arrays, metadata, _plain_samples(shape))


def _own_metadata(path: Path, graph: Graph) -> Metadata:
    """What a file that modelzoo exported says of itself; of others only the name is known."""
    try:
        return exporters.inspect(path).metadata
    except (ExportError, OSError):
        return Metadata(graph.name)


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
