"""What each of TensorFlow's operations is in operators: one small function each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from modelzoo.errors import quoted
from modelzoo.formats.networks import Node
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, TransposedConv
from modelzoo.graph.elementwise import Activation, LeakyReLU, ReLU
from modelzoo.graph.normalization import BatchNorm
from modelzoo.graph.pooling import AveragePool, MaxPool
from modelzoo.graph.shaping import UpSampling
from modelzoo.graph.windows import Padding, Pair, margins
from modelzoo.importers import constants
from modelzoo.importers.arithmetic import added, arithmetic, each
from modelzoo.importers.network import Site, Translate
from modelzoo.importers.onnx_shaping import joined, padded, reshape, squeezed, turned
from modelzoo.importers.onnx_windows import reduced
from modelzoo.importers.values import CHANNELS_FIRST, CHANNELS_LAST, Array, Order, Value, plain
from modelzoo.importers.windows import pair, pooled


def order_of(node: Node) -> Order:
    """Where the operation has the channels of its maps."""
    return CHANNELS_FIRST if node.attributes.get("data_format") == "NCHW" else CHANNELS_LAST


def _map(at: Site, number: int = 0) -> Value:
    x = at.value(number)
    if x.rank != 4:
        raise ValueError(f"expected images or maps, got values of shape {x.shape}")
    return at.reading.laid(x, order_of(at.node))


def _pair(at: Site, name: str) -> Pair:
    """The two numbers for height and width in a list of four."""
    found = at.option(name) or [1, 1, 1, 1]
    rows, columns = (2, 3) if order_of(at.node) == CHANNELS_FIRST else (1, 2)
    if len(found) != 4 or any(found[place] != 1 for place in {0, 1, 2, 3} - {rows, columns}):
        raise ValueError(f"no operator has {name}={quoted(found)}")
    return pair((found[rows], found[columns]), name)


def _padding(at: Site) -> Padding:
    found = at.option("padding")
    if found == "EXPLICIT":
        pads = at.option("explicit_paddings") or ()
        start = 4 if order_of(at.node) == CHANNELS_FIRST else 2
        if len(pads) != 8 or min(pads) < 0:
            raise ValueError(f"no operator has explicit_paddings={quoted(pads)}")
        return (pads[start], pads[start + 1]), (pads[start + 2], pads[start + 3])
    if found not in ("SAME", "VALID"):
        raise ValueError(f"no operator has padding={quoted(found)}")
    return "same" if found == "SAME" else "valid"


def _kernel(at: Site, channels: int) -> tuple[int, ...]:
    """The shape of a kernel (height, width, channels, filters)."""
    shape = at.shape_of(1)
    if len(shape) != 4 or min(shape) < 1 or channels % shape[2]:
        raise ValueError(f"expected a kernel for {channels} channels, got one of shape {shape}")
    return shape


def _conv(at: Site) -> Value:
    x = _map(at)
    name, (height, width, inputs, filters) = at.name, _kernel(at, x.tensor.channels)
    weights: dict[str, Array] = {"kernel": at.later(1)}
    bias = added(at, x.order.index(3), 4, filters)
    operator = Conv(
        filters,
        (height, width),
        _pair(at, "strides"),
        _padding(at),
        _pair(at, "dilations"),
        x.tensor.channels // inputs,
        bias is not None,
    )
    weights |= {} if bias is None else {"bias": bias}
    return Value(at.add(operator, x.tensor, name=name, weights=weights), x.order)


def _depthwise_conv(at: Site) -> Value:
    x = _map(at)
    name, (height, width, inputs, multiplier) = at.name, _kernel(at, x.tensor.channels)
    if inputs != x.tensor.channels:
        raise ValueError(f"expected a kernel for {x.tensor.channels} channels, got one for {inputs}")
    bias = added(at, x.order.index(3), 4, inputs * multiplier)
    operator = DepthwiseConv(
        (height, width),
        _pair(at, "strides"),
        _padding(at),
        _pair(at, "dilations"),
        multiplier,
        bias is not None,
    )
    weights: dict[str, Array] = {"kernel": at.later(1)} | ({} if bias is None else {"bias": bias})
    return Value(at.add(operator, x.tensor, name=name, weights=weights), x.order)


def _transposed_conv(at: Site) -> Value:
    """Its sizes are stated first; where they are known they must be those that the operator gives."""
    x = _map(at, 2)
    name, shape = at.name, at.shape_of(1)
    if len(shape) != 4 or shape[3] != x.tensor.channels:
        raise ValueError(f"expected a kernel for {x.tensor.channels} channels, got one of shape {shape}")
    kernel, filters = (shape[0], shape[1]), shape[2]
    bias = added(at, x.order.index(3), 4, filters)
    operator = TransposedConv(filters, kernel, _pair(at, "strides"), _padding(at), bias is not None)
    weights: dict[str, Array] = {"kernel": at.later(1)} | ({} if bias is None else {"bias": bias})
    found = Value(at.add(operator, x.tensor, name=name, weights=weights), x.order)
    if at.is_constant(0):
        asked = at.array(0).reshape(-1).tolist()[1:]
        if any(a != b and a > 0 and b is not None for a, b in zip(asked, found.shape[1:], strict=True)):
            raise ValueError(f"no operator gives a map of {quoted(asked)}, only of {found.shape[1:]}")
    return found


def _matmul(at: Site) -> Value:
    name, tensor, shape = at.name, at.reading.plain(at.value()), at.shape_of(1)
    at.expect("transpose_a", False, None)
    turned_ = bool(at.option("transpose_b", False))
    if tensor.shape[-1] != (shape[-1] if turned_ else shape[0]) or len(shape) != 2 or len(tensor.shape) != 2:
        raise ValueError(f"expected a matrix for {tensor.shape[-1]} values, got {shape}")
    units, later = shape[0] if turned_ else shape[1], at.later(1)
    bias = added(at, 1, 2, units)
    weights: dict[str, Array] = {"kernel": (lambda: later().T) if turned_ else later}
    weights |= {} if bias is None else {"bias": bias}
    return Value(at.add(Dense(units, bias is not None), tensor, name=name, weights=weights), plain(2))


def _batch_norm(at: Site) -> Value:
    at.expect("is_training", False)
    x, names = _map(at), ("gamma", "beta", "moving_mean", "moving_variance")
    for number in range(1, 5):
        if at.shape_of(number) != (x.tensor.channels,):
            raise ValueError(f"expected {x.tensor.channels} values, got {at.shape_of(number)}")
    weights = {name: at.later(number) for number, name in enumerate(names, start=1)}
    operator = BatchNorm(float(at.option("epsilon", 1e-4)))
    return Value(at.add(operator, x.tensor, weights=weights), x.order)


def _bias(at: Site) -> Value:
    """A sum for each channel; of maps that have them first the constant needs its place."""
    if at.option("data_format") == "NCHW" and at.value().rank == 4:
        raise ValueError("no operator adds to channels that come first, but to a convolution")
    return arithmetic("Add")(at)


def _pool(operator: type[MaxPool | AveragePool]) -> Translate:
    def translate(at: Site) -> Value:
        x, size, stride = _map(at), _pair(at, "ksize"), _pair(at, "strides")
        padding = _padding(at)
        if isinstance(padding, str):
            return Value(at.add(operator(size, stride, padding), x.tensor), x.order)
        found = margins(padding, x.tensor.sides, size, stride) or ((0, 0), (0, 0))
        return Value(pooled(at.reading, operator, x.tensor, at.name, (size, stride, found)), x.order)

    return translate


def _reduce(reduction: Any) -> Translate:
    return lambda at: reduced(
        at, reduction, at.array(1).reshape(-1).tolist(), keep=bool(at.option("keep_dims", False))
    )


def _squeeze(at: Site) -> Value:
    shape = at.value().shape
    axes = at.option("squeeze_dims") or [axis for axis in range(1, len(shape)) if shape[axis] == 1]
    return at.value() if len(shape) == 2 else squeezed(at, axes)


def _concat(at: Site) -> Value:
    last = len(at.node.inputs) - 1
    return joined(at, [at.value(number) for number in range(last)], int(at.array(last).reshape(())))


def _pad(at: Site) -> Value:
    pairs = at.array(1)
    value = float(at.array(2).reshape(())) if at.given(2) else 0.0
    return padded(at, [int(number) for number in pairs.reshape(-1, 2).T.reshape(-1)], value)


def _resize(interpolation: Any) -> Translate:
    def translate(at: Site) -> Value:
        x = at.reading.laid(at.value(), CHANNELS_LAST)
        at.expect("align_corners", False, None)
        if interpolation == "bilinear" and not at.option("half_pixel_centers", False):
            raise ValueError("no operator interpolates from the corners of pixels, only from their centers")
        sides = at.array(1).reshape(-1).tolist()
        known = x.tensor.known_sides
        size = tuple(new // old for new, old in zip(sides, known, strict=True))
        if any(new % old for new, old in zip(sides, known, strict=True)) or min(size) < 1:
            raise ValueError(f"no operator makes {quoted(sides)} of {known}")
        return Value(at.add(UpSampling((size[0], size[1]), interpolation), x.tensor), x.order)

    return translate


def _softmax(at: Site) -> Value:
    x = at.reading.last(at.value(), -1)
    return Value(at.add(Activation("softmax"), x.tensor), x.order)


def _passed(at: Site) -> Value:
    return at.value()


OPERATIONS: dict[str, Translate] = {
    "Conv2D": _conv,
    "DepthwiseConv2dNative": _depthwise_conv,
    "Conv2DBackpropInput": _transposed_conv,
    "MatMul": _matmul,
    "FusedBatchNorm": _batch_norm,
    "FusedBatchNormV2": _batch_norm,
    "FusedBatchNormV3": _batch_norm,
    "BiasAdd": _bias,
    "MaxPool": _pool(MaxPool),
    "AvgPool": _pool(AveragePool),
    "Mean": _reduce("avg"),
    "Max": _reduce("max"),
    "Relu": each(Activation("relu")),
    "Relu6": each(ReLU(6.0)),
    "Elu": each(Activation("elu")),
    "Sigmoid": each(Activation("sigmoid")),
    "Tanh": each(Activation("tanh")),
    "Softplus": each(Activation("softplus")),
    "Softsign": each(Activation("softsign")),
    "LeakyRelu": lambda at: each(LeakyReLU(float(at.option("alpha", 0.2))))(at),
    "Softmax": _softmax,
    **dict.fromkeys(("Add", "AddV2", "AddN"), arithmetic("Add")),
    "Sub": arithmetic("Sub"),
    "Mul": arithmetic("Mul"),
    "RealDiv": arithmetic("Div"),
    "ConcatV2": _concat,
    "Pad": _pad,
    "PadV2": _pad,
    "Reshape": reshape,
    "Squeeze": _squeeze,
    "Transpose": lambda at: turned(at, tuple(at.array(1).reshape(-1).tolist())),
    "ResizeNearestNeighbor": _resize("nearest"),
    "ResizeBilinear": _resize("bilinear"),
    **dict.fromkeys(("Identity", "StopGradient", "PlaceholderWithDefault", "CheckNumerics"), _passed),
}


def _strided(node: Node, opset: int, a: np.ndarray, *bounds: np.ndarray) -> np.ndarray:
    """A part of a shape: one number, or those from one place to another."""
    begin, end, step = (int(bound.reshape(-1)[0]) for bound in bounds)
    masks = {name: node.attributes.get(name, 0) for name in ("begin_mask", "end_mask", "shrink_axis_mask")}
    if a.ndim != 1 or step != 1 or any(mask not in (0, 1) for mask in masks.values()):
        raise ValueError("it takes parts that are none of a shape")
    if masks["shrink_axis_mask"]:
        return a[begin]
    return a[None if masks["begin_mask"] else begin : None if masks["end_mask"] else end]


def _stacked(node: Node, opset: int, *arrays: np.ndarray) -> np.ndarray:
    return np.stack([array.astype(np.int64) for array in arrays], node.attributes.get("axis", 0))


SHARED = ("Identity", "Shape", "Add", "Sub", "Mul", "Sqrt", "Neg")
FOLDED: dict[str, Callable[..., Any]] = {name: constants.FOLDED[name] for name in SHARED} | {
    "AddV2": constants.FOLDED["Add"],
    "RealDiv": constants.FOLDED["Div"],
    "StopGradient": constants.FOLDED["Identity"],
    "Rsqrt": lambda node, opset, a: (1 / np.sqrt(a.astype(np.float64))).astype(a.dtype),
    "StridedSlice": _strided,
    "Pack": _stacked,
    "Reshape": constants.FOLDED["Reshape"],
    "Transpose": lambda node, opset, a, axes: a.transpose(axes.reshape(-1).tolist()),
}
