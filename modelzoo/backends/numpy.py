"""Graph -> its outputs by NumPy in float64: the reference for proofs. Slow and plain, a function an operator.

An operator's function takes the operator, its weights by name and its inputs. Windows are not laid out in
memory: a kernel is walked place by place, and each place sees a part of the padded map.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelzoo.graph import Graph, Node, Operator
from modelzoo.graph.arrays import check_arrays
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.elementwise import (
    ELU,
    Activation,
    Add,
    Dropout,
    Function,
    LeakyReLU,
    Multiply,
    PReLU,
    ReLU,
    Subtract,
)
from modelzoo.graph.normalization import BatchNorm, ChannelScale, LayerNorm, Normalization, Rescale
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.shaping import (
    Concat,
    Cropping,
    Flatten,
    Permute,
    Reshape,
    SamePadding,
    UpSampling,
    ZeroPadding,
)
from modelzoo.graph.windows import Margins, Padding, Pair, extent, margins

Array = NDArray[np.float64]
Weights = Mapping[str, Array]  # of one operator, by their names in it


def run(
    graph: Graph,
    arrays: Mapping[str, NDArray[Any]],
    inputs: Mapping[str, NDArray[Any]],
    *,
    values: Collection[str] | None = None,
    rounded: bool = False,
) -> dict[str, Array]:
    """The outputs by name, in float64, whatever the dtypes of weights and inputs.

    arrays: the weights by path, "layer/weight". values: names of nodes, inputs or feature maps to
    give beside the outputs. rounded: every node's value is rounded to float32, as by a runtime that
    rounds nowhere else. Raises ValueError for missing arrays, inputs or names, and wrong shapes.
    """
    check_arrays(graph, arrays)
    _check_inputs(graph, inputs)
    given = {name: _value_name(graph, name) for name in values or ()} | dict(graph.outputs)
    waiting = Counter(name for node in graph.nodes for name in node.inputs) + Counter(given.values())
    found: dict[str, Array] = {name: np.asarray(inputs[name], np.float64) for name in graph.inputs}
    for node in graph.nodes:
        value = computed(node, arrays, [found[name] for name in node.inputs])
        found[node.name] = value.astype(np.float32).astype(np.float64) if rounded else value
        waiting.subtract(node.inputs)
        for name in node.inputs:
            if not waiting[name]:  # nobody needs it any more
                found.pop(name, None)
    return {name: found[value] for name, value in given.items()}


def computed(node: Node, arrays: Mapping[str, NDArray[Any]], inputs: Sequence[Array]) -> Array:
    """The value of one node on these inputs. Raises ValueError for an operator that has no function here."""
    compute = FUNCTIONS.get(type(node.operator))
    if compute is None:
        raise ValueError(
            f"Expected an operator of modelzoo's for {node.name!r}, got {type(node.operator).__name__}."
        )
    weights = {name: np.asarray(arrays[path], np.float64) for name, path in node.paths.items()}
    return compute(node.operator, weights, *inputs)


def _value_name(graph: Graph, name: str) -> str:
    value = graph.maps.get(name, name)
    if value not in graph.inputs and value not in graph.node:
        raise ValueError(f"Expected a node or a feature map of {graph.name}, got {name!r}.")
    return value


def _check_inputs(graph: Graph, inputs: Mapping[str, NDArray[Any]]) -> None:
    if inputs.keys() != graph.inputs.keys():
        expected, got = (", ".join(sorted(names)) or "none" for names in (graph.inputs, inputs))
        raise ValueError(f"Expected the inputs {expected} of {graph.name}, got {got}.")
    for name, shape in graph.inputs.items():
        found = inputs[name].shape
        if len(found) != len(shape) or any(
            side not in (None, new) for side, new in zip(shape, found, strict=True)
        ):
            raise ValueError(f"Expected {name} of shape {shape} for {graph.name}, got {found}.")


def _margins(padding: Padding, x: Array, window: Pair, stride: Pair) -> Margins:
    found = margins(padding, x.shape[1:3], window, stride)
    assert found is not None  # an array's sides are known
    return found


def _padded(x: Array, margins: Margins, value: float = 0.0) -> Array:
    return np.pad(x, ((0, 0), *margins, (0, 0)), constant_values=value)


def _places(x: Array, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> Iterator[tuple[Pair, Array]]:
    """Each place of a kernel, with what lies under it at all steps over a padded map."""
    window = extent(kernel, dilation)
    rows, columns = ((x.shape[axis + 1] - window[axis]) // stride[axis] + 1 for axis in (0, 1))
    for row, column in np.ndindex(*kernel):
        top, left = row * dilation[0], column * dilation[1]
        bottom, right = top + (rows - 1) * stride[0] + 1, left + (columns - 1) * stride[1] + 1
        yield (row, column), x[:, top : bottom : stride[0], left : right : stride[1]]


def _biased(x: Array, weights: Weights) -> Array:
    return x + weights["bias"] if "bias" in weights else x


def _conv(operator: Conv, weights: Weights, x: Array) -> Array:
    x = _windowed(operator, x)
    total = sum(
        _product(part, weights["kernel"][place], operator.groups)
        for place, part in _places(x, operator.kernel, operator.stride, operator.dilation)
    )
    return _biased(np.asarray(total), weights)


def _depthwise_conv(operator: DepthwiseConv, weights: Weights, x: Array) -> Array:
    return _biased(_depthwise(operator, weights["kernel"], x), weights)


def _separable_conv(operator: SeparableConv, weights: Weights, x: Array) -> Array:
    middle = _depthwise(operator, weights["depthwise_kernel"], x)
    return _biased(middle @ weights["pointwise_kernel"][0, 0], weights)


def _windowed(operator: Conv | DepthwiseConv | SeparableConv, x: Array) -> Array:
    """A convolution's input with its padding."""
    window = extent(operator.kernel, operator.dilation)
    return _padded(x, _margins(operator.padding, x, window, operator.stride))


