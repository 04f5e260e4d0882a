"""What each operator is in MMdnn's intermediate representation."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelzoo.exporters.options import Arrays
from modelzoo.formats.mmdnn_ir import INPUT
from modelzoo.formats.networks import Node
from modelzoo.graph import Graph, Operator, Shape
from modelzoo.graph import Node as GraphNode
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.elementwise import (
    Activation,
    Add,
    Dropout,
    LeakyReLU,
    Multiply,
    PReLU,
    ReLU,
    Subtract,
)
from modelzoo.graph.normalization import BatchNorm, ChannelScale, Normalization, Rescale
from modelzoo.graph.operator import channels_of
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.shaping import Concat, Cropping, Flatten, Reshape, SamePadding, UpSampling, ZeroPadding
from modelzoo.graph.windows import Margins, Padding, Pair, extent, margins

Values = Callable[[], np.ndarray]
KINDS = {"relu": "Relu", "relu6": "Relu6", "sigmoid": "Sigmoid", "softmax": "Softmax", "tanh": "Tanh"}
SMALLEST_DEVIATION = 1e-7  # that Keras divides by


@dataclass
class Writing:
    """The state of writing one network: operations, arrays, and the names of values."""

    graph: Graph
    arrays: Arrays
    nodes: list[Node] = field(default_factory=list)
    weights: dict[str, dict[str, Values]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        for name, shape in self.graph.inputs.items():
            if None in shape[1:]:
                raise ValueError(f"the input {name!r} has open sides: name both sides of input_shape")
            self.names[name] = self.emit(INPUT, name, [], {"shape": shape})
        for node in self.graph.nodes:
            if type(node.operator) not in OPERATIONS:
                raise ValueError(f"MMdnn has no operation for {type(node.operator).__name__} {node.name!r}.")
            self.names[node.name] = OPERATIONS[type(node.operator)](_Site(self, node), node.operator)
        if len(self.nodes) == len(self.graph.inputs):
            raise ValueError("MMdnn has no network that computes nothing.")

    def emit(self, kind: str, name: str, inputs: list[str], attributes: Mapping[str, Any]) -> str:
        """The name of a new operation: letters, digits and underscores, as a variable of Python's."""
        wished = re.sub(r"\W", "_", name, flags=re.ASCII)
        wished = wished if wished[:1].isalpha() else f"n{wished}"
        taken, number, found = {node.name for node in self.nodes}, 2, wished
        while found in taken:
            found, number = f"{wished}_{number}", number + 1
        self.nodes.append(Node(kind, "", found, tuple(inputs), (found,), dict(attributes)))
        return found


@dataclass
class _Site:
    """The node that is being written."""

    writing: Writing
    node: GraphNode

    @property
    def inputs(self) -> list[str]:
        return [self.writing.names[name] for name in self.node.inputs]

    @property
    def shape(self) -> Shape:
        """That of the first input."""
        return self.writing.graph.shape(self.node.inputs[0])

    def emit(
        self,
        kind: str,
        attributes: Mapping[str, Any] | None = None,
        weights: Mapping[str, Values] | None = None,
    ) -> str:
        found = self.writing.emit(kind, self.node.name, self.inputs, attributes or {})
        if weights:
            self.writing.weights[found] = dict(weights)
        return found

    def after(self, name: str, kind: str, what: str, attributes: Mapping[str, Any] | None = None) -> str:
        """A further operation on a value."""
        return self.writing.emit(kind, f"{self.node.name}_{what}", [name], attributes or {})

    def weight(self, name: str) -> Values:
        path = self.node.paths[name]
        return lambda: self.writing.arrays[path]

    def refuse(self, what: str) -> ValueError:
        return ValueError(f"MMdnn has no {what}, as {self.node.name!r} needs it.")


def _window(at: _Site, padding: Padding, size: Pair, stride: Pair) -> dict[str, Any]:
    """The pixels are stated beside the padding's name, too: MMdnn's emitters look at both."""
    own = margins(padding, at.shape[1:3], size, stride)
    if own is None:
        raise at.refuse("padding that depends on the size of images")
    found: dict[str, Any] = {"pads": _pads(own), "strides": (1, *stride, 1)}
    names = {"same": "SAME_UPPER", "valid": "VALID"}
    return found | ({"auto_pad": names[padding]} if isinstance(padding, str) else {})


def _pads(pixels: Margins) -> tuple[int, ...]:
    (top, bottom), (left, right) = pixels
    return 0, top, left, 0, 0, bottom, right, 0


