"""Convolutions, poolings and what else looks at height and width, in PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping

from modelzoo.backends.torch_import import Tensor, functional, torch
from modelzoo.graph.convolutions import Conv, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.shaping import Cropping, UpSampling
from modelzoo.graph.windows import Margins, Padding, Pair, extent, same_margin

Weights = Mapping[str, Tensor]


def padded(x: Tensor, margins: Margins, value: float = 0.0) -> Tensor:
    """A map with pixels around it; with fewer where a margin is below zero."""
    (top, bottom), (left, right) = margins
    return functional.pad(x, (left, right, top, bottom), value=value)


def same(x: Tensor, window: Pair, stride: Pair) -> Margins:
    """What TensorFlow's "same" pads around a map, also while torch.export traces one of any size."""
    height, width = (_margin(side, *facts) for side, *facts in zip(x.shape[2:], window, stride, strict=True))
    return height, width


def _margin(side: int, window: int, stride: int) -> Pair:
    """windows.same_margin, in operations that torch.export can trace: a maximum only where it is one."""
    if isinstance(side, int):
        return same_margin(side, window, stride)
    if stride == 1 or window == 1:  # then it is the same for every side
        return same_margin(window, window, stride)
    total = (side - 1) // stride * stride + window - side  # at least window - stride
    if window < stride:
        total = torch.sym_max(total, 0)
    return total // 2, total - total // 2


def _margins(padding: Padding, x: Tensor, window: Pair, stride: Pair) -> Margins:
    if padding == "valid":
        return (0, 0), (0, 0)
    return same(x, window, stride) if padding == "same" else padding


def _even(margins: Margins) -> Pair | None:
    """The pixels that are padded on both sides of the height, and of the width; None if they differ."""
    (top, bottom), (left, right) = margins
    known = all(isinstance(pixels, int) for pixels in (top, bottom, left, right))
    return (top, left) if known and (top, left) == (bottom, right) else None


def _convolved(
    op: Conv | DepthwiseConv | SeparableConv, kernel: Tensor, bias: Tensor | None, x: Tensor, groups: int
) -> Tensor:
    around = _margins(op.padding, x, extent(op.kernel, op.dilation), op.stride)
    even = _even(around)
    if even is None:
        x, even = padded(x, around), (0, 0)
    return functional.conv2d(x, kernel, bias, op.stride, even, op.dilation, groups)


def conv(op: Conv, weights: Weights, x: Tensor) -> Tensor:
    return _convolved(op, weights["kernel"], weights.get("bias"), x, op.groups)


def depthwise_conv(op: DepthwiseConv, weights: Weights, x: Tensor) -> Tensor:
    return _convolved(op, weights["kernel"], weights.get("bias"), x, x.shape[1])


def separable_conv(op: SeparableConv, weights: Weights, x: Tensor) -> Tensor:
    each = _convolved(op, weights["depthwise_kernel"], None, x, x.shape[1])
    return functional.conv2d(each, weights["pointwise_kernel"], weights.get("bias"))


def transposed_conv(op: TransposedConv, weights: Weights, x: Tensor) -> Tensor:
    """Every pixel adds its kernel to a larger map, of which the margins are left out.

    A stride beyond the kernel's side leaves gaps, one of them after the last pixel.
    """
    larger = functional.conv_transpose2d(x, weights["kernel"], stride=op.stride)
    beyond = [side - step for side, step in zip(op.kernel, op.stride, strict=True)]
    if not isinstance(op.padding, str):
        cut = op.padding
    elif op.padding == "same":
        cut = tuple((side // 2, side - side // 2) if side > 0 else (0, side) for side in beyond)
    else:
        cut = tuple((0, min(side, 0)) for side in beyond)
    (top, bottom), (left, right) = cut
    y = padded(larger, ((-top, -bottom), (-left, -right)))
    return y + weights["bias"].reshape(-1, 1, 1) if op.bias else y


def max_pool(op: MaxPool, weights: Weights, x: Tensor) -> Tensor:
    around = _margins(op.padding, x, op.size, op.stride)
    even = _even(around)
    if even is None or any(2 * side > window for side, window in zip(even, op.size, strict=True)):
        x, even = padded(x, around, -math.inf), (0, 0)
    return functional.max_pool2d(x, op.size, op.stride, even)


def average_pool(op: AveragePool, weights: Weights, x: Tensor) -> Tensor:
    """The mean of what a window has: the sum of all by the number of those that are there."""
    around = _margins(op.padding, x, op.size, op.stride)
    even = _even(around)
    if even is not None and all(2 * side <= window for side, window in zip(even, op.size, strict=True)):
        return functional.avg_pool2d(x, op.size, op.stride, even, count_include_pad=False)
    there = torch.ones_like(x[:1, :1])
    total, share = (functional.avg_pool2d(padded(part, around), op.size, op.stride) for part in (x, there))
    return total / share


def global_pool(op: GlobalPool, weights: Weights, x: Tensor) -> Tensor:
    return {"avg": torch.mean, "max": torch.amax}[op.reduction](x, (2, 3), keepdim=op.keep_sides)


def cropping(op: Cropping, weights: Weights, x: Tensor) -> Tensor:
    (top, bottom), (left, right) = op.margins
    return padded(x, ((-top, -bottom), (-left, -right)))


def upsampling(op: UpSampling, weights: Weights, x: Tensor) -> Tensor:
    height, width = (side * factor for side, factor in zip(x.shape[2:], op.size, strict=True))
    if op.interpolation == "nearest":
        return functional.interpolate(x, (height, width))
    return functional.interpolate(x, (height, width), mode="bilinear", align_corners=False)
