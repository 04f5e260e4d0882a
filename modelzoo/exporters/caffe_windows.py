"""Convolutions and poolings in Caffe, whose rules are its own.

It pads both ends of a side alike. Its poolings round the number of windows up, and an average counts what is
padded, but not what lies beyond that. So windows that Caffe has too many are thrown away, more is padded
where the ends differ, and averages are corrected by a constant at each place: what is left is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from modelzoo.backends.kernels import outputs_first
from modelzoo.exporters.caffe_values import Site, numbers
from modelzoo.formats.caffe import Blob
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.shaping import SamePadding, ZeroPadding
from modelzoo.graph.windows import Margins, Padding, Pair, extent, margins

MOST = 64  # times that a padding is widened before it is given up


@dataclass(frozen=True)
class Windows:
    """Of one side: what Caffe pads at both ends, how many windows it then has, and which are needed."""

    side: int
    window: int
    stride: int
    pad: int
    total: int
    first: int
    needed: int

    @property
    def corrections(self) -> np.ndarray:
        """What Caffe divides the sum of each needed window by, over how many pixels it has of the map."""
        starts = (np.arange(self.needed) + self.first) * self.stride - self.pad
        counted = np.minimum(starts + self.window, self.side + self.pad) - starts
        there = np.minimum(starts + self.window, self.side) - np.maximum(starts, 0)
        return counted / there


def _windows(side: int, around: Pair, window: int, stride: int, *, pools: bool) -> Windows | None:
    """The windows of a side with the least padding by Caffe's rule; None if no padding has those needed."""
    before, after = around
    needed = (side + before + after - window) // stride + 1
    for pad in range(before, before + MOST * stride, stride):
        if pools and pad >= window:
            return None
        first, total = (pad - before) // stride, _total(side, pad, window, stride, pools)
        if first + needed <= total:
            return Windows(side, window, stride, pad, total, first, needed)
    return None


