"""Convolutions and poolings in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelzoo.backends.kernels import outputs_first
from modelzoo.exporters.onnx_values import CHANNELS_FIRST, Site, Value, plain
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.windows import Padding, Pair, extent, margins


def _window(at: Site, padding: Padding, size: Pair, stride: Pair) -> dict[str, Any]:
    """The attributes of windows that move over a map. "same" depends on sides that may not be known."""
    own = margins(padding, at.shapes[0][1:3], size, stride)
    if own is None:
        return {"strides": stride, "auto_pad": "SAME_UPPER"}
    (top, bottom), (left, right) = own
    return {"strides": stride, "pads": (top, left, bottom, right)}


def _bias(at: Site) -> list[str]:
    return [at.weight("bias")] if at.has("bias") else []


def _first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a kernel (height, width, a, b) with b and a first."""
    height, width, a, b = shape
    return b, a, height, width


def conv(at: Site, op: Conv, x: Value) -> Value:
    size = extent(op.kernel, op.dilation)
    kernel = at.weight("kernel", _first(at.size("kernel")), outputs_first)
    inputs = [at.channels_first(x), kernel, *_bias(at)]
    window = _window(at, op.padding, size, op.stride) | {"dilations": op.dilation, "group": op.groups}
    return Value(at.emit("Conv", inputs, kernel_shape=op.kernel, **window), CHANNELS_FIRST)


def _each_convolved(
    at: Site, op: DepthwiseConv | SeparableConv, x: Value, weight: str, bias: list[str], what: str = ""
) -> str:
    """Each channel convolved by itself."""
    height, width, channels, multiplier = at.size(weight)

    def arranged(kernel: np.ndarray) -> np.ndarray:
        return kernel.transpose(2, 3, 0, 1).reshape(-1, 1, height, width)

    kernel = at.weight(weight, (channels * multiplier, 1, height, width), arranged)
    window = _window(at, op.padding, extent(op.kernel, op.dilation), op.stride)
    window |= {"dilations": op.dilation, "group": channels, "kernel_shape": op.kernel}
    return at.emit("Conv", [at.channels_first(x), kernel, *bias], what, **window)


def depthwise_conv(at: Site, op: DepthwiseConv, x: Value) -> Value:
    return Value(_each_convolved(at, op, x, "kernel", _bias(at)), CHANNELS_FIRST)


def separable_conv(at: Site, op: SeparableConv, x: Value) -> Value:
    each = _each_convolved(at, op, x, "depthwise_kernel", [], "depthwise")
    kernel = at.weight("pointwise_kernel", _first(at.size("pointwise_kernel")), outputs_first)
    return Value(at.emit("Conv", [each, kernel, *_bias(at)], kernel_shape=(1, 1)), CHANNELS_FIRST)


def transposed_conv(at: Site, op: TransposedConv, x: Value) -> Value:
    pads, missing = ((0, 0), (0, 0)), [0, 0]
    if not isinstance(op.padding, str):
        pads = op.padding
    else:  # a stride beyond the kernel's side leaves gaps, one of them after the last pixel
        beyond = [side - step for side, step in zip(op.kernel, op.stride, strict=True)]
        missing = [max(-side, 0) for side in beyond]
        if op.padding == "same":
            height, width = (max(side, 0) for side in beyond)
            pads = (height // 2, height - height // 2), (width // 2, width - width // 2)
    (top, bottom), (left, right) = pads
    kernel = at.weight("kernel", _first(at.size("kernel")), outputs_first)
    output = at.emit(
        "ConvTranspose",
        [at.channels_first(x), kernel, *_bias(at)],
        kernel_shape=op.kernel,
        strides=op.stride,
        pads=(top, left, bottom, right),
        output_padding=missing,
    )
    return Value(output, CHANNELS_FIRST)


def dense(at: Site, op: Dense, x: Value) -> Value:
    """Its kernel stays as it is: it may be the largest of all, and no copy is made of it."""
    inputs, order = [at.plain(x), at.weight("kernel")], plain(len(x.order))
    if len(order) == 2 and (op.bias or at.values.opset >= 11):
        return Value(at.emit("Gemm", [*inputs, *_bias(at)]), order)
    if not op.bias:
        return Value(at.emit("MatMul", inputs), order)
    return Value(at.emit("Add", [at.emit("MatMul", inputs, "product"), *_bias(at)]), order)


def max_pool(at: Site, op: MaxPool, x: Value) -> Value:
    window = _window(at, op.padding, op.size, op.stride)
    return Value(at.emit("MaxPool", [at.channels_first(x)], kernel_shape=op.size, **window), CHANNELS_FIRST)


def average_pool(at: Site, op: AveragePool, x: Value) -> Value:
    """Of what it pads ONNX counts nothing unless it is told to."""
    window = _window(at, op.padding, op.size, op.stride)
    output = at.emit("AveragePool", [at.channels_first(x)], kernel_shape=op.size, **window)
    return Value(output, CHANNELS_FIRST)


def global_pool(at: Site, op: GlobalPool, x: Value) -> Value:
    kind = {"avg": "ReduceMean", "max": "ReduceMax"}[op.reduction]
    axes = (x.order.index(1), x.order.index(2))
    output = at.emit(kind, [x.tensor], axes=axes, keepdims=int(op.keep_sides))
    kept = x.order if op.keep_sides else tuple(min(axis, 1) for axis in x.order if axis in (0, 3))
    return Value(output, kept)
