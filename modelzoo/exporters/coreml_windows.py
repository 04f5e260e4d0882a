"""Convolutions and poolings in MIL. Padding is (top, bottom, left, right)."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelzoo.exporters.coreml_values import Site, Value, mb, padded
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.windows import Padding, Pair, extent, margins


def _pads(at: Site, padding: Padding, size: Pair, stride: Pair) -> dict[str, Any]:
    found = margins(padding, at.shapes[0][1:3], size, stride)
    if found is None:
        raise ValueError("its padding depends on a side that is not known")
    (top, bottom), (left, right) = found
    return {"strides": stride, "pad_type": "custom", "pad": (top, bottom, left, right)}


def _convolved(at: Site, op: Any, x: Value, kernel: np.ndarray, groups: int, **name: str) -> Value:
    """A convolution by a kernel (filters, channels / groups, height, width)."""
    window = _pads(at, op.padding, extent(op.kernel, op.dilation), op.stride)
    bias = at.bias() if name["name"] == at.name else None
    weights = at.options(weight=kernel, bias=bias)
    return mb.conv(x=x, **weights, **window, dilations=op.dilation, groups=groups, **name)


def conv(at: Site, op: Conv, x: Value) -> Value:
    return _convolved(at, op, x, at.weight("kernel").transpose(3, 2, 0, 1), op.groups, name=at.name)


def _depthwise(at: Site, op: Any, x: Value, weight: str, name: str) -> Value:
    kernel = at.weight(weight)
    height, width, channels, _ = kernel.shape
    arranged = kernel.transpose(2, 3, 0, 1).reshape(-1, 1, height, width)
    return _convolved(at, op, x, arranged, channels, name=name)


def depthwise_conv(at: Site, op: DepthwiseConv, x: Value) -> Value:
    return _depthwise(at, op, x, "kernel", at.name)


def separable_conv(at: Site, op: SeparableConv, x: Value) -> Value:
    each = _depthwise(at, op, x, "depthwise_kernel", f"{at.name}_depthwise")
    kernel = at.weight("pointwise_kernel").transpose(3, 2, 0, 1)
    return mb.conv(x=each, **at.options(weight=kernel, bias=at.bias()), pad_type="valid", name=at.name)


def transposed_conv(at: Site, op: TransposedConv, x: Value) -> Value:
    """A stride beyond the kernel's side leaves gaps, one of them after the last pixel: zeros fill it."""
    beyond = [side - step for side, step in zip(op.kernel, op.stride, strict=True)]
    pads, missing = ((0, 0), (0, 0)), [0, 0]
    if not isinstance(op.padding, str):
        pads = op.padding
    else:
        missing = [max(-side, 0) for side in beyond]
        if op.padding == "same":
            height, width = (max(side, 0) for side in beyond)
            pads = (height // 2, height - height // 2), (width // 2, width - width // 2)
    (top, bottom), (left, right) = pads
    kernel = at.weight("kernel").transpose(3, 2, 0, 1)
    value = mb.conv_transpose(
        x=x,
        **at.options(weight=kernel),
        strides=op.stride,
        pad_type="custom",
        pad=(top, bottom, left, right),
        name=f"{at.name}_product" if any(missing) or op.bias else at.name,
    )
    if any(missing):
        value = padded(
            at, value, ((0, missing[0]), (0, missing[1])), f"{at.name}_gap" if op.bias else at.name
        )
    if not op.bias:
        return value
    return mb.add(x=value, y=at.constant(at.weight("bias").reshape(1, -1, 1, 1)), name=at.name)


def dense(at: Site, op: Dense, x: Value) -> Value:
    """On a map it is a convolution of 1x1."""
    kernel = at.weight("kernel").T
    if len(x.shape) == 4:
        weights = at.options(weight=kernel[:, :, None, None], bias=at.bias())
        return mb.conv(x=x, **weights, pad_type="valid", name=at.name)
    if len(x.shape) > 3:
        raise ValueError(f"Core ML's dense layers take up to 3 dimensions, this input has {len(x.shape)}")
    return mb.linear(x=x, **at.options(weight=kernel, bias=at.bias()), name=at.name)


def max_pool(at: Site, op: MaxPool, x: Value) -> Value:
    window = _pads(at, op.padding, op.size, op.stride)
    return mb.max_pool(x=x, kernel_sizes=op.size, **window, name=at.name)


def average_pool(at: Site, op: AveragePool, x: Value) -> Value:
    window = _pads(at, op.padding, op.size, op.stride)
    return mb.avg_pool(x=x, kernel_sizes=op.size, **window, exclude_padding_from_average=True, name=at.name)


def global_pool(at: Site, op: GlobalPool, x: Value) -> Value:
    reduce = mb.reduce_mean if op.reduction == "avg" else mb.reduce_max
    return reduce(x=x, axes=(2, 3), keep_dims=op.keep_sides, name=at.name)
