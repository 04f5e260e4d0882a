"""Networks with a planted fault: what converters did wrongly, each once.

A fault takes a network and gives it with the fault, and the name of the node that has it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np

from modelzoo import registry, zoo
from modelzoo.exporters.diff import causes
from modelzoo.graph import Builder, Graph, Operator
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv
from modelzoo.graph.elementwise import Activation, Add, ReLU
from modelzoo.graph.normalization import BatchNorm
from modelzoo.graph.passes.rewriting import rewritten
from modelzoo.graph.pooling import GlobalPool, MaxPool
from modelzoo.graph.shaping import ZeroPadding
from tests.operators import arrays_of

Arrays = dict[str, np.ndarray]
Network = tuple[Graph, Arrays]
Fault = Callable[[Graph, Arrays], tuple[Network, str]]

SMALL = "small"
REAL = ("resnet18_v1b", "mobilenet_0.25_128.keras")


def small() -> Network:
    """A network with everything that can be taken wrongly, all sides odd or uneven."""
    nn = Builder()
    x = nn.input("images", (None, 32, 32, 3))
    add = lambda operator, *inputs, name: nn.add_node(operator, *inputs, name=name, layer=name)  # noqa: E731
    x = add(ZeroPadding(((0, 1), (0, 1))), x, name="conv1_pad")
    x = add(Conv(8, (3, 3), (2, 2), bias=False), x, name="conv1")
    x = add(BatchNorm(1e-3), x, name="bn1")
    first = x = add(ReLU(), x, name="relu1")
    x = add(Conv(8, (3, 3), (2, 2), "same"), x, name="stage1_block1_conv1")
    x = add(Activation("relu"), x, name="stage1_block1_relu")
    x = add(DepthwiseConv((3, 3), padding="same"), x, name="stage1_block1_conv2")
    shortcut = add(MaxPool((1, 1), (2, 2)), first, name="stage1_block1_pool")
    x = add(Add(), x, shortcut, name="stage1_block1_add")
    x = add(BatchNorm(1e-3), x, name="bn2")
    x = add(GlobalPool(), x, name="pool")
    x = add(Dense(8), x, name="logits")
    output = add(Activation("softmax"), x, name="probabilities")
    graph = nn.graph(SMALL, {"probabilities": output})
    return graph, arrays_of(graph)


def network_of(name: str) -> Network:
    if name == SMALL:
        return small()
    entry, options = registry.info(name), zoo.NetworkOptions()
    graph = zoo.graph_of(entry, options)
    with zoo.values(entry, options, "synthetic", graph) as arrays:
        return graph, {path: np.array(array) for path, array in arrays.items()}


def images_of(graph: Graph) -> np.ndarray:
    ((_, height, width, channels),) = graph.inputs.values()
    return np.random.default_rng(0).standard_normal((1, height, width, channels)).astype(np.float32)


def nodes(graph: Graph, kind: type[Operator] | tuple[type[Operator], ...]) -> list:
    return [node for node in graph.nodes if isinstance(node.operator, kind)]


def with_operators(graph: Graph, changes: dict[str, Operator]) -> Graph:
    changed = {
        name: dataclasses.replace(graph.node[name], operator=operator) for name, operator in changes.items()
    }
    return rewritten(graph, changed, {})


def epsilon(graph: Graph, arrays: Arrays) -> tuple[Network, str]:
    node = nodes(graph, BatchNorm)[0]
    other = 1e-5 if node.operator.epsilon != 1e-5 else 1e-3
    every = {n.name: dataclasses.replace(n.operator, epsilon=other) for n in nodes(graph, BatchNorm)}
    return (with_operators(graph, every), arrays), node.name


def statistics(graph: Graph, arrays: Arrays) -> tuple[Network, str]:
    node = nodes(graph, BatchNorm)[1]
    defaults = {"moving_mean": 0.0, "moving_variance": 1.0}
    paths = {node.paths[name]: value for name, value in defaults.items()}
    changed = {path: np.full_like(arrays[path], value) for path, value in paths.items()}
    return (graph, arrays | changed), node.name


def kernel(graph: Graph, arrays: Arrays) -> tuple[Network, str]:
    node = [n for n in nodes(graph, (Conv, DepthwiseConv)) if n.operator.kernel != (1, 1)][1]
    path = node.paths["kernel"]
    return (graph, arrays | {path: np.ascontiguousarray(arrays[path].swapaxes(0, 1))}), node.name


def channels(graph: Graph, arrays: Arrays) -> tuple[Network, str]:
    node = nodes(graph, Conv)[0]
    path = node.paths["kernel"]
    return (graph, arrays | {path: np.ascontiguousarray(arrays[path][:, :, ::-1])}), node.name


def activation(graph: Graph, arrays: Arrays) -> tuple[Network, str]:
    node = nodes(graph, (ReLU, Activation))[1]
    return (with_operators(graph, {node.name: Activation("silu")}), arrays), node.name


def padding(graph: Graph, arrays: Arrays) -> tuple[Network, str]:
    """The pixels of an uneven padding on the other side, or those of an even one."""
    uneven = [n for n in nodes(graph, ZeroPadding) if n.operator.margins[0][0] != n.operator.margins[0][1]]
    if uneven:
        (top, bottom), (left, right) = uneven[0].operator.margins
        changed = {uneven[0].name: ZeroPadding(((bottom, top), (right, left)))}
        return (with_operators(graph, changed), arrays), uneven[0].name
    node = next(n for n in nodes(graph, Conv) if n.operator.stride == (2, 2) and n.operator.kernel != (1, 1))
    side = node.operator.kernel[0] - 1
    if node.operator.padding == "valid":  # a node before it pads
        before = graph.node[node.inputs[0]]
        size = side // 2
        changed = {before.name: ZeroPadding(((size - 1, size), (size - 1, size)))}
        return (with_operators(graph, changed), arrays), before.name
    other = dataclasses.replace(node.operator, padding="same")
    return (with_operators(graph, {node.name: other}), arrays), node.name


def stride(graph: Graph, arrays: Arrays) -> tuple[Network, str]:
    """The convolution after the one that strides does so instead."""
    kinds = nodes(graph, (Conv, DepthwiseConv))
    pairs = itertools.pairwise(kinds[1:])
    first, second = next(
        (a, b)
        for a, b in pairs
        if a.operator.stride == (2, 2) and b.operator.stride == (1, 1) and "shortcut" not in b.name
    )
    changes: dict[str, Operator] = {
        first.name: dataclasses.replace(first.operator, stride=(1, 1)),
        second.name: dataclasses.replace(second.operator, stride=(2, 2)),
    }
    return (with_operators(graph, changes), arrays), first.name


FAULTS: dict[str, Fault] = {
    causes.EPSILON: epsilon,
    causes.PADDING: padding,
    causes.STRIDE: stride,
    causes.CHANNELS: channels,
    causes.KERNEL: kernel,
    causes.STATISTICS: statistics,
    causes.ACTIVATION: activation,
}
