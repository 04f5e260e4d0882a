"""The graph's operators in Caffe's layers; what these cannot say exactly is refused by the node's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from modelzoo.exporters import caffe_windows as windows
from modelzoo.exporters.caffe_values import AXES, Site, numbers
from modelzoo.graph import Operator, Shape
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

SMALLEST_DEVIATION = 1e-7  # that Keras divides by
SIX = 6.0


# Single values


def _one(kind: str, **parameters: Any) -> Callable[..., str]:
    return lambda at, op, x: at.emit(kind, [x], parameters=parameters)


def _linear(at: Site, x: str, scale: float, shift: float, what: str = "") -> str:
    """scale * x + shift."""
    return at.emit("Power", [x], what, parameters={"power_param": {"scale": scale, "shift": shift}})


def _up_to(at: Site, x: str, limit: float, what: str = "") -> str:
    """max(x, 0), and not above the limit: limit - max(limit - max(x, 0), 0)."""
    positive = at.emit("ReLU", [x], f"{what}positive")
    below = at.emit("ReLU", [_linear(at, positive, -1.0, limit, f"{what}missing")], f"{what}below")
    return _linear(at, below, -1.0, limit, f"{what}limited" if what else "")


def _hard_sigmoid(at: Site, x: str, what: str = "") -> str:
    limited = _up_to(at, _linear(at, x, 1.0, 3.0, "plus_3"), SIX, "gate_")
    return _linear(at, limited, 1 / SIX, 0.0, what)


def _times(at: Site, x: str, function: str) -> str:
    return at.emit("Eltwise", [x, function], parameters={"eltwise_param": {"operation": "PROD"}})


FUNCTIONS: dict[str, Callable[..., str]] = {
    "elu": _one("ELU"),
    "hard_sigmoid": lambda at, op, x: _hard_sigmoid(at, x),
    "hard_silu": lambda at, op, x: _times(at, x, _hard_sigmoid(at, x, "hard_sigmoid")),
    "linear": lambda at, op, x: x,
    "relu": _one("ReLU"),
    "relu6": lambda at, op, x: _up_to(at, x, SIX),
    "sigmoid": _one("Sigmoid"),
    "silu": lambda at, op, x: _times(at, x, at.emit("Sigmoid", [x], "sigmoid")),
    "softmax": _one("Softmax", softmax_param={"axis": 1}),
    "softplus": _one("BNLL"),
    "tanh": _one("TanH"),
}


def _activation(at: Site, op: Activation, x: str) -> str:
    if op.function not in FUNCTIONS:
        at.refuse(f"Caffe has no {op.function}")
    return FUNCTIONS[op.function](at, op, x)


def _relu(at: Site, op: ReLU, x: str) -> str:
    return at.emit("ReLU", [x]) if op.limit is None else _up_to(at, x, float(op.limit))


def _leaky_relu(at: Site, op: LeakyReLU, x: str) -> str:
    return at.emit("ReLU", [x], parameters={"relu_param": {"negative_slope": float(op.slope)}})


def _elu(at: Site, op: ELU, x: str) -> str:
    return at.emit("ELU", [x], parameters={"elu_param": {"alpha": float(op.alpha)}})


def _prelu(at: Site, op: PReLU, x: str) -> str:
    size = at.size("alpha")
    if size[:-1] != (1,) * (len(size) - 1) or size[-1] != channels_of(at.shape):
        at.refuse("Caffe's has one slope a channel")
    return at.emit("PReLU", [x], blobs=[at.blob("alpha", size[-1:], lambda array: array.reshape(-1))])


# Values with weights or constants, each by itself or with those at its place


def _scaled(at: Site, x: str, scale: Any, shift: Any) -> str:
    """scale * x + shift, each of one value a channel, as blobs."""
    parameters = {"scale_param": {"axis": 1, "bias_term": shift is not None}}
    blobs = [scale] if shift is None else [scale, shift]
    return at.emit("Scale", [x], blobs=blobs, parameters=parameters)


def _batch_norm(at: Site, op: BatchNorm, x: str) -> str:
    """Two layers: Caffe's BatchNorm has neither scale nor center. The others are over its third blob."""
    channels = channels_of(at.shape)
    blobs = [at.blob("moving_mean"), at.blob("moving_variance"), numbers(np.ones(1, np.float32))]
    parameters = {"batch_norm_param": {"use_global_stats": True, "eps": float(op.epsilon)}}
    normed = at.emit("BatchNorm", [x], "normed", blobs=blobs, parameters=parameters)
    scale = at.blob("gamma") if op.scale else numbers(np.ones(channels, np.float32))
    return _scaled(at, normed, scale, at.blob("beta") if op.center else None)


def _channel_scale(at: Site, op: ChannelScale, x: str) -> str:
    return _scaled(at, x, at.blob("kernel"), None)


