"""What each operation of MMdnn's intermediate representation is in operators. Channels come last."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from modelzoo.errors import quoted
from modelzoo.graph import Tensor
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.elementwise import ELU, Activation, Dropout, LeakyReLU, PReLU, ReLU
from modelzoo.graph.normalization import BatchNorm, ChannelScale, Rescale
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.shaping import Cropping, UpSampling, ZeroPadding
from modelzoo.graph.windows import Margins, Padding, Pair, extent
from modelzoo.importers.arithmetic import arithmetic, each
from modelzoo.importers.network import Site, Translate
from modelzoo.importers.onnx_shaping import flatten, joined, padded, reshape, squeezed
from modelzoo.importers.onnx_windows import reduced
from modelzoo.importers.values import CHANNELS_LAST, Array, Value
from modelzoo.importers.windows import NONE, padding_of, pair, pooled

# The names of the arrays that operations have, in the order in which they come after the first input.
WEIGHTS: dict[str, tuple[str, ...]] = {
    "Conv": ("weights", "bias"),
    "DepthwiseConv": ("weights", "bias"),
    "ConvTranspose": ("weights", "bias"),
    "FullyConnected": ("weights", "bias"),
    "SeparableConv": ("depthwise_filter", "pointwise_filter", "bias"),
    "BatchNorm": ("scale", "bias", "mean", "var"),
    "Scale": ("scale", "bias"),
    "PRelu": ("gamma",),
}


def _map(at: Site) -> Tensor:
    x = at.value()
    if x.rank != 4:
        raise ValueError(f"expected images or maps, got values of shape {x.shape}")
    return at.reading.laid(x, CHANNELS_LAST).tensor


def _window(at: Site, name: str, default: Any = (1, 1, 1, 1)) -> Pair:
    """Height and width in a list of four sides; "" of none is 1."""
    found = at.option(name) or default
    if len(found) != 4:
        raise ValueError(f"expected four sides for its {name}, got {quoted(found)}")
    return pair(found[1:3], name)


def _margins(at: Site) -> Margins:
    """Pixels before and after height and width, in a list of all axes' beginnings and ends."""
    pads = at.option("pads") or (0,) * 8
    if len(pads) != 8 or min(pads) < 0 or pads[0] or pads[3] or pads[4] or pads[7]:
        raise ValueError(f"no operator has pads={quoted(pads)}")
    return (pads[1], pads[5]), (pads[2], pads[6])


def _padding(at: Site, x: Tensor, size: Pair, stride: Pair) -> Padding:
    """What is padded; every "SAME" of MMdnn's is TensorFlow's."""
    if str(at.option("auto_pad") or "").startswith("SAME"):
        return "same"
    return padding_of(x, _margins(at), size, stride)


def _kernel(at: Site, number: int = 1) -> tuple[int, int, int, int]:
    match at.shape_of(number):
        case (height, width, a, b) if min(height, width, a, b) > 0:
            return height, width, a, b
        case shape:
            raise ValueError(f"expected a kernel of four sides, got {shape}")


def _bias(at: Site, number: int, size: int) -> dict[str, Array]:
    """A bias of any shape with so many values; none where the operation is said to have none."""
    if not at.given(number) or at.option("use_bias") is False:
        return {}
    if math.prod(at.shape_of(number)) != size:
        raise ValueError(f"expected a bias of {size} values, got one of shape {at.shape_of(number)}")
    later = at.later(number)
    return {"bias": lambda: later().reshape(-1)}


def _conv(at: Site) -> Value:
    x, (height, width, inputs, filters) = _map(at), _kernel(at)
    stride, dilation = _window(at, "strides"), _window(at, "dilations")
    groups = at.option("group") or 1
    if inputs * groups != x.channels:
        raise ValueError(f"expected a kernel for {x.channels} channels, got {inputs} of {groups} groups")
    bias = _bias(at, 2, filters)
    padding = _padding(at, x, extent((height, width), dilation), stride)
    operator = Conv(filters, (height, width), stride, padding, dilation, groups, bool(bias))
    return Value(at.add(operator, x, weights={"kernel": at.later(1)} | bias), CHANNELS_LAST)


def _depthwise_conv(at: Site) -> Value:
    x, (height, width, inputs, multiplier) = _map(at), _kernel(at)
    stride, dilation = _window(at, "strides"), _window(at, "dilations")
    if inputs != x.channels:
        raise ValueError(f"expected a kernel for {x.channels} channels, got one for {inputs}")
    bias = _bias(at, 2, inputs * multiplier)
    padding = _padding(at, x, extent((height, width), dilation), stride)
    operator = DepthwiseConv((height, width), stride, padding, dilation, multiplier, bool(bias))
    return Value(at.add(operator, x, weights={"kernel": at.later(1)} | bias), CHANNELS_LAST)


