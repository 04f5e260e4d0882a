"""A Core ML package that was written is read back, and compared by value with the graph and its weights.

Nothing here runs it: Core ML is Apple's. Compared are each node's weights, bit by bit; its strides, margins,
dilations, groups and epsilon; the windows of poolings; and the shape of every node's value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.errors import ExportError
from modelzoo.exporters.coreml import MODEL, import_coremltools, prepared
from modelzoo.exporters.options import Arrays, Options
from modelzoo.graph import Graph, Node, Shape
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.elementwise import Activation, Dropout, PReLU
from modelzoo.graph.normalization import BatchNorm, ChannelScale, LayerNorm, Rescale
from modelzoo.graph.pooling import AveragePool, MaxPool
from modelzoo.graph.windows import extent, margins

NAMES = {"moving_mean": "mean", "moving_variance": "variance", "kernel": "weight"}  # what MIL calls weights
HOLDERS: dict[tuple[type, str], tuple[tuple[str, str], ...]] = {  # or else in which value of a node they lie
    (SeparableConv, "depthwise_kernel"): (("_depthwise", "weight"),),
    (SeparableConv, "pointwise_kernel"): (("", "weight"),),
    (TransposedConv, "kernel"): (("_product", "weight"), ("", "weight")),
    (TransposedConv, "bias"): (("", "y"),),
    (ChannelScale, "kernel"): (("", "y"),),
    (PReLU, "alpha"): (("_scaled", "y"),),
}
Arranged = Callable[[np.ndarray, tuple[int, ...]], np.ndarray]


def _outputs_last(kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.moveaxis(kernel, (0, 1), (3, 2))


def _each(kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.moveaxis(kernel, 0, -1).reshape(shape)


KERNELS: dict[tuple[type, str], Arranged] = {  # MIL's kernels -> the graph's, of this shape
    (Conv, "kernel"): _outputs_last,
    (TransposedConv, "kernel"): _outputs_last,
    (SeparableConv, "pointwise_kernel"): _outputs_last,
    (DepthwiseConv, "kernel"): _each,
    (SeparableConv, "depthwise_kernel"): _each,
    (Dense, "kernel"): lambda kernel, shape: kernel.reshape(kernel.shape[:2]).T,
    (PReLU, "alpha"): lambda alpha, shape: np.moveaxis(alpha[0], 0, -1).reshape(shape),
    (ChannelScale, "kernel"): lambda kernel, shape: kernel.reshape(shape),
    (TransposedConv, "bias"): lambda bias, shape: bias.reshape(shape),
}


def check(path: Path, graph: Graph, arrays: Arrays, options: Options) -> str:
    """What was compared, in words. Raises ExportError for what differs, or is missing."""
    from modelzoo.exporters.coreml_values import mil_name

    graph, arrays = prepared(graph, arrays, fold=options.fold)
    operations = read_back(path)
    counts = dict.fromkeys(("nodes", "weights", "all weights", "attributes"), 0)
    for node in graph.nodes:
        found = operations.get(mil_name(graph, node.name))
        if found is None:
            _check_nothing_is_lost(node)
            continue
        counts["nodes"] += 1
        _compare_shape(node, graph.shape(node.name), found)
        counts["all weights"] += sum(weight.size for weight in node.weights)
        for name, ours, theirs in _weights(node, arrays, operations, mil_name(graph, node.name)):
            counts["weights"] += ours.size
            if ours.shape != theirs.shape or not np.array_equal(ours.astype(theirs.dtype), theirs):
                raise ExportError(f"The package's {name} of {node.name!r} are not those of {graph.name}.")
        moving = operations.get(f"{found.outputs[0].name}_depthwise", found)  # of a separable convolution
        for name, expected, value in _attributes(graph, node, moving):
            counts["attributes"] += 1
            if not np.array_equal(np.ravel(expected), np.ravel(value)):
                raise ExportError(f"Expected {name} {expected} of {node.name!r}, got {value} in the package.")
    return (
        f"read back: {counts['weights']:,} of {counts['all weights']:,} values of weights, "
        f"{counts['attributes']} attributes and the shapes of {counts['nodes']} of {len(graph.nodes)} nodes "
        "are those of the network"
    )


def _check_nothing_is_lost(node: Node) -> None:
    """Raises ExportError unless this is one of the operators that change no value."""
    nothing = (Activation("linear"), Rescale())
    if not isinstance(node.operator, Dropout) and node.operator not in nothing:
        raise ExportError(f"Expected {node.name!r} in the package, which has no such value.")


def read_back(path: Path) -> dict[str, Any]:
    """The package's operations by the name of their value, as coremltools reads them.

    Raises ExportError for two values of one name, which Core ML could not tell apart.
    """
    ct = import_coremltools()
    loader: Any = import_module("coremltools.converters.mil.frontend.milproto.load")
    specification = ct.utils.load_spec(str(path))
    program = loader.load(
        specification, specification.specificationVersion, str((path / MODEL).parent / "weights")
    )
    operations = [op for op in program.functions["main"].operations if op.op_type != "const"]
    found = {op.outputs[0].name: op for op in operations}
    if len(found) < len(operations):
        raise ExportError(
            f"Expected {len(operations)} values in the package, got {len(found)} names of them."
        )
    return found


def _value(found: Any, name: str) -> Any:
    given = found.inputs.get(name)
    return None if given is None else given.val


def _compare_shape(node: Node, shape: Shape, found: Any) -> None:
    """A map has channels first, or last where it was left so; sides that are open are MIL's symbols."""
    given = [side if isinstance(side, (int, np.integer)) else None for side in found.outputs[0].shape]
    orders = [shape, (shape[0], shape[3], *shape[1:3])] if len(shape) == 4 else [shape]
    if not any(given[1:] == list(order[1:]) for order in orders):
        raise ExportError(f"Expected the shape {shape} of {node.name!r}, got {given} in the package.")


