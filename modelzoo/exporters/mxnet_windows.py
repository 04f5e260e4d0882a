"""Convolutions and poolings in MXNet, which pads both ends of a side alike; other padding comes before."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelzoo.backends.kernels import outputs_first
from modelzoo.exporters.onnx_values import CHANNELS_FIRST, Site, Value, plain
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.shaping import SamePadding, ZeroPadding
from modelzoo.graph.windows import Margins, Padding, Pair, extent, margins

LOWEST = float(np.finfo(np.float32).min)


def _margins(at: Site, padding: Padding, size: Pair, stride: Pair) -> Margins:
    """The pixels around a map; raises ValueError where they depend on an unknown side."""
    found = margins(padding, at.shapes[0][1:3], size, stride)
    if found is None:
        raise ValueError(f"Name both sides of input_shape, on which the padding of {at.node.name!r} depends.")
    return found


def _padded(at: Site, x: str, around: Margins, value: float = 0.0, what: str = "padded") -> str:
    (top, bottom), (left, right) = around
    widths = (0, 0, 0, 0, top, bottom, left, right)
    return at.emit("Pad", [x], what, mode="constant", pad_width=widths, constant_value=value)


def _window(at: Site, x: str, around: Margins, value: float = 0.0) -> tuple[str, Pair]:
    """The map, padded if its ends differ, and what is left to be padded at both ends of each side."""
    (top, bottom), (left, right) = around
    if (top, left) == (bottom, right):
        return x, (top, left)
    return _padded(at, x, around, value), (0, 0)


def _first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a kernel (height, width, a, b) with b and a first."""
    height, width, a, b = shape
    return b, a, height, width


def _bias(at: Site) -> tuple[list[str], dict[str, Any]]:
    return ([at.weight("bias")] if at.has("bias") else []), {"no_bias": not at.has("bias")}


def conv(at: Site, op: Conv, x: Value) -> Value:
    around = _margins(at, op.padding, extent(op.kernel, op.dilation), op.stride)
    padded, pad = _window(at, at.channels_first(x), around)
    bias, facts = _bias(at)
    kernel = at.weight("kernel", _first(at.size("kernel")), outputs_first)
    facts |= {"kernel": op.kernel, "stride": op.stride, "dilate": op.dilation, "pad": pad}
    facts |= {"num_filter": op.filters, "num_group": op.groups}
    return Value(at.emit("Convolution", [padded, kernel, *bias], **facts), CHANNELS_FIRST)


def _each_convolved(at: Site, op: DepthwiseConv | SeparableConv, x: Value, weight: str) -> tuple[Any, ...]:
    """What convolves each channel by itself: the map, the kernel and the attributes."""
    height, width, channels, multiplier = at.size(weight)
    around = _margins(at, op.padding, extent(op.kernel, op.dilation), op.stride)
    padded, pad = _window(at, at.channels_first(x), around)

    def arranged(kernel: np.ndarray) -> np.ndarray:
        return kernel.transpose(2, 3, 0, 1).reshape(-1, 1, height, width)

    kernel = at.weight(weight, (channels * multiplier, 1, height, width), arranged)
    facts = {"kernel": op.kernel, "stride": op.stride, "dilate": op.dilation, "pad": pad}
    return padded, kernel, facts | {"num_filter": channels * multiplier, "num_group": channels}


def depthwise_conv(at: Site, op: DepthwiseConv, x: Value) -> Value:
    padded, kernel, facts = _each_convolved(at, op, x, "kernel")
    bias, more = _bias(at)
    return Value(at.emit("Convolution", [padded, kernel, *bias], **facts, **more), CHANNELS_FIRST)


def separable_conv(at: Site, op: SeparableConv, x: Value) -> Value:
    padded, kernel, facts = _each_convolved(at, op, x, "depthwise_kernel")
    each = at.emit("Convolution", [padded, kernel], "depthwise", **facts, no_bias=True)
    pointwise = at.weight("pointwise_kernel", _first(at.size("pointwise_kernel")), outputs_first)
    bias, more = _bias(at)
    more |= {"kernel": (1, 1), "num_filter": op.filters}
    return Value(at.emit("Convolution", [each, pointwise, *bias], **more), CHANNELS_FIRST)


