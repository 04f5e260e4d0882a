"""Graph and arrays -> Darknet's files: NAME.weights, and NAME.cfg, the sections.

A section is a convolution with its norm and activation; each takes what the one before gives, unless it names
others. Darknet computes on (batch, channels, height, width).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from modelzoo.architectures import yolo
from modelzoo.errors import ExportError, quoted
from modelzoo.exporters.darknet_sections import NORM_EPSILON, Network, Weighted, network_of
from modelzoo.exporters.options import Arrays, Options, Texts
from modelzoo.formats import commented, read_darknet_weights, write_darknet_weights
from modelzoo.formats.darknet_cfg import Section, write_cfg
from modelzoo.graph import Graph
from modelzoo.graph.arrays import check_arrays
from modelzoo.weights import Arrays as Lazy

OUTPUTS = "outputs"  # the text that says which section gives which output
BOX = 5  # values for each anchor beside the classes
REGION = {"bias_match": 1, "coords": 4, "softmax": 1, "absolute": 1, "thresh": 0.6}


def write(path: Path, graph: Graph, arrays: Arrays, texts: Texts, options: Options) -> None:
    """Writes both files. Raises ValueError, with the node's name, for what Darknet cannot say exactly."""
    network = network_of(graph)
    check_arrays(graph, arrays)
    sections = [_net(graph), *network.sections, *_region(graph, texts)]
    outputs = {OUTPUTS: json.dumps(network.outputs)}
    write_cfg(cfg(path), sections, {**texts, **outputs})
    found = _stored(network, arrays)
    write_darknet_weights(path, found, _plan(network))


def add_text(path: Path, name: str, text: str) -> None:
    """Adds a text to the .cfg."""
    commented.add_text(cfg(path), name, text)


def read_texts(path: Path) -> dict[str, str]:
    """The metadata. Raises OSError, and ValueError for what is none."""
    return commented.read_texts(cfg(path))


def cfg(path: Path) -> Path:
    """The sections of a file of weights."""
    return path.with_suffix(".cfg")


def check(path: Path, graph: Graph, arrays: Arrays, options: Options) -> str:
    """What was read back, in words. Raises ExportError if a value differs."""
    network = network_of(graph)
    expected = _stored(network, arrays)
    with read_darknet_weights(path, _plan(network), {}) as found:
        for name, array in expected.items():
            if not np.array_equal(found.read(name), array):
                raise ExportError(f"The file holds other values of {quoted(name)} than were written.")
    return f"read back {len(expected):,} arrays of {len(network.sections):,} sections, bit-identical"


def _net(graph: Graph) -> Section:
    ((_, height, width, channels),) = graph.inputs.values()
    if height is None or width is None:
        raise ValueError("name both sides of input_shape: Darknet's [net] has known ones")
    return Section("net", {"batch": 1, "width": width, "height": height, "channels": channels or 0})


def _region(graph: Graph, texts: Texts) -> list[Section]:
    """What makes boxes of a YOLOv2's predictions, after all sections that compute them."""
    shape = graph.shape(graph.output) if len(graph.outputs) == 1 else ()
    if texts.get("task") != "detection" or len(shape) != 4:
        return []
    anchors = yolo.VARIANTS["2"].anchors
    classes = (shape[3] or 0) // len(anchors) - BOX
    flat = [side for anchor in anchors for side in anchor]
    return [Section("region", {"anchors": flat, "classes": classes, "num": len(anchors), **REGION})]


def _plan(network: Network) -> dict[str, tuple[int, ...]]:
    """The shape of each array by name, in the order of the file."""
    return {
        f"convolutional_{part.number}/{name}": shape
        for part in network.weighted
        for name, shape in part.shapes.items()
    }


def _stored(network: Network, arrays: Arrays) -> Arrays:
    """The arrays as Darknet has them, by the names of the plan; each computed when it is asked for."""
    places = {
        f"convolutional_{part.number}/{name}": (part, name)
        for part in network.weighted
        for name in part.shapes
    }

    def array(name: str) -> np.ndarray:
        part, kind = places[name]
        return _array(part, kind, arrays).astype(np.float32).reshape(part.shapes[kind])

    return Lazy(places, array)


def _array(part: Weighted, kind: str, arrays: Arrays) -> np.ndarray:
    if kind == "weights":
        kernel = arrays[part.kernel]
        return kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
    norm, bias = part.norm, 0.0 if part.bias is None else np.asarray(arrays[part.bias], np.float64)
    if norm is None:
        return np.broadcast_to(bias, part.shapes[kind])
    if kind == "rolling_mean":  # Darknet has no bias before a norm: the mean is that much less
        return arrays[norm.paths["moving_mean"]] - bias
    if kind == "rolling_variance":
        return np.asarray(arrays[norm.paths["moving_variance"]], np.float64) + (part.epsilon - NORM_EPSILON)
    path, default = (norm.paths.get("gamma"), 1.0) if kind == "scales" else (norm.paths.get("beta"), 0.0)
    return np.broadcast_to(default, part.shapes[kind]) if path is None else arrays[path]
