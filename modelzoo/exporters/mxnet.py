"""Graph and arrays -> MXNet 1.9's files: NAME-symbol.json, the network, and NAME-0000.params, its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from modelzoo.errors import ExportError, quoted
from modelzoo.exporters.mxnet_operations import AUXILIARY, OPERATIONS
from modelzoo.exporters.onnx_values import Site, Value, Values, plain
from modelzoo.exporters.options import Arrays, Options, Texts
from modelzoo.exporters.upstream import named_by
from modelzoo.formats import mxnet_symbol, read_mxnet_params, write_mxnet_params
from modelzoo.formats.onnx import Operation
from modelzoo.graph import Graph
from modelzoo.graph.passes import fold_padding
from modelzoo.weights import Arrays as Lazy

COUNTER = re.compile(r"-\d{4}$")  # of the epoch, in a name as MXNet's load_checkpoint wants it
ENDING = "-symbol.json"


def write(path: Path, graph: Graph, arrays: Arrays, texts: Texts, options: Options) -> None:
    """Writes the weights, which is `path`, and the symbol, which takes images with the channels last.

    The weights have the names of GluonCV where it has the network: then also its own class loads them. Raises
    ValueError, with the node's name, for what MXNet lacks.
    """
    operations, outputs, weights = network_of(graph, arrays, options)
    write_mxnet_params(path, _prefixed(operations, weights, options))
    shapes = {name: array.shape for name, array in weights.items()}
    mxnet_symbol.write_symbol(symbol_path(path), operations, outputs, shapes, texts)


def add_text(path: Path, name: str, text: str) -> None:
    """Adds a text to the symbol."""
    mxnet_symbol.add_text(symbol_path(path), name, text)


def read_texts(path: Path) -> dict[str, str]:
    """The metadata. Raises OSError, and ValueError for what is no symbol."""
    return mxnet_symbol.read_texts(symbol_path(path))


def symbol_path(path: Path) -> Path:
    """The symbol of a file of weights, as MXNet's load_checkpoint finds it."""
    return path.with_name(f"{COUNTER.sub('', path.stem)}{ENDING}")


def network_of(graph: Graph, arrays: Arrays, options: Options) -> tuple[list[Operation], list[str], Arrays]:
    """The network in MXNet's operators, the names of its outputs, and its weights by name."""
    graph, _ = fold_padding(graph, {})
    values = Values(graph, arrays)
    for name, shape in graph.inputs.items():
        values.found[name] = Value(name, plain(len(shape)))
    for node in graph.nodes:
        found = (values.found[name] for name in node.inputs)
        values.found[node.name] = OPERATIONS[type(node.operator)](Site(values, node), node.operator, *found)
    outputs = [
        values.in_order(values.found[value], plain(len(graph.shape(value))))
        for value in graph.outputs.values()
    ]
    names = _names(values, options)
    operations = [_operation(found, names) for found in values.operations]
    made = {names[known.name]: known for known in values.constants.values()}
    weights = Lazy(made, lambda name: np.asarray(made[name].array(), np.float32).reshape(made[name].shape))
    return operations, outputs, weights


def check(path: Path, graph: Graph, arrays: Arrays, options: Options) -> str:
    """What was read back, in words. Raises ExportError if a weight differs, or has no place in the symbol."""
    operations, _, weights = network_of(graph, arrays, options)
    nodes = mxnet_symbol.read_nodes(symbol_path(path))
    inputs = {node["name"] for node in nodes if node["op"] == "null"}
    with read_mxnet_params(path) as found:
        if set(found) != set(weights) or inputs != set(weights) | set(graph.inputs):
            raise ExportError(f"The file holds other weights than the {len(weights)} of {graph.name}.")
        for name, array in weights.items():
            if not np.array_equal(found.read(name), array):
                raise ExportError(f"The file holds other values of {quoted(name)} than were written.")
    return (
        f"read back {len(weights):,} weights, bit-identical, in {named_by(options)}, and a symbol of "
        f"{len(operations):,} operators"
    )


def _operation(found: Operation, names: Mapping[str, str]) -> Operation:
    """The operation with the names of the file; what puts axes in another order is called otherwise here."""
    inputs = tuple(names.get(name, name) for name in found.inputs)
    if found.kind == "Transpose":
        return replace(found, kind="transpose", inputs=inputs, attributes={"axes": found.attributes["perm"]})
    return replace(found, inputs=inputs)


def _names(values: Values, options: Options) -> dict[str, str]:
    """The name in the file of each constant."""
    known: Mapping[str, str] = {} if options.upstream is None else options.upstream.names
    return {constant.name: known.get(constant.name, constant.name) for constant in values.constants.values()}


def _prefixed(operations: list[Operation], weights: Arrays, options: Options) -> Arrays:
    """The weights as MXNet's load_checkpoint wants them, "arg:NAME"; GluonCV's classes want no prefix."""
    if options.upstream is not None:
        return weights
    auxiliary = {
        name for found in operations for name in found.inputs[AUXILIARY.get(found.kind, len(found.inputs)) :]
    }
    names = {f"{'aux' if name in auxiliary else 'arg'}:{name}": name for name in weights}
    return Lazy(names, lambda name: weights[names[name]])