def transposed_conv(at: Site, op: TransposedConv, x: Value) -> Value:
    """The whole of what it gives, and zeros after it under a stride beyond the kernel; then cropped."""
    cropped, missing = ((0, 0), (0, 0)), [0, 0]
    if not isinstance(op.padding, str):
        cropped = op.padding
    else:
        beyond = [side - step for side, step in zip(op.kernel, op.stride, strict=True)]
        missing = [max(-side, 0) for side in beyond]
        if op.padding == "same":
            height, width = (max(side, 0) for side in beyond)
            cropped = (height // 2, height - height // 2), (width // 2, width - width // 2)
    kernel = at.weight("kernel", _first(at.size("kernel")), outputs_first)
    bias, facts = _bias(at)
    facts |= {"kernel": op.kernel, "stride": op.stride, "adj": tuple(missing), "num_filter": op.filters}
    inputs, cut = [at.channels_first(x), kernel, *bias], any(map(any, cropped))
    whole = at.emit("Deconvolution", inputs, "whole" if cut else "", **facts)
    if not cut:
        return Value(whole, CHANNELS_FIRST)
    (top, bottom), (left, right) = cropped
    end = f"(None, None, {-bottom or None}, {-right or None})"
    return Value(at.emit("slice", [whole], begin=(0, 0, top, left), end=end), CHANNELS_FIRST)


def dense(at: Site, op: Dense, x: Value) -> Value:
    channels, units = at.size("kernel")
    kernel = at.weight("kernel", (units, channels), lambda array: array.T)
    bias, facts = _bias(at)
    output = at.emit("FullyConnected", [at.plain(x), kernel, *bias], num_hidden=units, flatten=False, **facts)
    return Value(output, plain(len(x.order)))


def _pooled(at: Site, x: str, op: MaxPool | AveragePool, kind: str, pad: Pair, what: str = "") -> str:
    facts: dict[str, Any] = {"kernel": op.size, "stride": op.stride, "pad": pad, "pool_type": kind}
    if kind == "avg":
        facts["count_include_pad"] = False
    return at.emit("Pooling", [x], what, pooling_convention="valid", **facts)


def max_pool(at: Site, op: MaxPool, x: Value) -> Value:
    around = _margins(at, op.padding, op.size, op.stride)
    padded, pad = _window(at, at.channels_first(x), around, LOWEST)
    return Value(_pooled(at, padded, op, "max", pad), CHANNELS_FIRST)


def average_pool(at: Site, op: AveragePool, x: Value) -> Value:
    """What is padded does not count: where MXNet cannot pad so, the sum is divided by that of ones."""
    around, given = _margins(at, op.padding, op.size, op.stride), at.channels_first(x)
    (top, bottom), (left, right) = around
    if (top, left) == (bottom, right):
        return Value(_pooled(at, given, op, "avg", (top, left)), CHANNELS_FIRST)
    total = _pooled(at, _padded(at, given, around), op, "sum", (0, 0), "total")
    ones = _padded(at, at.emit("ones_like", [given], "ones"), around, what="ones_padded")
    count = _pooled(at, ones, op, "sum", (0, 0), "count")
    return Value(at.emit("elemwise_div", [total, count]), CHANNELS_FIRST)


def global_pool(at: Site, op: GlobalPool, x: Value) -> Value:
    facts = {"kernel": (1, 1), "global_pool": True, "pool_type": op.reduction}
    output = at.emit("Pooling", [at.channels_first(x)], "" if op.keep_sides else "pooled", **facts)
    if op.keep_sides:
        return Value(output, CHANNELS_FIRST)
    return Value(at.emit("Flatten", [output]), plain(2))


def zero_padding(at: Site, op: ZeroPadding, x: Value) -> Value:
    return Value(_padded(at, at.channels_first(x), op.margins, what=""), CHANNELS_FIRST)


def same_padding(at: Site, op: SamePadding, x: Value) -> Value:
    around = _margins(at, "same", op.size, op.stride)
    return Value(_padded(at, at.channels_first(x), around, what=""), CHANNELS_FIRST)
