"""Operators in PyTorch: what does not move windows over a map.

An operation takes the operator, its weights by name, and its inputs. Values of four axes have the channels
second, where graphs have them last; all others are as in the graph.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import numpy as np

from modelzoo.backends import torch_windows as windows
from modelzoo.backends.torch_import import Tensor, functional, torch
from modelzoo.graph import Node, Operator
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

Weights = Mapping[str, Tensor]  # of one operator, by their names in it
MAP = 4  # axes of images and feature maps
SMALLEST_DEVIATION = 1e-7  # that Keras divides by


def constants(node: Node) -> dict[str, np.ndarray]:
    """What an operator computes with that is no weight, one value a channel: float32."""
    operator = node.operator
    found: dict[str, np.ndarray] = {}
    if isinstance(operator, Normalization):
        deviation = np.maximum(np.sqrt(np.array(operator.variance)), SMALLEST_DEVIATION)
        found = {"mean": np.array(operator.mean), "deviation": deviation}
    if isinstance(operator, Rescale):
        both = {"scale": operator.scale, "offset": operator.offset}
        found = {name: np.array(value) for name, value in both.items() if isinstance(value, tuple)}
    return {name: array.astype(np.float32) for name, array in found.items()}


def each_channel(values: Tensor, x: Tensor) -> Tensor:
    """One value a channel in the shape that meets a value."""
    return values.reshape(-1, 1, 1) if x.ndim == MAP else values


def channels_last(x: Tensor) -> Tensor:
    """A value as the graph has it."""
    return x.permute(0, 2, 3, 1) if x.ndim == MAP else x


def channels_first(x: Tensor) -> Tensor:
    """A value of the graph's as PyTorch has it."""
    return x.permute(0, 3, 1, 2) if x.ndim == MAP else x


def _dense(op: Dense, weights: Weights, x: Tensor) -> Tensor:
    return channels_first(functional.linear(channels_last(x), weights["kernel"], weights.get("bias")))


def _batch_norm(op: BatchNorm, weights: Weights, x: Tensor) -> Tensor:
    last = x.ndim - 1
    turned = x.movedim(-1, 1) if x.ndim != MAP and last != 1 else x
    mean, variance = weights["moving_mean"], weights["moving_variance"]
    scale, shift = weights.get("gamma"), weights.get("beta")
    y = functional.batch_norm(turned, mean, variance, scale, shift, False, 0.0, op.epsilon)
    return y.movedim(1, -1) if turned is not x else y


def _layer_norm(op: LayerNorm, weights: Weights, x: Tensor) -> Tensor:
    x = channels_last(x)
    y = functional.layer_norm(x, (x.shape[-1],), weights.get("gamma"), weights.get("beta"), op.epsilon)
    return channels_first(y)


def _normalization(op: Normalization, weights: Weights, x: Tensor) -> Tensor:
    return (x - each_channel(weights["mean"], x)) / each_channel(weights["deviation"], x)


def _rescale(op: Rescale, weights: Weights, x: Tensor) -> Tensor:
    for name, number in (("scale", op.scale), ("offset", op.offset)):
        value = each_channel(weights[name], x) if isinstance(number, tuple) else number
        x = x * value if name == "scale" else x + value
    return x


def _prelu(op: PReLU, weights: Weights, x: Tensor) -> Tensor:
    return torch.where(x > 0, x, weights["alpha"] * x)


def _concat(op: Concat, weights: Weights, *inputs: Tensor) -> Tensor:
    rank = inputs[0].ndim
    axis = op.axis % rank
    return torch.cat(inputs, {0: 0, 1: 2, 2: 3, 3: 1}[axis] if rank == MAP else axis)


def _reshape(op: Reshape, weights: Weights, x: Tensor) -> Tensor:
    return channels_first(channels_last(x).reshape(x.shape[0], *op.target))


def _flatten(op: Flatten, weights: Weights, x: Tensor) -> Tensor:
    return channels_last(x).flatten(1)


def _permute(op: Permute, weights: Weights, x: Tensor) -> Tensor:
    return channels_first(channels_last(x).permute(0, *op.axes))


def _softmax(x: Tensor) -> Tensor:
    return x.softmax(1 if x.ndim == MAP else -1)


def _gelu_tanh(x: Tensor) -> Tensor:
    return functional.gelu(x, approximate="tanh")


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": functional.elu,
    "gelu": functional.gelu,
    "gelu_tanh": _gelu_tanh,
    "hard_sigmoid": functional.hardsigmoid,
    "hard_silu": functional.hardswish,
    "linear": lambda x: x,
    "relu": torch.relu,
    "relu6": functional.relu6,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "softmax": _softmax,
    "softplus": functional.softplus,
    "softsign": functional.softsign,
    "tanh": torch.tanh,
}

OPERATIONS: dict[type[Operator], Callable[..., Tensor]] = {
    Conv: windows.conv,
    DepthwiseConv: windows.depthwise_conv,
    SeparableConv: windows.separable_conv,
    TransposedConv: windows.transposed_conv,
    Dense: _dense,
    BatchNorm: _batch_norm,
    LayerNorm: _layer_norm,
    ChannelScale: lambda op, weights, x: x * each_channel(weights["kernel"], x),
    Normalization: _normalization,
    Rescale: _rescale,
    Add: lambda op, weights, *inputs: functools.reduce(torch.add, inputs),
    Multiply: lambda op, weights, *inputs: functools.reduce(torch.mul, inputs),
    Subtract: lambda op, weights, x, y: x - y,
    Concat: _concat,
    MaxPool: windows.max_pool,
    AveragePool: windows.average_pool,
    GlobalPool: windows.global_pool,
    Activation: lambda op, weights, x: ACTIVATIONS[op.function](x),
    ReLU: lambda op, weights, x: torch.relu(x) if op.limit is None else x.clamp(0, op.limit),
    LeakyReLU: lambda op, weights, x: functional.leaky_relu(x, op.slope),
    ELU: lambda op, weights, x: functional.elu(x, op.alpha),
    PReLU: _prelu,
    Dropout: lambda op, weights, x: x,
    ZeroPadding: lambda op, weights, x: windows.padded(x, op.margins),
    SamePadding: lambda op, weights, x: windows.padded(x, windows.same(x, op.size, op.stride)),
    Cropping: windows.cropping,
    Reshape: _reshape,
    Flatten: _flatten,
    Permute: _permute,
    UpSampling: windows.upsampling,
}
