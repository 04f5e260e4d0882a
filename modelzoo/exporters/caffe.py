"""Graph and arrays -> Caffe's files: NAME.caffemodel, the weights, and NAME.prototxt, the layers.

Caffe computes on (batch, channels, height, width), and so takes images and gives maps.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modelzoo.errors import ExportError, quoted
from modelzoo.exporters.caffe_operations import OPERATIONS
from modelzoo.exporters.caffe_values import Site, Values, sides_of
from modelzoo.exporters.options import Arrays, Options, Texts
from modelzoo.formats import caffe as file_format
from modelzoo.formats import commented
from modelzoo.formats.caffe import Layer
from modelzoo.graph import Graph
from modelzoo.graph.passes import fold_batch_norms_lazily, fold_padding


def write(path: Path, graph: Graph, arrays: Arrays, texts: Texts, options: Options) -> None:
    """Writes both files. Raises ValueError, with the node's name, for what Caffe cannot say exactly."""
    layers = layers_of(graph, arrays, fold=options.fold)
    file_format.write_prototxt(prototxt(path), graph.name, layers, texts)
    with path.open("wb") as file:
        file_format.write_caffemodel(file, graph.name, layers)


def add_text(path: Path, name: str, text: str) -> None:
    """Adds a text to the .prototxt."""
    commented.add_text(prototxt(path), name, text)


def read_texts(path: Path) -> dict[str, str]:
    """The metadata. Raises OSError, and ValueError for what is none."""
    return commented.read_texts(prototxt(path))


def prototxt(path: Path) -> Path:
    """The layers of a file of weights."""
    return path.with_suffix(".prototxt")


def layers_of(graph: Graph, arrays: Arrays, *, fold: bool = True) -> list[Layer]:
    """The network in Caffe's layers, which have the names of the graph's nodes."""
    if fold:
        graph, arrays = fold_batch_norms_lazily(graph, arrays)
    graph, _ = fold_padding(graph, {})
    values = Values(graph, arrays)
    for name, shape in graph.inputs.items():
        found = sides_of(name, shape)
        values.layers.append(Layer(name, "Input", (), (name,), {"input_param": {"shape": {"dim": found}}}))
        values.tops[name] = name
    for node in graph.nodes:
        site, tops = Site(values, node), (values.tops[name] for name in node.inputs)
        site.check_ranks()
        values.tops[node.name] = OPERATIONS[type(node.operator)](site, node.operator, *tops)
    made = {layer.name for layer in values.layers}
    for name, value in graph.outputs.items():  # each by its name, which also a layer has
        if values.tops[value] != name:
            if name in made:
                raise ValueError(f"an output and another layer are both called {name!r}")
            values.layers.append(Layer(name, "Power", (values.tops[value],), (name,), {}))
    return values.layers


def check(path: Path, graph: Graph, arrays: Arrays, options: Options) -> str:
    """What was read back, in words. Raises ExportError if a weight differs."""
    layers = layers_of(graph, arrays, fold=options.fold)
    found = dict(file_format.read_caffemodel(path))
    expected = {layer.name: layer.blobs for layer in layers if layer.blobs}
    if found.keys() != expected.keys():
        raise ExportError(
            f"The file holds weights of other layers than the {len(expected)} that were written."
        )
    for name, blobs in expected.items():
        arrays_ = [np.asarray(blob.array(), np.float32).reshape(blob.shape) for blob in blobs]
        if len(arrays_) != len(found[name]) or not all(map(np.array_equal, arrays_, found[name])):
            raise ExportError(f"The file holds other weights of {quoted(name)} than were written.")
    return f"read back the weights of {len(expected):,} of {len(layers):,} layers, bit-identical"