def _normalization(at: Site, op: Normalization, x: str) -> str:
    deviation = np.maximum(np.sqrt(np.array(op.variance, np.float64)), SMALLEST_DEVIATION)
    return _scaled(at, x, numbers(1 / deviation), numbers(-np.array(op.mean, np.float64) / deviation))


def _rescale(at: Site, op: Rescale, x: str) -> str:
    if isinstance(op.scale, tuple) or isinstance(op.offset, tuple):
        channels = (channels_of(at.shape),)
        found = [np.broadcast_to(np.array(value, np.float64), channels) for value in (op.scale, op.offset)]
        return _scaled(at, x, *map(numbers, found))
    return _linear(at, x, float(op.scale), float(op.offset))


def _combined(operation: str) -> Callable[..., str]:
    def combined(at: Site, op: Operator, *inputs: str) -> str:
        if len(set(at.shapes)) > 1 and operation == "PROD" and len(inputs) == 2:
            return _gated(at, inputs)
        if len(set(at.shapes)) > 1:
            at.refuse(f"Caffe combines values of one shape, not {', '.join(map(str, at.shapes))}")
        facts: dict[str, Any] = {"operation": operation}
        if isinstance(op, Subtract):
            facts["coeff"] = [1, -1]
        return at.emit("Eltwise", inputs, parameters={"eltwise_param": facts})

    return combined


def _gated(at: Site, inputs: tuple[str, ...]) -> str:
    """A map times one value a channel of each image."""
    (small, gate), (large, x) = sorted(zip(at.shapes, inputs, strict=True), key=lambda pair: _size(pair[0]))
    if len(small) != 4 or small[1:3] != (1, 1) or small[3] != large[3]:
        at.refuse(f"Caffe has no product of {large} and {small}")
    flat = at.emit("Flatten", [gate], "gate")
    return at.emit("Scale", [x, flat], parameters={"scale_param": {"axis": 0, "bias_term": False}})


def _size(shape: Shape) -> int:
    return sum(side or 0 for side in shape)


# Shapes


def _cropping(at: Site, op: Cropping, x: str) -> str:
    for axis, (side, (before, after)) in enumerate(zip(at.sides, op.margins, strict=True), start=2):
        x = at.cut(x, axis, before, side - after, side)
    return x


def _concat(at: Site, op: Concat, *inputs: str) -> str:
    axis = op.axis % len(at.shape)
    if axis == 0:
        at.refuse("images stay apart")
    axis = AXES[axis] if len(at.shape) == 4 else axis
    return at.emit("Concat", inputs, parameters={"concat_param": {"axis": axis}})


def _flatten(at: Site, op: Flatten, x: str) -> str:
    return _reshaped(at, x)


def _reshape(at: Site, op: Reshape, x: str) -> str:
    return _reshaped(at, x)


def _permute(at: Site, op: Permute, x: str) -> str:
    return _reshaped(at, x)


def _reshaped(at: Site, x: str) -> str:
    """Only between vectors and maps of one pixel: others have another order of values in Caffe."""
    before, after = at.shape, at.node.shape
    if before == after and not isinstance(at.node.operator, Permute):
        return x
    if not all(len(shape) == 2 or shape[1:-1] == (1, 1) for shape in (before, after)):
        at.refuse(f"Caffe has the channels first, so that {before} to {after} would be in another order")
    if len(after) == 2:
        return at.emit("Flatten", [x])
    sides = [0, channels_of(after), 1, 1]
    return at.emit("Reshape", [x], parameters={"reshape_param": {"shape": {"dim": sides}}})


def _upsampling(at: Site, op: UpSampling, x: str) -> str:
    if op.interpolation != "nearest":
        at.refuse("Caffe enlarges by repeating only")
    channels, (height, width) = channels_of(at.shape), op.size
    ones = numbers(np.ones((channels, 1, height, width), np.float32))
    facts = {
        "num_output": channels,
        "group": channels,
        "bias_term": False,
        "kernel_h": height,
        "kernel_w": width,
    }
    facts |= {"stride_h": height, "stride_w": width}
    return at.emit("Deconvolution", [x], blobs=[ones], parameters={"convolution_param": facts})


def _refused(reason: str) -> Callable[..., str]:
    def refused(at: Site, op: Operator, *inputs: str) -> str:
        at.refuse(reason)

    return refused


OPERATIONS: dict[type[Operator], Callable[..., str]] = {
    Conv: windows.conv,
    DepthwiseConv: windows.depthwise_conv,
    SeparableConv: windows.separable_conv,
    TransposedConv: windows.transposed_conv,
    Dense: windows.dense,
    BatchNorm: _batch_norm,
    LayerNorm: _refused("Caffe has no norm over the channels of each place"),
    ChannelScale: _channel_scale,
    Normalization: _normalization,
    Rescale: _rescale,
    Add: _combined("SUM"),
    Multiply: _combined("PROD"),
    Subtract: _combined("SUM"),
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
