"""Convolutions, which take in the scales of the batch norms after them, and poolings in OpenVINO."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from modelzoo.backends.kernels import outputs_first
from modelzoo.backends.openvino_import import import_openvino
from modelzoo.backends.openvino_values import (
    CHANNELS_FIRST,
    NO_MARGINS,
    Order,
    Site,
    Value,
    Values,
    integers,
    plain,
)
from modelzoo.graph import Graph, Node
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.elementwise import Activation, ReLU
from modelzoo.graph.normalization import BatchNorm
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.shaping import SamePadding, ZeroPadding
from modelzoo.graph.windows import Padding, Pair, extent, margins

if TYPE_CHECKING:
    import openvino as ov
else:
    ov = import_openvino()
from openvino import opset1  # whose max pooling has one output
from openvino import opset13 as ops

SCALED = (Conv, DepthwiseConv, SeparableConv)  # which take in the scale of a batch norm after them
NOT_NEGATIVE = (Activation("relu"), Activation("relu6"), Activation("sigmoid"))


def _window(
    at: Site, x: Value, padding: Padding, size: Pair, stride: Pair, *, absorb: bool
) -> tuple[ov.Node, dict[str, Any]]:
    """The input of windows that move over it, and their stride and padding; `absorb` the zeros around it."""
    own = margins(padding, at.shapes[0][1:3], size, stride)
    if own is None:  # the last one depends on what the images are
        pads = {"pads_begin": [0, 0], "pads_end": [0, 0], "auto_pad": "same_upper"}
        return at.in_order(x, CHANNELS_FIRST), {"strides": list(stride), **pads}
    zeros = x.margins if absorb else NO_MARGINS
    source = replace(x, margins=NO_MARGINS) if absorb else x
    begin, end = ([a[i] + b[i] for a, b in zip(own, zeros, strict=True)] for i in (0, 1))
    return at.in_order(source, CHANNELS_FIRST), {
        "strides": list(stride),
        "pads_begin": begin,
        "pads_end": end,
    }


def _biased(at: Site, bias: bool, x: ov.Node, order: Order = CHANNELS_FIRST) -> Value:
    if not bias:
        return at.value(x, order)
    scale = _norm_scale(at)
    array = at.array("bias") if scale is None else at.array("bias") * scale
    shift = at.weight("bias", at.each_channel(array, order))
    return at.value(ops.add(x, shift, name=at.name("sum")), order)


def norms_of_kernels(graph: Graph) -> dict[str, Node]:
    """Batch norms that may scale the kernel before them, by its node's name: nobody else uses its output."""
    uses = Counter(name for node in graph.nodes for name in node.inputs)
    uses.update(graph.outputs.values())
    return {
        node.inputs[0]: node
        for node in graph.nodes
        if isinstance(node.operator, BatchNorm)
        and uses[node.inputs[0]] == 1
        and node.inputs[0] in graph.node
        and isinstance(graph.node[node.inputs[0]].operator, SCALED)
    }


def norm_factors(values: Values, node: Node, operator: BatchNorm) -> tuple[np.ndarray, np.ndarray]:
    """What a batch norm multiplies each channel with, and adds then, in float64."""
    mean, variance = (
        values.array(node, name).astype(np.float64) for name in ("moving_mean", "moving_variance")
    )
    scale = 1 / np.sqrt(variance + operator.epsilon)
    if operator.scale:
        scale = scale * values.array(node, "gamma")
    return scale, (values.array(node, "beta") if operator.center else 0.0) - mean * scale


def _norm_scale(at: Site) -> np.ndarray | None:
    node = at.values.norms.get(at.node.name)
    if node is None or not isinstance(node.operator, BatchNorm):
        return None
    return norm_factors(at.values, node, node.operator)[0]


def conv(at: Site, op: Conv, x: Value) -> Value:
    size = extent(op.kernel, op.dilation)
    source, window = _window(at, x, op.padding, size, op.stride, absorb=True)
    convolution, kernel = ops.convolution, outputs_first(at.array("kernel"), _norm_scale(at))
    if op.groups != 1:
        convolution, kernel = ops.group_convolution, kernel.reshape(op.groups, -1, *kernel.shape[1:])
    window |= {"dilations": list(op.dilation), "name": at.name("convolution")}
    return _biased(at, op.bias, convolution(source, at.weight("kernel", kernel), **window))