def _product(x: Array, matrix: Array, groups: int) -> Array:
    """Each group of channels times its part of the matrix, (channels / groups, filters)."""
    grouped = x.reshape(-1, groups, matrix.shape[0]).transpose(1, 0, 2)
    parts = matrix.reshape(matrix.shape[0], groups, -1).transpose(1, 0, 2)
    return (grouped @ parts).transpose(1, 0, 2).reshape(*x.shape[:-1], matrix.shape[1])


def _depthwise(operator: DepthwiseConv | SeparableConv, kernel: Array, x: Array) -> Array:
    x = _windowed(operator, x)
    total = sum(
        part[..., None] * kernel[place]
        for place, part in _places(x, operator.kernel, operator.stride, operator.dilation)
    )
    total = np.asarray(total)
    return total.reshape(*total.shape[:3], -1)


def _transposed_conv(operator: TransposedConv, weights: Weights, x: Array) -> Array:
    """Every pixel adds its kernel to a larger map, of which the margins are left out."""
    sides = [(x.shape[axis + 1] - 1) * operator.stride[axis] + operator.kernel[axis] for axis in (0, 1)]
    _, height, width, _ = operator.shape(x.shape)
    assert height is not None
    assert width is not None
    larger = np.zeros((x.shape[0], *map(max, sides, (height, width)), operator.filters))
    for place, part in _places(larger[:, : sides[0], : sides[1]], operator.kernel, operator.stride):
        part += x @ weights["kernel"][place].T
    top, left = _cut(operator, (height, width))
    return _biased(larger[:, top : top + height, left : left + width], weights)


def _cut(operator: TransposedConv, sides: Pair) -> Pair:
    """What a transposed convolution leaves out at the top and on the left."""
    found = margins(operator.padding, sides, operator.kernel, operator.stride)
    assert found is not None
    return found[0][0], found[1][0]


def _dense(operator: Dense, weights: Weights, x: Array) -> Array:
    return _biased(x @ weights["kernel"], weights)


def _batch_norm(operator: BatchNorm, weights: Weights, x: Array) -> Array:
    deviation = np.sqrt(weights["moving_variance"] + operator.epsilon)
    return (x - weights["moving_mean"]) / deviation * weights.get("gamma", 1.0) + weights.get("beta", 0.0)


def _layer_norm(operator: LayerNorm, weights: Weights, x: Array) -> Array:
    centered = x - x.mean(axis=-1, keepdims=True)
    deviation = np.sqrt((centered**2).mean(axis=-1, keepdims=True) + operator.epsilon)
    return centered / deviation * weights.get("gamma", 1.0) + weights.get("beta", 0.0)


def _pooled(operator: MaxPool | AveragePool, x: Array, value: float) -> Iterator[Array]:
    """What lies under each place of a pooling's window; `value` where there is only padding."""
    x = _padded(x, _margins(operator.padding, x, operator.size, operator.stride), value)
    return (part for _, part in _places(x, operator.size, operator.stride))