def _total(side: int, pad: int, window: int, stride: int, pools: bool) -> int:
    room = side + 2 * pad - window
    if not pools:
        return room // stride + 1
    total = -(-room // stride) + 1
    return total - 1 if pad and (total - 1) * stride >= side + pad else total


def _both(at: Site, padding: Padding, window: Pair, stride: Pair, *, pools: bool) -> tuple[Windows, Windows]:
    """The windows of both sides; raises ValueError where Caffe cannot have them."""
    around = margins(padding, at.sides, window, stride)
    found = [
        _windows(side, pair, size, step, pools=pools)
        for side, pair, size, step in zip(at.sides, around or (), window, stride, strict=True)
    ]
    if None in found:
        at.refuse("Caffe pads less than a window, and both ends of a side alike")
    height, width = (windows for windows in found if windows is not None)
    return height, width


def _cut(at: Site, x: str, windows: tuple[Windows, Windows]) -> str:
    for axis, side in enumerate(windows, start=2):
        x = at.cut(x, axis, side.first, side.first + side.needed, side.total)
    return x


def _facts(windows: tuple[Windows, Windows], kernel: Pair) -> dict[str, Any]:
    names = (("pad", [side.pad for side in windows]), ("stride", [side.stride for side in windows]))
    found = {f"{name}_{end}": value for name, pair in names for end, value in zip("hw", pair, strict=True)}
    return {"kernel_h": kernel[0], "kernel_w": kernel[1], **found}


def _convolved(
    at: Site,
    op: Conv | DepthwiseConv | SeparableConv,
    x: str,
    blobs: list[Blob],
    facts: dict[str, Any],
    what: str = "",
) -> str:
    windows = _both(at, op.padding, extent(op.kernel, op.dilation), op.stride, pools=False)
    found = _facts(windows, op.kernel) | {"bias_term": len(blobs) > 1} | facts
    if op.dilation != (1, 1):
        found["dilation"] = op.dilation
    return _cut(
        at, at.emit("Convolution", [x], what, blobs=blobs, parameters={"convolution_param": found}), windows
    )


def _first(shape: tuple[int, ...]) -> tuple[int, ...]:
    height, width, a, b = shape
    return b, a, height, width


def _bias(at: Site) -> list[Blob]:
    return [at.blob("bias")] if at.has("bias") else []


def conv(at: Site, op: Conv, x: str) -> str:
    kernel = at.blob("kernel", _first(at.size("kernel")), outputs_first)
    return _convolved(at, op, x, [kernel, *_bias(at)], {"num_output": op.filters, "group": op.groups})


def _each(at: Site, weight: str) -> tuple[Blob, dict[str, Any]]:
    """The kernel that convolves each channel by itself."""
    height, width, channels, multiplier = at.size(weight)

    def arranged(kernel: np.ndarray) -> np.ndarray:
        return kernel.transpose(2, 3, 0, 1).reshape(-1, 1, height, width)

    shape = (channels * multiplier, 1, height, width)
    return at.blob(weight, shape, arranged), {"num_output": shape[0], "group": channels}


def depthwise_conv(at: Site, op: DepthwiseConv, x: str) -> str:
    kernel, facts = _each(at, "kernel")
    return _convolved(at, op, x, [kernel, *_bias(at)], facts)


def separable_conv(at: Site, op: SeparableConv, x: str) -> str:
    kernel, facts = _each(at, "depthwise_kernel")
    each = _convolved(at, op, x, [kernel], facts, "depthwise")
    pointwise = at.blob("pointwise_kernel", _first(at.size("pointwise_kernel")), outputs_first)
    more = {"num_output": op.filters, "kernel_size": 1, "bias_term": op.bias}
    return at.emit(
        "Convolution", [each], blobs=[pointwise, *_bias(at)], parameters={"convolution_param": more}
    )


def transposed_conv(at: Site, op: TransposedConv, x: str) -> str:
    """The whole of what it gives, cropped."""
    beyond = [side - step for side, step in zip(op.kernel, op.stride, strict=True)]
    cropped: Margins = ((0, 0), (0, 0))
    if not isinstance(op.padding, str):
        cropped = op.padding
    elif min(beyond) < 0:
        at.refuse("Caffe's deconvolution ends with its kernel, which the stride goes beyond")
    elif op.padding == "same":
        cropped = tuple((side // 2, side - side // 2) for side in beyond)  # type: ignore[assignment]
    kernel = at.blob("kernel", _first(at.size("kernel")), outputs_first)
    facts = {
        "num_output": op.filters,
        "bias_term": op.bias,
        "kernel_h": op.kernel[0],
        "kernel_w": op.kernel[1],
    }
    facts |= {"stride_h": op.stride[0], "stride_w": op.stride[1]}
    result = at.emit(
        "Deconvolution", [x], blobs=[kernel, *_bias(at)], parameters={"convolution_param": facts}
    )
    whole = [
        (side - 1) * step + size for side, step, size in zip(at.sides, op.stride, op.kernel, strict=True)
    ]
    for axis, (total, (before, after)) in enumerate(zip(whole, cropped, strict=True), start=2):
        result = at.cut(result, axis, before, total - after, total)
    return result


def dense(at: Site, op: Dense, x: str) -> str:
    channels, units = at.size("kernel")
    facts: dict[str, Any] = {"num_output": units, "bias_term": op.bias}
    if len(at.shape) == 2:
        kernel = at.blob("kernel", (units, channels), lambda array: array.T)
        return at.emit(
            "InnerProduct", [x], blobs=[kernel, *_bias(at)], parameters={"inner_product_param": facts}
        )
    kernel = at.blob("kernel", (units, channels, 1, 1), lambda array: array.T)
    facts["kernel_size"] = 1
    return at.emit("Convolution", [x], blobs=[kernel, *_bias(at)], parameters={"convolution_param": facts})


def max_pool(at: Site, op: MaxPool, x: str) -> str:
    windows = _both(at, op.padding, op.size, op.stride, pools=True)
    facts = {"pool": "MAX", **_facts(windows, op.size)}
    return _cut(at, at.emit("Pooling", [x], parameters={"pooling_param": facts}), windows)


def average_pool(at: Site, op: AveragePool, x: str) -> str:
    windows = _both(at, op.padding, op.size, op.stride, pools=True)
    facts = {"pool": "AVE", **_facts(windows, op.size)}
    corrections = np.multiply.outer(*(side.corrections for side in windows))
    if (corrections == 1).all():
        return _cut(at, at.emit("Pooling", [x], parameters={"pooling_param": facts}), windows)
    pooled = _cut(at, at.emit("Pooling", [x], "pooled", parameters={"pooling_param": facts}), windows)
    parameters = {"scale_param": {"axis": 2, "num_axes": 2, "bias_term": False}}
    return at.emit("Scale", [pooled], blobs=[numbers(corrections)], parameters=parameters)


def global_pool(at: Site, op: GlobalPool, x: str) -> str:
    facts = {"pool": {"avg": "AVE", "max": "MAX"}[op.reduction], "global_pooling": True}
    what = "" if op.keep_sides else "pooled"
    pooled = at.emit("Pooling", [x], what, parameters={"pooling_param": facts})
    return pooled if op.keep_sides else at.emit("Flatten", [pooled])


def zero_padding(at: Site, op: ZeroPadding, x: str) -> str:
    return _padded(at, op.margins, x)


def same_padding(at: Site, op: SamePadding, x: str) -> str:
    return _padded(at, margins("same", at.sides, op.size, op.stride) or ((0, 0), (0, 0)), x)


def _padded(at: Site, around: Margins, x: str) -> str:
    """Caffe pads within a convolution: one that keeps each pixel as it is."""
    channels = at.shape[-1] or 0
    ones = numbers(np.ones((channels, 1, 1, 1), np.float32))
    windows = _both(at, around, (1, 1), (1, 1), pools=False)
    facts = {"num_output": channels, "group": channels, "bias_term": False, **_facts(windows, (1, 1))}
    return _cut(
        at, at.emit("Convolution", [x], blobs=[ones], parameters={"convolution_param": facts}), windows
    )