def _each_convolved(
    at: Site, op: DepthwiseConv | SeparableConv, x: Value, weight: str, scale: np.ndarray | None = None
) -> ov.Node:
    """Each channel convolved by itself."""
    size = extent(op.kernel, op.dilation)
    source, window = _window(at, x, op.padding, size, op.stride, absorb=True)
    kernel = at.array(weight)
    if scale is not None:
        kernel = kernel * scale.reshape(kernel.shape[2:])
    kernel = kernel.transpose(2, 3, 0, 1)[:, :, np.newaxis]
    window |= {"dilations": list(op.dilation), "name": at.name("depthwise")}
    return ops.group_convolution(source, at.weight(weight, kernel), **window)


def depthwise_conv(at: Site, op: DepthwiseConv, x: Value) -> Value:
    return _biased(at, op.bias, _each_convolved(at, op, x, "kernel", _norm_scale(at)))


def separable_conv(at: Site, op: SeparableConv, x: Value) -> Value:
    each = _each_convolved(at, op, x, "depthwise_kernel")
    kernel = at.weight("pointwise_kernel", outputs_first(at.array("pointwise_kernel"), _norm_scale(at)))
    mixed = ops.convolution(each, kernel, [1, 1], [0, 0], [0, 0], [1, 1], name=at.name("pointwise"))
    return _biased(at, op.bias, mixed)


def transposed_conv(at: Site, op: TransposedConv, x: Value) -> Value:
    pads, missing = NO_MARGINS, [0, 0]
    if not isinstance(op.padding, str):
        pads = op.padding
    else:  # a stride beyond the kernel's side leaves gaps, one of them after the last pixel
        beyond = [side - step for side, step in zip(op.kernel, op.stride, strict=True)]
        missing = [max(-side, 0) for side in beyond]
        if op.padding == "same":
            height, width = (max(side, 0) for side in beyond)
            pads = (height // 2, height - height // 2), (width // 2, width - width // 2)
    output = ops.convolution_backprop_data(
        at.in_order(x, CHANNELS_FIRST),
        at.weight("kernel", outputs_first(at.array("kernel"))),
        list(op.stride),
        pads_begin=[before for before, _ in pads],
        pads_end=[after for _, after in pads],
        dilations=[1, 1],
        output_padding=missing,
        name=at.name("convolution"),
    )
    return _biased(at, op.bias, output)


def dense(at: Site, op: Dense, x: Value) -> Value:
    kernel = outputs_first(at.array("kernel")[np.newaxis, np.newaxis])[:, :, 0, 0]  # as OpenVINO keeps it
    product = ops.matmul(at.plain(x), at.weight("kernel", kernel), False, True, name=at.name("product"))
    return _biased(at, op.bias, product, plain(len(x.order)))


def max_pool(at: Site, op: MaxPool, x: Value) -> Value:
    inside = all(max(pair) < side for pair, side in zip(x.margins, op.size, strict=True))
    absorb = inside and _not_negative(at, at.node.inputs[0])  # its own padding counts as less than anything
    source, window = _window(at, x, op.padding, op.size, op.stride, absorb=absorb)
    output = opset1.max_pool(source, kernel_shape=list(op.size), **window, name=at.name("maximum"))
    return at.value(output, CHANNELS_FIRST)


def _not_negative(at: Site, name: str) -> bool:
    """Whether no value is below zero, as the operators that it comes from say."""
    node = at.values.graph.node.get(name)
    operator = None if node is None else node.operator
    if node is not None and isinstance(operator, (ZeroPadding, SamePadding, MaxPool)):
        return _not_negative(at, node.inputs[0])
    return isinstance(operator, ReLU) or operator in NOT_NEGATIVE


def average_pool(at: Site, op: AveragePool, x: Value) -> Value:
    source, window = _window(at, x, op.padding, op.size, op.stride, absorb=False)
    output = ops.avg_pool(
        source, kernel_shape=list(op.size), exclude_pad=True, **window, name=at.name("mean")
    )
    return at.value(output, CHANNELS_FIRST)


def global_pool(at: Site, op: GlobalPool, x: Value) -> Value:
    reduce = {"avg": ops.reduce_mean, "max": ops.reduce_max}[op.reduction]
    axes = integers([x.order.index(1), x.order.index(2)], at.name("axes"))
    output = reduce(at.own(x), axes, op.keep_sides, name=at.name("reduced"))
    kept = x.order if op.keep_sides else tuple(min(axis, 1) for axis in x.order if axis in (0, 3))
    return at.value(output, kept)