def _bias(at: _Site, bias: bool) -> dict[str, Values]:
    return {"bias": at.weight("bias")} if bias else {}


def _conv(at: _Site, op: Conv) -> str:
    shape = (*op.kernel, channels_of(at.shape) // op.groups, op.filters)
    facts = {
        "kernel_shape": shape,
        "use_bias": op.bias,
        "dilations": (1, *op.dilation, 1),
        "group": op.groups,
    }
    weights = {"weights": at.weight("kernel")} | _bias(at, op.bias)
    return at.emit(
        "Conv", _window(at, op.padding, extent(op.kernel, op.dilation), op.stride) | facts, weights
    )


def _depthwise_conv(at: _Site, op: DepthwiseConv) -> str:
    shape = (*op.kernel, channels_of(at.shape), op.multiplier)
    facts = {"kernel_shape": shape, "use_bias": op.bias, "dilations": (1, *op.dilation, 1)}
    weights = {"weights": at.weight("kernel")} | _bias(at, op.bias)
    return at.emit(
        "DepthwiseConv", _window(at, op.padding, extent(op.kernel, op.dilation), op.stride) | facts, weights
    )


def _separable_conv(at: _Site, op: SeparableConv) -> str:
    if op.multiplier != 1:
        raise at.refuse("separable convolution with several outputs for a channel")
    shape = (*op.kernel, channels_of(at.shape), op.filters)
    facts = {"kernel_shape": shape, "use_bias": op.bias, "dilations": (1, *op.dilation, 1)}
    weights = {
        "depthwise_filter": at.weight("depthwise_kernel"),
        "pointwise_filter": at.weight("pointwise_kernel"),
    }
    return at.emit(
        "SeparableConv",
        _window(at, op.padding, extent(op.kernel, op.dilation), op.stride) | facts,
        weights | _bias(at, op.bias),
    )


def _transposed_conv(at: _Site, op: TransposedConv) -> str:
    if not isinstance(op.padding, str):
        raise at.refuse("transposed convolution with margins of its own")
    shape = (*op.kernel, op.filters, channels_of(at.shape))
    facts = {"kernel_shape": shape, "use_bias": op.bias, "dilations": (1, 1, 1, 1)}
    facts |= {"strides": (1, *op.stride, 1), "auto_pad": {"same": "SAME_UPPER", "valid": "VALID"}[op.padding]}
    weights = {"weights": at.weight("kernel")} | _bias(at, op.bias)
    return at.emit("ConvTranspose", facts, weights)


def _dense(at: _Site, op: Dense) -> str:
    weights = {"weights": at.weight("kernel")} | _bias(at, op.bias)
    return at.emit("FullyConnected", {"units": op.units, "use_bias": op.bias}, weights)


def _batch_norm(at: _Site, op: BatchNorm) -> str:
    names = {"scale": "gamma", "bias": "beta", "mean": "moving_mean", "var": "moving_variance"}
    weights = {ours: at.weight(name) for ours, name in names.items() if name in at.node.paths}
    facts = {"axis": -1, "scale": op.scale, "bias": op.center, "epsilon": float(op.epsilon)}
    return at.emit("BatchNorm", facts, weights)


def _scaled(at: _Site, scale: Values, offset: Values) -> str:
    return at.emit("Scale", {"axis": -1, "use_bias": True}, {"scale": scale, "bias": offset})


def _channel_scale(at: _Site, op: ChannelScale) -> str:
    channels = channels_of(at.shape)
    return _scaled(at, at.weight("kernel"), lambda: np.zeros(channels, np.float32))


def _rescale(at: _Site, op: Rescale) -> str:
    channels = channels_of(at.shape)
    scale, offset = (np.broadcast_to(np.asarray(x, np.float32), (channels,)) for x in (op.scale, op.offset))
    return _scaled(at, lambda: scale, lambda: offset)


def _normalization(at: _Site, op: Normalization) -> str:
    mean, variance = np.array(op.mean), np.array(op.variance)
    scale = 1 / np.maximum(np.sqrt(variance), SMALLEST_DEVIATION)
    return _scaled(at, lambda: scale, lambda: -mean * scale)


def _combined(kind: str) -> Callable[[_Site, Operator], str]:
    """Of more than two inputs one after the other, as MMdnn takes two."""

    def write(at: _Site, op: Operator) -> str:
        found, *others = at.inputs
        for other in others:
            found = at.writing.emit(kind, at.node.name, [found, other], {})
        return found

    return write


def _pool(kind: str) -> Callable[[_Site, Any], str]:
    def write(at: _Site, op: MaxPool | AveragePool) -> str:
        if not isinstance(op.padding, str):
            raise at.refuse("pooling with margins of its own")
        facts = {"pooling_type": kind, "kernel_shape": (1, *op.size, 1)}
        return at.emit("Pool", _window(at, op.padding, op.size, op.stride) | facts)

    return write


def _global_pool(at: _Site, op: GlobalPool) -> str:
    kind = {"avg": "AVG", "max": "MAX"}[op.reduction]
    found = at.emit("Pool", {"pooling_type": kind, "global_pooling": True, "strides": (1, 1, 1, 1)})
    if op.keep_sides:
        return at.after(found, "Reshape", "sides", {"shape": (-1, 1, 1, channels_of(at.shape))})
    return at.after(found, "Flatten", "flatten")


def _activation(at: _Site, op: Activation) -> str:
    if op.function == "linear":
        return at.inputs[0]
    if op.function == "silu":
        gate = at.after(at.inputs[0], "Sigmoid", "sigmoid")
        return at.writing.emit("Mul", at.node.name, [at.inputs[0], gate], {})
    if op.function not in KINDS:
        raise at.refuse(op.function)
    return at.emit(KINDS[op.function])


def _relu(at: _Site, op: ReLU) -> str:
    if op.limit not in (None, 6):
        raise at.refuse(f"ReLU with a limit of {op.limit}")
    return at.emit("Relu" if op.limit is None else "Relu6")


def _prelu(at: _Site, op: PReLU) -> str:
    shape = at.writing.graph.weights[at.node.paths["alpha"]].shape
    if any(side != 1 for side in shape[:-1]):
        raise at.refuse("PReLU with other slopes than one for each channel")
    slopes, channels = at.weight("alpha"), channels_of(at.shape)
    return at.emit("PRelu", {}, {"gamma": lambda: np.broadcast_to(slopes().reshape(-1), (channels,))})


def _same_padding(at: _Site, op: SamePadding) -> str:
    found = op.margins(at.shape)
    if found is None:
        raise at.refuse("padding that depends on the size of images")
    return at.emit("Pad", {"mode": "constant", "pads": _pads(found)})


def _concat(at: _Site, op: Concat) -> str:
    if op.axis not in (-1, len(at.shape) - 1):
        raise at.refuse("concatenation along another axis than the last one")
    return at.emit("Concat", {"axis": len(at.shape) - 1})


def _upsampling(at: _Site, op: UpSampling) -> str:
    if op.interpolation != "nearest":
        raise at.refuse("bilinear interpolation")
    return at.emit("UpSampling2D", {"scales": op.size})


def _reshape(at: _Site, op: Reshape) -> str:
    sides = [side for side in at.node.shape[1:] if side is not None]
    if len(sides) != len(op.target):
        raise at.refuse("reshaping to sides that are open")
    return at.emit("Reshape", {"shape": (-1, *sides)})


OPERATIONS: dict[type[Operator], Callable[[_Site, Any], str]] = {
    Conv: _conv,
    DepthwiseConv: _depthwise_conv,
    SeparableConv: _separable_conv,
    TransposedConv: _transposed_conv,
    Dense: _dense,
    BatchNorm: _batch_norm,
    ChannelScale: _channel_scale,
    Rescale: _rescale,
    Normalization: _normalization,
    Add: _combined("Add"),
    Multiply: _combined("Mul"),
    Subtract: _combined("Sub"),
    Concat: _concat,
    MaxPool: _pool("MAX"),
    AveragePool: _pool("AVG"),
    GlobalPool: _global_pool,
    Activation: _activation,
    ReLU: _relu,
    LeakyReLU: lambda at, op: at.emit("LeakyRelu", {"alpha": float(op.slope)}),
    PReLU: _prelu,
    Dropout: lambda at, op: at.emit("Dropout", {"keep_prob": float(op.rate)}),
    ZeroPadding: lambda at, op: at.emit("Pad", {"mode": "constant", "pads": _pads(op.margins)}),
    SamePadding: _same_padding,
    Cropping: lambda at, op: at.emit("Crop", {"border": (*op.margins[0], *op.margins[1])}),
    Reshape: _reshape,
    Flatten: lambda at, op: at.emit("Flatten"),
    UpSampling: _upsampling,
}
