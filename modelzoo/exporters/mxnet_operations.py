"""The graph's operators in MXNet's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modelzoo.exporters import mxnet_windows as windows
from modelzoo.exporters.onnx_values import CHANNELS_FIRST, Site, Value, common_order, plain
from modelzoo.graph import Operator
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.elementwise import (
    ELU,
    Activation,
    Add,
    Dropout,
    LeakyReLU,
    Multiply,
    PReLU,
    ReLU,
    Subtract,
)
from modelzoo.graph.normalization import BatchNorm, ChannelScale, LayerNorm, Normalization, Rescale
from modelzoo.graph.operator import channels_of
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

AUXILIARY = {"BatchNorm": 3}  # the place from which on an operator's inputs are what training only records
SMALLEST_DEVIATION = 1e-7  # that Keras divides by


# Single values


def _one(kind: str, **attributes: Any) -> Callable[..., Value]:
    return lambda at, op, x: Value(at.emit(kind, [x.tensor], **attributes), x.order)


def _times(at: Site, x: Value, function: str) -> Value:
    return Value(at.emit("elemwise_mul", [x.tensor, function]), x.order)


def _hard_sigmoid(at: Site, x: Value, what: str = "") -> str:
    return at.emit("hard_sigmoid", [x.tensor], what, alpha=1 / 6, beta=0.5)


def _gelu_tanh(at: Site, op: Activation, x: Value) -> Value:
    """x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x ** 3)))."""
    cube = at.emit("_power_scalar", [x.tensor], "cube", scalar=3.0)
    part = at.emit("_mul_scalar", [cube], "part", scalar=0.044715)
    total = at.emit("elemwise_add", [x.tensor, part], "total")
    scaled = at.emit("_mul_scalar", [total], "scaled", scalar=math.sqrt(2 / math.pi))
    more = at.emit("_plus_scalar", [at.emit("tanh", [scaled], "tanh")], "more", scalar=1.0)
    half = at.emit("_mul_scalar", [x.tensor], "half", scalar=0.5)
    return Value(at.emit("elemwise_mul", [half, more]), x.order)


def _softmax(at: Site, op: Activation, x: Value) -> Value:
    return Value(at.emit("softmax", [x.tensor], axis=x.order.index(len(x.order) - 1)), x.order)


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "elu": _one("LeakyReLU", act_type="elu", slope=1.0),
    "gelu": _one("LeakyReLU", act_type="gelu"),
    "gelu_tanh": _gelu_tanh,
    "hard_sigmoid": lambda at, op, x: Value(_hard_sigmoid(at, x), x.order),
    "hard_silu": lambda at, op, x: _times(at, x, _hard_sigmoid(at, x, "hard_sigmoid")),
    "linear": lambda at, op, x: x,
    "relu": _one("Activation", act_type="relu"),
    "relu6": _one("clip", a_min=0.0, a_max=6.0),
    "sigmoid": _one("Activation", act_type="sigmoid"),
    "silu": lambda at, op, x: _times(at, x, at.emit("sigmoid", [x.tensor], "sigmoid")),
    "softmax": _softmax,
    "softplus": _one("Activation", act_type="softrelu"),
    "softsign": _one("Activation", act_type="softsign"),
    "tanh": _one("Activation", act_type="tanh"),
}


def _activation(at: Site, op: Activation, x: Value) -> Value:
    return FUNCTIONS[op.function](at, op, x)


def _relu(at: Site, op: ReLU, x: Value) -> Value:
    if op.limit is None:
        return FUNCTIONS["relu"](at, op, x)
    return _one("clip", a_min=0.0, a_max=float(op.limit))(at, op, x)


def _leaky_relu(at: Site, op: LeakyReLU, x: Value) -> Value:
    return _one("LeakyReLU", act_type="leaky", slope=float(op.slope))(at, op, x)


def _elu(at: Site, op: ELU, x: Value) -> Value:
    return _one("LeakyReLU", act_type="elu", slope=float(op.alpha))(at, op, x)


def _prelu(at: Site, op: PReLU, x: Value) -> Value:
    """MXNet's own has one slope a channel; here each value may have its own."""
    shape = (1, *at.size("alpha"))
    arranged = [shape[axis] for axis in x.order]
    alpha = at.weight("alpha", arranged, lambda array: array[np.newaxis].transpose(x.order), x.order)
    positive = at.emit("relu", [x.tensor], "positive")
    negative = at.emit("elemwise_sub", [x.tensor, positive], "negative")
    below = at.emit("broadcast_mul", [negative, alpha], "below")
    return Value(at.emit("elemwise_add", [positive, below]), x.order)


# Values with weights or constants, each by itself or with those at its place


def _batch_norm(at: Site, op: BatchNorm, x: Value) -> Value:
    shape = at.size("moving_mean")
    gamma = at.weight("gamma") if op.scale else at.numbers("ones", np.ones(shape))
    beta = at.weight("beta") if op.center else at.numbers("zeros", np.zeros(shape))
    inputs = [x.tensor, gamma, beta, at.weight("moving_mean"), at.weight("moving_variance")]
    facts = {"eps": float(op.epsilon), "momentum": float(op.momentum), "fix_gamma": False}
    return Value(at.emit("BatchNorm", inputs, axis=x.order.index(len(x.order) - 1), **facts), x.order)


