"""Convolutions, poolings and products of ONNX -> operators."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from modelzoo.errors import quoted
from modelzoo.graph import Tensor
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, TransposedConv
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.shaping import ZeroPadding
from modelzoo.graph.windows import Margins, Padding, Pair, extent, same_margin
from modelzoo.importers.arithmetic import added
from modelzoo.importers.network import Site
from modelzoo.importers.values import CHANNELS_FIRST, Array, Value, plain
from modelzoo.importers.windows import NONE, ceiled, padding_of, pair, pooled


def _map(at: Site, number: int = 0) -> Tensor:
    """An input as a map with its channels last. Raises ValueError for values of another rank."""
    x = at.value(number)
    if x.rank != 4:
        raise ValueError(f"expected images or maps, got values of shape {x.shape}")
    return at.reading.laid(x, CHANNELS_FIRST).tensor


def _margins(at: Site, x: Tensor, size: Pair, stride: Pair) -> Margins:
    """What is padded; raises ValueError where that depends on a side that is not known."""
    mode, pads = at.option("auto_pad", "NOTSET"), tuple(at.option("pads", (0, 0, 0, 0)))
    if mode == "NOTSET":
        if len(pads) != 4 or not all(type(p) is int and 0 <= p < 2**31 for p in pads):
            raise ValueError(f"no operator has pads={quoted(pads)}")
        return (pads[0], pads[2]), (pads[1], pads[3])
    if mode == "VALID":
        return NONE
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"no operator has auto_pad={quoted(mode)}")
    sides = (10**6, 10**6) if stride == (1, 1) else x.known_sides
    found = [same_margin(*each) for each in zip(sides, size, stride, strict=True)]
    lower = mode == "SAME_LOWER"
    rows, columns = ((b, a) if lower else (a, b) for a, b in found)
    return rows, columns


def _padding(at: Site, x: Tensor, size: Pair, stride: Pair) -> Padding:
    if at.option("auto_pad") == "SAME_UPPER":
        return "same"
    return padding_of(x, _margins(at, x, size, stride), size, stride)


def _bias(at: Site, number: int, size: int) -> dict[str, Array]:
    if not at.given(number):
        return {}
    if at.shape_of(number) != (size,):
        raise ValueError(f"expected a bias of shape {(size,)}, got {at.shape_of(number)}")
    return {"bias": at.later(number)}


def conv(at: Site) -> Value:
    x, shape = _map(at), at.shape_of(1)
    if len(shape) != 4:
        raise ValueError(f"expected a kernel of four sides, got {shape}")
    filters, inputs, *sides = shape
    kernel, stride = pair(sides, "kernel"), pair(at.option("strides", (1, 1)), "strides")
    dilation, groups = pair(at.option("dilations", (1, 1)), "dilations"), at.option("group", 1)
    if type(groups) is not int or groups < 1 or inputs * groups != x.channels or filters % groups:
        raise ValueError(
            f"expected a kernel for {x.channels} channels, got one for {inputs} of {groups} groups"
        )
    weights, bias = {"kernel": _kernel(at.later(1))}, _bias(at, 2, filters)
    common: dict[str, Any] = {"stride": stride, "dilation": dilation, "bias": bool(bias)}
    common["padding"] = _padding(at, x, extent(kernel, dilation), stride)
    if groups > 1 and inputs == 1:
        multiplier = filters // groups
        weights = {"kernel": _depthwise_kernel(at.later(1), groups, multiplier)}
        operator = DepthwiseConv(kernel, multiplier=multiplier, **common)
    else:
        operator = Conv(filters, kernel, groups=groups, **common)
    return Value(at.add(operator, x, name=at.layer(), weights=weights | bias), CHANNELS_FIRST)


def _kernel(later: Array) -> Array:
    """(b, a, height, width) as (height, width, a, b)."""
    return lambda: np.ascontiguousarray(later().transpose(2, 3, 1, 0))


def _depthwise_kernel(later: Array, channels: int, multiplier: int) -> Array:
    def arranged() -> np.ndarray:
        found = later()
        found = found.reshape(channels, multiplier, *found.shape[2:])
        return np.ascontiguousarray(found.transpose(2, 3, 0, 1))

    return arranged


def transposed_conv(at: Site) -> Value:
    x, shape = _map(at), at.shape_of(1)
    if len(shape) != 4 or shape[0] != x.channels:
        raise ValueError(f"expected a kernel for {x.channels} channels, got {shape}")
    at.expect("group", 1)
    at.expect("dilations", (1, 1))
    at.expect("auto_pad", "NOTSET")
    if at.option("output_shape") is not None:
        raise ValueError("no operator has output_shape")
    kernel, stride = pair(shape[2:], "kernel"), pair(at.option("strides", (1, 1)), "strides")
    bias = _bias(at, 2, shape[1])
    operator = TransposedConv(shape[1], kernel, stride, _cut(at, x, kernel, stride), bool(bias))
    weights = {"kernel": _kernel(at.later(1))} | bias
    return Value(at.add(operator, x, name=at.layer(), weights=weights), CHANNELS_FIRST)


def _cut(at: Site, x: Tensor, kernel: Pair, stride: Pair) -> Padding:
    """What is cropped from the map, less the pixels that are added after it."""
    margins, more = _margins(at, x, kernel, stride), tuple(at.option("output_padding", (0, 0)))
    gaps = tuple(max(step - side, 0) for side, step in zip(kernel, stride, strict=True))
    total = (max(side - step, 0) for side, step in zip(kernel, stride, strict=True))
    same = tuple((side // 2, side - side // 2) for side in total)
    if more == gaps and margins == NONE:
        return "valid"
    if more == gaps and margins == same:
        return "same"
    rows, columns = ((a, b - extra) for (a, b), extra in zip(margins, more, strict=True))
    if (rows, columns) == same and gaps == (0, 0):
        return "same"
    if min(*rows, *columns) < 0:
        raise ValueError(f"no operator has output_padding={quoted(more)}")
    return rows, columns


def gemm(at: Site) -> Value:
    x = at.value()
    if x.rank != 2:
        raise ValueError(f"expected a row for each image, got values of shape {x.shape}")
    at.expect("transA", 0)
    turned, scale, share = at.option("transB", 0), at.option("alpha", 1.0), at.option("beta", 1.0)
    shape = at.shape_of(1)
    channels, units = shape[::-1] if turned else shape
    later = at.later(1)
    weights: dict[str, Array] = {"kernel": lambda: scale * (later().T if turned else later())}
    if at.given(2):
        bias = at.later(2)
        if math.prod(at.shape_of(2)) not in (1, units):
            raise ValueError(f"expected a bias of {units} values, got one of shape {at.shape_of(2)}")
        weights["bias"] = lambda: np.array(np.broadcast_to(share * bias().reshape(-1), (units,)))
    tensor = at.reading.plain(x)
    if tensor.shape[-1] != channels:
        raise ValueError(f"expected a matrix for {tensor.shape[-1]} values, got {shape}")
    return Value(at.add(Dense(units, "bias" in weights), tensor, name=at.layer(), weights=weights), plain(2))


def matmul(at: Site) -> Value:
    """A product with a matrix, and the sum with a bias that may follow it."""
    x, shape = at.reading.last(at.value(), -1), at.shape_of(1)
    if len(shape) != 2 or shape[0] != x.tensor.shape[-1]:
        raise ValueError(f"expected a matrix for {x.tensor.shape[-1]} values, got {shape}")
    weights: dict[str, Array] = {"kernel": at.later(1)}
    bias = added(at, x.rank - 1, x.rank, shape[1])
    weights |= {} if bias is None else {"bias": bias}
    found = at.add(Dense(shape[1], "bias" in weights), x.tensor, name=at.layer(), weights=weights)
    return Value(found, x.order)


def pool(operator: type[MaxPool | AveragePool]) -> Callable[[Site], Value]:
    def translate(at: Site) -> Value:
        x = _map(at)
        size = pair(at.option("kernel_shape", ()), "kernel")
        stride = pair(at.option("strides", (1, 1)), "strides")
        at.expect("dilations", (1, 1))
        at.expect("storage_order", 0)
        margins = _margins(at, x, size, stride)
        rounded = bool(at.option("ceil_mode", 0))
        if operator is AveragePool and at.option("count_include_pad", 0) and margins != NONE:
            if rounded:
                raise ValueError("no operator counts what is padded, and rounds the number of windows up")
            x, margins = at.add(ZeroPadding(margins), x, name=f"{at.name}_pad"), NONE
        if rounded:
            margins = ceiled(x, margins, size, stride)
        if at.option("auto_pad") == "SAME_UPPER":
            return Value(at.add(operator(size, stride, "same"), x), CHANNELS_FIRST)
        return Value(pooled(at.reading, operator, x, at.name, (size, stride, margins)), CHANNELS_FIRST)

    return translate


def global_pool(reduction: Any) -> Callable[[Site], Value]:
    return lambda at: Value(at.add(GlobalPool(reduction, True), _map(at)), CHANNELS_FIRST)


def reduce(reduction: Any) -> Callable[[Site], Value]:
    """A mean or maximum over height and width."""

    def translate(at: Site) -> Value:
        axes = at.array(1).reshape(-1).tolist() if at.given(1) else at.option("axes")
        return reduced(at, reduction, axes, keep=bool(at.option("keepdims", 1)))

    return translate


def reduced(at: Site, reduction: Any, axes: Any, *, keep: bool) -> Value:
    """The mean or maximum along these axes; raises ValueError unless they are height and width."""
    x = at.value()
    if x.rank != 4 or axes is None or len({axis % 4 for axis in axes} - {0}) != 2:
        raise ValueError(f"no operator has axes={quoted(axes)}, only height and width")
    if {x.axis(axis) for axis in axes} != {1, 2}:
        x = at.reading.last(x, next(n for n in (1, 2, 3) if n not in {a % 4 for a in axes}))
    found = at.add(GlobalPool(reduction, keep), x.tensor)
    return Value(found, x.order if keep else plain(2))