def _max_pool(operator: MaxPool, weights: Weights, x: Array) -> Array:
    return functools.reduce(np.maximum, _pooled(operator, x, -math.inf))


def _average_pool(operator: AveragePool, weights: Weights, x: Array) -> Array:
    there = np.ones((1, *x.shape[1:3], 1))
    return np.asarray(sum(_pooled(operator, x, 0.0))) / np.asarray(sum(_pooled(operator, there, 0.0)))


def _global_pool(operator: GlobalPool, weights: Weights, x: Array) -> Array:
    reduced = {"avg": np.mean, "max": np.max}[operator.reduction]
    return reduced(x, axis=(1, 2), keepdims=operator.keep_sides)


def _upsampling(operator: UpSampling, weights: Weights, x: Array) -> Array:
    for axis, factor in enumerate(operator.size, start=1):
        if operator.interpolation == "nearest":
            x = x.repeat(factor, axis)
            continue
        last = x.shape[axis] - 1
        centers = ((np.arange(x.shape[axis] * factor) + 0.5) / factor - 0.5).clip(0, last)
        before = np.floor(centers).astype(int)
        share = (centers - before).reshape(-1, *(1,) * (x.ndim - axis - 1))
        x = x.take(before, axis) * (1 - share) + x.take(np.minimum(before + 1, last), axis) * share
    return x


def _cropping(operator: Cropping, weights: Weights, x: Array) -> Array:
    (top, bottom), (left, right) = operator.margins
    return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


def _same_padding(operator: SamePadding, weights: Weights, x: Array) -> Array:
    return _padded(x, _margins("same", x, operator.size, operator.stride))


def _exponential_below(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _relu(operator: ReLU, weights: Weights, x: Array) -> Array:
    return x.clip(0, operator.limit)


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _hard_sigmoid(x: Array) -> Array:
    return (x + 3).clip(0, 6) / 6


def _softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.vectorize(math.erf, otypes=[np.float64])(x / math.sqrt(2)))


ACTIVATIONS: dict[Function, Callable[[Array], Array]] = {
    "elu": _exponential_below,
    "gelu": _gelu,
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": lambda x: x * _hard_sigmoid(x),
    "linear": lambda x: x,
    "relu": lambda x: x.clip(0),
    "relu6": lambda x: x.clip(0, 6),
    "sigmoid": _sigmoid,
    "silu": lambda x: x * _sigmoid(x),
    "softmax": _softmax,
    "softplus": lambda x: np.logaddexp(x, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "tanh": np.tanh,
}

FUNCTIONS: dict[type[Operator], Callable[..., Array]] = {
    Conv: _conv,
    DepthwiseConv: _depthwise_conv,
    SeparableConv: _separable_conv,
    TransposedConv: _transposed_conv,
    Dense: _dense,
    BatchNorm: _batch_norm,
    LayerNorm: _layer_norm,
    ChannelScale: lambda op, weights, x: x * weights["kernel"],
    Normalization: lambda op, weights, x: (x - np.array(op.mean)) / np.sqrt(op.variance).clip(1e-7),
    Rescale: lambda op, weights, x: x * np.array(op.scale) + np.array(op.offset),
    Add: lambda op, weights, *inputs: functools.reduce(np.add, inputs),
    Multiply: lambda op, weights, *inputs: functools.reduce(np.multiply, inputs),
    Subtract: lambda op, weights, x, y: x - y,
    Concat: lambda op, weights, *inputs: np.concatenate(inputs, op.axis),
    MaxPool: _max_pool,
    AveragePool: _average_pool,
    GlobalPool: _global_pool,
    Activation: lambda op, weights, x: ACTIVATIONS[op.function](x),
    ReLU: _relu,
    LeakyReLU: lambda op, weights, x: np.where(x > 0, x, op.slope * x),
    ELU: lambda op, weights, x: _exponential_below(x, op.alpha),
    PReLU: lambda op, weights, x: np.where(x > 0, x, weights["alpha"] * x),
    Dropout: lambda op, weights, x: x,
    ZeroPadding: lambda op, weights, x: _padded(x, op.margins),
    SamePadding: _same_padding,
    Cropping: _cropping,
    Reshape: lambda op, weights, x: x.reshape(x.shape[0], *op.target),
    Flatten: lambda op, weights, x: x.reshape(x.shape[0], math.prod(x.shape[1:])),
    Permute: lambda op, weights, x: x.transpose(0, *op.axes),
    UpSampling: _upsampling,
}