def _layer_norm(at: Site, op: LayerNorm, x: Value) -> Value:
    shape = (channels_of(at.shapes[0]),)
    gamma = at.weight("gamma") if op.scale else at.numbers("ones", np.ones(shape))
    beta = at.weight("beta") if op.center else at.numbers("zeros", np.zeros(shape))
    output = at.emit("LayerNorm", [at.plain(x), gamma, beta], axis=-1, eps=float(op.epsilon))
    return Value(output, plain(len(x.order)))


def _constant(at: Site, what: str, value: Any, order: tuple[int, ...]) -> str:
    """A constant of the operator's own: one number, or one a channel."""
    array = np.asarray(value, np.float64)
    return at.numbers(what, array.reshape(at.each_channel(array.size, order)))


def _normalization(at: Site, op: Normalization, x: Value) -> Value:
    deviation = np.maximum(np.sqrt(np.array(op.variance, np.float64)), SMALLEST_DEVIATION)
    mean = _constant(at, "mean", op.mean, x.order)
    centered = at.emit("broadcast_sub", [x.tensor, mean], "centered")
    output = at.emit("broadcast_div", [centered, _constant(at, "deviation", deviation, x.order)])
    return Value(output, x.order)


def _rescale(at: Site, op: Rescale, x: Value) -> Value:
    scale, offset = _constant(at, "scale", op.scale, x.order), _constant(at, "offset", op.offset, x.order)
    scaled = at.emit("broadcast_mul", [x.tensor, scale], "scaled")
    return Value(at.emit("broadcast_add", [scaled, offset]), x.order)


def _channel_scale(at: Site, op: ChannelScale, x: Value) -> Value:
    shape = at.each_channel(at.size("kernel")[0], x.order)
    kernel = at.weight("kernel", shape, lambda array: array.reshape(shape))
    return Value(at.emit("broadcast_mul", [x.tensor, kernel]), x.order)


def _combined(kind: str) -> Callable[..., Value]:
    def combined(at: Site, op: Operator, *inputs: Value) -> Value:
        order = common_order(inputs)
        result, *others = (at.values.in_order(value, order) for value in inputs)
        for number, other in enumerate(others, start=1):
            result = at.emit(kind, [result, other], "" if number == len(others) else str(number))
        return Value(result, order)

    return combined


# Shapes


def _cropping(at: Site, op: Cropping, x: Value) -> Value:
    (top, bottom), (left, right) = op.margins
    bounds = {1: (top, -bottom or None), 2: (left, -right or None)}
    begin, end = ([bounds.get(axis, (0, None))[side] for axis in x.order] for side in (0, 1))
    return Value(at.emit("slice", [x.tensor], begin=_listed(begin), end=_listed(end)), x.order)


def _listed(bounds: Sequence[int | None]) -> str:
    return f"({', '.join(map(str, bounds))})"


def _concat(at: Site, op: Concat, *inputs: Value) -> Value:
    order = common_order(inputs)
    tensors = [at.values.in_order(x, order) for x in inputs]
    axis = order.index(op.axis % len(order))
    return Value(at.emit("Concat", tensors, dim=axis, num_args=len(tensors)), order)


def _reshape(at: Site, op: Reshape, x: Value) -> Value:
    output = at.emit("Reshape", [at.plain(x)], shape=(0, *op.target))  # 0 is the input's batch
    return Value(output, plain(1 + len(op.target)))


def _flatten(at: Site, op: Flatten, x: Value) -> Value:
    return Value(at.emit("Flatten", [at.plain(x)]), plain(2))


def _permute(at: Site, op: Permute, x: Value) -> Value:
    """Nothing moves: the same axes have other names from now on."""
    axes = (0, *op.axes)
    return Value(x.tensor, tuple(axes.index(axis) for axis in x.order))


def _upsampling(at: Site, op: UpSampling, x: Value) -> Value:
    height, width = op.size
    if op.interpolation == "nearest":
        rows = at.emit("repeat", [at.channels_first(x)], "rows", repeats=height, axis=2)
        return Value(at.emit("repeat", [rows], repeats=width, axis=3), CHANNELS_FIRST)
    facts = {
        "scale_height": float(height),
        "scale_width": float(width),
        "mode": "size",
        "align_corners": False,
    }
    return Value(at.emit("_contrib_BilinearResize2D", [at.channels_first(x)], **facts), CHANNELS_FIRST)


OPERATIONS: dict[type[Operator], Callable[..., Value]] = {
    Conv: windows.conv,
    DepthwiseConv: windows.depthwise_conv,
    SeparableConv: windows.separable_conv,
    TransposedConv: windows.transposed_conv,
    Dense: windows.dense,
    BatchNorm: _batch_norm,
    LayerNorm: _layer_norm,
    ChannelScale: _channel_scale,
    Normalization: _normalization,
    Rescale: _rescale,
    Add: _combined("broadcast_add"),
    Multiply: _combined("broadcast_mul"),
    Subtract: _combined("broadcast_sub"),
    Concat: _concat,
    MaxPool: windows.max_pool,
    AveragePool: windows.average_pool,
    GlobalPool: windows.global_pool,
    Activation: _activation,
    ReLU: _relu,
    LeakyReLU: _leaky_relu,
    ELU: _elu,
    PReLU: _prelu,
    Dropout: lambda at, op, x: x,
    ZeroPadding: windows.zero_padding,
    SamePadding: windows.same_padding,
    Cropping: _cropping,
    Reshape: _reshape,
    Flatten: _flatten,
    Permute: _permute,
    UpSampling: _upsampling,
}