def _weights(
    node: Node, arrays: Arrays, operations: Mapping[str, Any], name: str
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, ours and theirs of each weight of a node that the package has as it is."""
    for weight, path in node.paths.items():
        kind = (type(node.operator), weight)
        places = HOLDERS.get(kind, (("", NAMES.get(weight, weight)),))
        held = (_value(operations[name + end], key) for end, key in places if name + end in operations)
        theirs = next((value for value in held if value is not None), None)
        if theirs is not None:
            ours, arranged = np.asarray(arrays[path]), KERNELS.get(kind)
            found = np.asarray(theirs)
            yield weight, ours, arranged(found, ours.shape) if arranged else found


def _attributes(graph: Graph, node: Node, found: Any) -> Iterator[tuple[str, Any, Any]]:
    """Name, expected and found value of what decides a node's answer beside its weights."""
    op: Any = node.operator
    if isinstance(op, (Conv, DepthwiseConv, SeparableConv, MaxPool, AveragePool)):
        pooling = isinstance(op, (MaxPool, AveragePool))
        window = op.size if pooling else extent(op.kernel, op.dilation)
        yield "strides", op.stride, _value(found, "strides")
        sides = graph.shape(node.inputs[0])[1:3]
        yield "margins", margins(op.padding, sides, window, op.stride), _value(found, "pad")
        if pooling:
            yield "window", op.size, _value(found, "kernel_sizes")
        else:
            groups = op.groups if isinstance(op, Conv) else graph.shape(node.inputs[0])[-1]
            yield "dilations", op.dilation, _value(found, "dilations")
            yield "groups", groups, _value(found, "groups")
    if isinstance(op, AveragePool):
        yield "padding that counts", False, not _value(found, "exclude_padding_from_average")
    if isinstance(op, (BatchNorm, LayerNorm)) and _value(found, "epsilon") is not None:
        epsilon = _value(found, "epsilon")
        yield "epsilon", np.asarray(op.epsilon, epsilon.dtype), epsilon
