"""Graph and arrays -> MMdnn's intermediate representation: NAME.pb and NAME.json, with NAME.npy.

Written for what MMdnn 0.3.1 makes of it with Keras 2, whose emitter knows fewer operations than its parsers.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from modelzoo.errors import ExportError
from modelzoo.exporters.ir_operations import Writing
from modelzoo.exporters.options import Arrays, Options, Texts
from modelzoo.formats import mmdnn_ir as file_format
from modelzoo.formats.networks import Node
from modelzoo.formats.npy_dict import read_npy_dict, write_npy_dict
from modelzoo.graph import Graph

TEXTS = "modelzoo_texts"  # an attribute of the input, which MMdnn does not look at


def write(path: Path, graph: Graph, arrays: Arrays, texts: Texts, options: Options) -> None:
    """Writes the three files. Raises ValueError, with the node's name, that MMdnn has no operation for."""
    written = Writing(graph, arrays)
    written.run()
    nodes = _with_texts(written.nodes, texts)
    file_format.write_nodes(nodes, path, path.with_suffix(".json"))
    write_npy_dict(path.with_suffix(".npy"), written.weights)


def add_text(path: Path, name: str, text: str) -> None:
    """Adds a text to both forms of the graph."""
    nodes = file_format.read_nodes(path)
    texts = read_texts(path) | {name: text}
    file_format.write_nodes(_with_texts(nodes, texts), path, path.with_suffix(".json"))


def read_texts(path: Path) -> dict[str, str]:
    """The texts. Raises OSError, and ValueError for a file that is none of MMdnn's."""
    for node in file_format.read_nodes(path):
        if node.kind == file_format.INPUT and TEXTS in node.attributes:
            found = json.loads(str(node.attributes[TEXTS]))
            return {str(name): str(text) for name, text in found.items()}
    return {}


def check(path: Path, graph: Graph, arrays: Arrays, options: Options) -> str:
    """Says what was compared; raises ExportError unless all arrays are there by value, and all operations."""
    written, stored = Writing(graph, arrays), read_npy_dict(path.with_suffix(".npy"))
    written.run()
    nodes = [(node.kind, node.name, node.inputs) for node in file_format.read_nodes(path)]
    expected = [(node.kind, node.name, node.inputs) for node in written.nodes]
    text = [(node.kind, node.name, node.inputs) for node in file_format.read_nodes(path.with_suffix(".json"))]
    if not nodes == expected == text:
        raise ExportError("The operations in the file are others than those of the network.")
    count = 0
    for layer, weights in written.weights.items():
        for name, array in weights.items():
            count += 1
            found = stored.get(f"{layer}/{name}")
            if found is None or not np.array_equal(found.array(), np.asarray(array(), np.float32)):
                raise ExportError(f"The array {layer}/{name} in the file is another than the network's.")
    return f"{len(nodes)} operations and {count} arrays, read back and equal"


def _with_texts(nodes: list[Node], texts: Texts) -> list[Node]:
    """The operations, the first input having the texts."""
    found, done = [], False
    for node in nodes:
        if node.kind == file_format.INPUT and not done:
            attributes = {**node.attributes, TEXTS: json.dumps(dict(texts))}
            node, done = Node(node.kind, "", node.name, node.inputs, node.outputs, attributes), True
        found.append(node)
    return found