def _separable_conv(at: Site) -> Value:
    x, (height, width, inputs, multiplier) = _map(at), _kernel(at)
    stride, dilation = _window(at, "strides"), _window(at, "dilations")
    one, other, between, filters = _kernel(at, 2)
    if inputs != x.channels or (one, other, between) != (1, 1, inputs * multiplier):
        raise ValueError(
            f"expected kernels for {x.channels} channels, got {at.shape_of(1)} and {at.shape_of(2)}"
        )
    bias = _bias(at, 3, filters)
    padding = _padding(at, x, extent((height, width), dilation), stride)
    operator = SeparableConv(filters, (height, width), stride, padding, dilation, multiplier, bool(bias))
    weights = {"depthwise_kernel": at.later(1), "pointwise_kernel": at.later(2)} | bias
    return Value(at.add(operator, x, weights=weights), CHANNELS_LAST)


def _transposed_conv(at: Site) -> Value:
    x, (height, width, filters, inputs) = _map(at), _kernel(at)
    if inputs != x.channels:
        raise ValueError(f"expected a kernel for {x.channels} channels, got one for {inputs}")
    stride, bias = _window(at, "strides"), _bias(at, 2, filters)
    same = str(at.option("auto_pad") or "").startswith("SAME")
    margins: Padding = "same" if same else _margins(at)
    padding = "valid" if margins == NONE else margins
    operator = TransposedConv(filters, (height, width), stride, padding, bool(bias))
    return Value(at.add(operator, x, weights={"kernel": at.later(1)} | bias), CHANNELS_LAST)


def _dense(at: Site) -> Value:
    x, shape = at.reading.last(at.value(), -1), at.shape_of(1)
    if len(shape) != 2 or shape[0] != x.tensor.shape[-1]:
        raise ValueError(f"expected a matrix for {x.tensor.shape[-1]} values, got {shape}")
    bias = _bias(at, 2, shape[1])
    found = at.add(Dense(shape[1], bool(bias)), x.tensor, weights={"kernel": at.later(1)} | bias)
    return Value(found, x.order)


def _channels(at: Site, number: int, channels: int) -> Array:
    if math.prod(at.shape_of(number)) != channels:
        raise ValueError(f"expected {channels} values, got {at.shape_of(number)}")
    later = at.later(number)
    return lambda: later().reshape(-1)


def _batch_norm(at: Site) -> Value:
    x = at.reading.last(at.value(), -1)
    if at.option("axis", -1) not in (-1, 0, x.rank - 1, 3):  # 0 is what is not said
        raise ValueError(f"no operator has axis={quoted(at.option('axis'))}, only the last one")
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    weights = {
        name: _channels(at, number, x.tensor.channels)
        for number, name in enumerate(names, start=1)
        if at.given(number)
    }
    if not {"moving_mean", "moving_variance"} <= weights.keys():
        raise ValueError("its mean or variance is missing")
    epsilon = float(at.option("epsilon") or 0.0)
    operator = BatchNorm(epsilon, center="beta" in weights, scale="gamma" in weights)
    return Value(at.add(operator, x.tensor, weights=weights), x.order)


def _scale(at: Site) -> Value:
    x = at.reading.last(at.value(), -1)
    channels = x.tensor.channels
    scale = _channels(at, 1, channels)
    if not at.given(2):
        return Value(at.add(ChannelScale(), x.tensor, weights={"kernel": scale}), x.order)
    weights: dict[str, Array] = {
        "gamma": scale,
        "beta": _channels(at, 2, channels),
        "moving_mean": lambda: np.zeros(channels, np.float32),
        "moving_variance": lambda: np.ones(channels, np.float32),
    }
    return Value(at.add(BatchNorm(epsilon=0.0), x.tensor, weights=weights), x.order)


def _affine(at: Site) -> Value:
    x = at.value()
    operator = Rescale(float(at.option("gamma", 1.0)), float(at.option("beta") or 0.0))
    return Value(at.add(operator, x.tensor, arithmetic=True), x.order)


def _pool(at: Site) -> Value:
    x, kind = _map(at), at.option("pooling_type")
    if kind not in ("MAX", "AVG"):
        raise ValueError(f"no operator has pooling_type={quoted(kind)}")
    if at.option("global_pooling"):
        return Value(at.add(GlobalPool("max" if kind == "MAX" else "avg", True), x), CHANNELS_LAST)
    size, stride = _window(at, "kernel_shape", None), _window(at, "strides")
    if str(at.option("auto_pad") or "").startswith("SAME"):
        operator = MaxPool(size, stride, "same") if kind == "MAX" else AveragePool(size, stride, "same")
        return Value(at.add(operator, x), CHANNELS_LAST)
    margins = _margins(at)
    if kind == "MAX":
        return Value(pooled(at.reading, MaxPool, x, at.name, (size, stride, margins)), CHANNELS_LAST)
    if margins != NONE:  # MMdnn's own emitters count what is padded
        x = at.add(ZeroPadding(margins), x, name=f"{at.name}_pad")
    return Value(at.add(AveragePool(size, stride), x), CHANNELS_LAST)


def _prelu(at: Site) -> Value:
    x = at.reading.last(at.value(), -1)
    axes = tuple(range(1, x.rank - 1))
    slopes, shape = _channels(at, 1, x.tensor.channels), (*(1 for _ in axes), x.tensor.channels)
    weights: dict[str, Array] = {"alpha": lambda: slopes().reshape(shape)}
    return Value(at.add(PReLU(axes), x.tensor, weights=weights), x.order)


def _relu(at: Site) -> Value:
    limit = at.option("max_value")
    return each(ReLU(float(limit)) if limit else Activation("relu"))(at)


def _concat(at: Site) -> Value:
    values = [at.value(number) for number in range(len(at.node.inputs))]
    axis = at.option("axis", -1)
    last = axis == -1 or axis >= values[0].rank  # Keras' last one is always written as 3
    return joined(at, values, -1 if last else axis)


def _pad(at: Site) -> Value:
    if str(at.option("mode") or "constant").lower() != "constant":
        raise ValueError(f"no operator has mode={quoted(at.option('mode'))}")
    return padded(at, list(at.option("pads") or ()), float(at.option("constant_values") or 0.0))


def _crop(at: Site) -> Value:
    border = at.option("border") or ()
    if len(border) != 4 or min(border) < 0:
        raise ValueError(f"no operator has border={quoted(border)}")
    operator = Cropping(((border[0], border[1]), (border[2], border[3])))
    return Value(at.add(operator, _map(at)), CHANNELS_LAST)


def _upsampling(at: Site) -> Value:
    return Value(at.add(UpSampling(pair(at.option("scales") or (), "scales")), _map(at)), CHANNELS_LAST)


def _softmax(at: Site) -> Value:
    x = at.reading.last(at.value(), -1)
    return Value(at.add(Activation("softmax"), x.tensor), x.order)


def _dropout(at: Site) -> Value:
    """Some of MMdnn's parsers write the share that is dropped, others that which is kept."""
    rate = float(at.option("keep_prob") or 0.0)
    return each(Dropout(rate) if 0 <= rate < 1 else Activation("linear"))(at)


def _hard_sigmoid(at: Site) -> Value:
    """Keras 2's."""
    x = at.value()
    scaled = at.add(Rescale(0.2, 0.5), x.tensor, name=f"{at.name}_scale")
    return Value(at.add(ReLU(1.0), scaled), x.order)


def _mean(at: Site) -> Value:
    return reduced(at, "avg", at.option("axes"), keep=bool(at.option("keepdims")))


def _passed(at: Site) -> Value:
    return at.value()


def _flat(at: Site) -> Value:
    return at.value() if at.value().rank == 2 else flatten(at)


def _real(name: str, default: float, make: Any) -> Translate:
    def translate(at: Site) -> Value:
        found = at.option(name, default)
        return each(make(float(found[0] if isinstance(found, list) else found)))(at)

    return translate


OPERATIONS: dict[str, Translate] = {
    "Conv": _conv,
    "DepthwiseConv": _depthwise_conv,
    "SeparableConv": _separable_conv,
    "ConvTranspose": _transposed_conv,
    "FullyConnected": _dense,
    "BatchNorm": _batch_norm,
    "Scale": _scale,
    "Affine": _affine,
    "Pool": _pool,
    "Relu": _relu,
    "Relu6": each(ReLU(6.0)),
    "LeakyRelu": _real("alpha", 0.3, LeakyReLU),
    "Elu": _real("alpha", 1.0, ELU),
    "PRelu": _prelu,
    "Sigmoid": each(Activation("sigmoid")),
    "Tanh": each(Activation("tanh")),
    "Softplus": each(Activation("softplus")),
    "Softsign": each(Activation("softsign")),
    "HardSigmoid": _hard_sigmoid,
    "Softmax": _softmax,
    "Add": arithmetic("Add"),
    "Sub": arithmetic("Sub"),
    "Mul": arithmetic("Mul"),
    "Concat": _concat,
    "Flatten": _flat,
    "Reshape": reshape,
    "Squeeze": lambda at: squeezed(at, at.option("axes") or [1, 2]),
    "Pad": _pad,
    "Crop": _crop,
    "UpSampling2D": _upsampling,
    "ReduceMean": _mean,
    "Dropout": _dropout,
    "Identity": _passed,
}
