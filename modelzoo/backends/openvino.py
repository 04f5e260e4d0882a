"""Graph and arrays -> ov.Model, through OpenVINO's own operators: no other framework takes part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from modelzoo.backends import openvino_windows as windows
from modelzoo.backends.openvino_import import import_openvino
from modelzoo.backends.openvino_values import (
    CHANNELS_FIRST,
    Order,
    Site,
    Value,
    Values,
    common_order,
    constant,
    integers,
    plain,
)
from modelzoo.graph import Graph, Operator
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.elementwise import (
    ELU,
    Activation,
    Add,
    Dropout,
    LeakyReLU,
    Multiply,
    PReLU,
    ReLU,
    Subtract,
)
from modelzoo.graph.normalization import BatchNorm, ChannelScale, LayerNorm, Normalization, Rescale
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.shaping import (
    Concat,
    Cropping,
    Flatten,
    Permute,
    Reshape,
    SamePadding,
    UpSampling,
    ZeroPadding,
)
from modelzoo.graph.windows import Margins

if TYPE_CHECKING:
    import openvino as ov
else:
    ov = import_openvino()
from openvino import opset13 as ops

Factors = np.ndarray | None
END = 2**31 - 1  # of any side
SMALLEST_DEVIATION = 1e-7  # that Keras divides by


def model(graph: Graph, arrays: Mapping[str, np.ndarray]) -> ov.Model:
    """The network of a graph in float32, for batches of any size; inputs and outputs have the graph's names.

    arrays: each weight by its path, "layer/weight", as Keras keeps it; of float32, float16 or float64. It is
        copied only where OpenVINO cannot use it as it lies; the model keeps alive what it uses.

    Raises ValueError for an array that is missing or has another shape.
    """
    values = Values(graph, arrays, windows.norms_of_kernels(graph))
    inputs = {name: _input(name, shape) for name, shape in graph.inputs.items()}
    for name, parameter in inputs.items():
        values.found[name] = Value(name, parameter, plain(len(graph.inputs[name])))
    for node in graph.nodes:
        found = (values.found[name] for name in node.inputs)
        value = OPERATIONS[type(node.operator)](Site(values, node), node.operator, *found)
        if value.output.friendly_name.startswith(f"{node.name}/"):
            value.output.friendly_name = node.name
        values.found[node.name] = replace(value, name=node.name)
    results = [_result(values, name, values.found[value]) for name, value in graph.outputs.items()]
    kind: Any = ov.Model  # whose own types say another class
    return kind(results, list(inputs.values()), graph.name)


def _input(name: str, shape: tuple[int | None, ...]) -> ov.op.Parameter:
    sides = ov.PartialShape([-1 if side is None else side for side in shape])
    parameter = ov.op.Parameter(ov.Type.f32, sides)
    parameter.friendly_name = name
    parameter.output(0).get_tensor().set_names({name})
    return parameter


def _result(values: Values, name: str, value: Value) -> ov.op.Result:
    output = values.in_order(value, plain(len(value.order)))
    output.output(0).get_tensor().add_names({name})
    result = ov.op.Result(output.output(0))
    result.friendly_name = f"{name}/output"
    return result


# Values, each by itself or with those at its place


def _affine(
    at: Site, x: ov.Node, order: Order, scale: np.ndarray | None, shift: np.ndarray | None
) -> ov.Node:
    """scale * x + shift, each of one value or one a channel."""
    if scale is not None:
        x = ops.multiply(x, at.weight("scale", at.each_channel(scale, order)), name=at.name("product"))
    if shift is not None:
        x = ops.add(x, at.weight("shift", at.each_channel(shift, order)), name=at.name("sum"))
    return x


def _batch_norm(at: Site, op: BatchNorm, x: Value) -> Value:
    scale, shift = windows.norm_factors(at.values, at.node, op)
    scaled = at.node.inputs[0] in at.values.norms  # by the kernel
    return at.value(_affine(at, at.own(x), x.order, None if scaled else scale, shift), x.order)


def _layer_norm(at: Site, op: LayerNorm, x: Value) -> Value:
    axes = integers([-1], at.name("axes"))
    output = ops.mvn(at.plain(x), axes, True, op.epsilon, "inside_sqrt", name=at.name("normalized"))
    scale, shift = (at.array("gamma") if op.scale else None), (at.array("beta") if op.center else None)
    order = plain(len(x.order))
    return at.value(_affine(at, output, order, scale, shift), order)


def _channel_scale(at: Site, op: ChannelScale, x: Value) -> Value:
    return at.value(_affine(at, at.own(x), x.order, at.array("kernel"), None), x.order)


def _normalization(at: Site, op: Normalization, x: Value) -> Value:
    deviation = np.maximum(np.sqrt(np.array(op.variance, np.float64)), SMALLEST_DEVIATION)
    centered = _affine(at, at.own(x), x.order, None, -np.array(op.mean, np.float64))
    return at.value(_affine(at, centered, x.order, 1 / deviation, None), x.order)


def _rescale(at: Site, op: Rescale, x: Value) -> Value:
    scale = None if op.scale == 1 else np.array(op.scale, np.float32)
    shift = None if op.offset == 0 else np.array(op.offset, np.float32)
    if scale is None and shift is None:
        return x
    return at.value(_affine(at, at.own(x), x.order, scale, shift), x.order)


def _combined(operation: Callable[..., ov.Node]) -> Callable[..., Value]:
    def combined(at: Site, op: Operator, *inputs: Value) -> Value:
        order = common_order(inputs)
        result, *others = (at.in_order(value, order) for value in inputs)
        for number, other in enumerate(others, start=1):
            result = operation(result, other, name=at.name(str(number)))
        return at.value(result, order)

    return combined


def _relu(at: Site, op: ReLU, x: Value) -> Value:
    if op.limit is None:
        return at.value(ops.relu(at.own(x), name=at.name("relu")), x.order)
    return at.value(ops.clamp(at.own(x), 0.0, op.limit, name=at.name("clamped")), x.order)


def _leaky_relu(at: Site, op: LeakyReLU, x: Value) -> Value:
    slope = constant(np.array([op.slope]), at.name("slope"))
    return at.value(ops.prelu(at.own(x), slope, name=at.name("leaky")), x.order)


def _elu(at: Site, op: ELU, x: Value) -> Value:
    return at.value(ops.elu(at.own(x), op.alpha, name=at.name("elu")), x.order)


def _prelu(at: Site, op: PReLU, x: Value) -> Value:
    alpha = at.array("alpha")
    slope = at.weight("alpha", alpha[np.newaxis].transpose(x.order))
    source = at.own(x)
    zero = constant(np.zeros(()), at.name("zero"))
    above = ops.relu(source, name=at.name("above"))
    below = ops.multiply(ops.minimum(source, zero, name=at.name("below")), slope, name=at.name("scaled"))
    return at.value(ops.add(above, below, name=at.name("sum")), x.order)


def _activation(at: Site, op: Activation, x: Value) -> Value:
    if op.function == "linear":
        return x
    if op.function == "softmax":
        return at.value(
            ops.softmax(at.own(x), x.order.index(len(x.order) - 1), name=at.name("softmax")), x.order
        )
    return at.value(FUNCTIONS[op.function](at.own(x), name=at.name(op.function)), x.order)


FUNCTIONS: dict[str, Callable[..., ov.Node]] = {
    "elu": lambda x, name: ops.elu(x, 1.0, name=name),
    "gelu": lambda x, name: ops.gelu(x, "erf", name=name),
    "gelu_tanh": lambda x, name: ops.gelu(x, "tanh", name=name),
    "hard_sigmoid": ops.hsigmoid,
    "hard_silu": ops.hswish,
    "relu": ops.relu,
    "relu6": lambda x, name: ops.clamp(x, 0.0, 6.0, name=name),
    "sigmoid": ops.sigmoid,
    "silu": ops.swish,
    "softplus": ops.softplus,
    "softsign": ops.softsign,
    "tanh": ops.tanh,
}


# Shapes


def _zero_padding(at: Site, op: ZeroPadding, x: Value) -> Value:
    return _with_margins(x, op.margins)


def _same_padding(at: Site, op: SamePadding, x: Value) -> Value:
    """Of sides that are not known, what is padded is computed where the network runs.

    In all ((side - 1) // stride * stride + window - side) pixels, the larger half after the map.
    """
    found = op.margins(at.shapes[0])
    if found is not None:
        return _with_margins(x, found)

    def numbers(what: str, *values: int) -> ov.Node:
        return integers(values, at.name(what))

    source, step = at.in_order(x, CHANNELS_FIRST), numbers("stride", *op.stride)
    sides = ops.gather(ops.shape_of(source), numbers("axes", 2, 3), numbers("axis", 0))
    start = ops.multiply(ops.divide(ops.subtract(sides, numbers("one", 1)), step), step)
    missing = ops.subtract(ops.add(start, numbers("window", *op.size)), sides)
    total = ops.maximum(missing, numbers("zero", 0))
    before = ops.divide(total, numbers("two", 2))
    none = numbers("none", 0, 0)
    begin, end = (ops.concat([none, part], 0) for part in (before, ops.subtract(total, before)))
    value = constant(np.zeros(()), at.name("value"))
    return at.value(ops.pad(source, begin, end, "constant", value, name=at.name("padded")), CHANNELS_FIRST)


def _with_margins(x: Value, wider: Margins) -> Value:
    (a, b), (c, d) = x.margins
    (top, bottom), (left, right) = wider
    return replace(x, margins=((a + top, b + bottom), (c + left, d + right)))


def _cropping(at: Site, op: Cropping, x: Value) -> Value:
    (top, bottom), (left, right) = op.margins
    bounds = {
        "start": [top, left],
        "stop": [-bottom or END, -right or END],
        "step": [1, 1],
        "axes": [x.order.index(1), x.order.index(2)],
    }
    constants = (integers(numbers, at.name(name)) for name, numbers in bounds.items())
    return at.value(ops.slice(at.own(x), *constants, name=at.name("cropped")), x.order)


def _concat(at: Site, op: Concat, *inputs: Value) -> Value:
    order = common_order(inputs)
    axis = order.index(op.axis % len(order))
    return at.value(ops.concat([at.in_order(x, order) for x in inputs], axis, name=at.name("joined")), order)


def _reshape(at: Site, op: Reshape, x: Value) -> Value:
    target = integers([0, *op.target], at.name("target"))  # 0 is the input's batch
    return at.value(
        ops.reshape(at.plain(x), target, True, name=at.name("reshaped")), plain(1 + len(op.target))
    )


def _flatten(at: Site, op: Flatten, x: Value) -> Value:
    target = integers([0, -1], at.name("target"))
    return at.value(ops.reshape(at.plain(x), target, True, name=at.name("reshaped")), plain(2))


def _permute(at: Site, op: Permute, x: Value) -> Value:
    """Nothing moves: the same axes have other names from now on."""
    axes = (0, *op.axes)
    return at.value(at.own(x), tuple(axes.index(axis) for axis in x.order))


def _upsampling(at: Site, op: UpSampling, x: Value) -> Value:
    nearest = op.interpolation == "nearest"
    output = ops.interpolate(
        at.in_order(x, CHANNELS_FIRST),
        constant(np.array(op.size), at.name("scales")),
        "nearest" if nearest else "linear_onnx",
        "scales",
        coordinate_transformation_mode="asymmetric" if nearest else "half_pixel",
        nearest_mode="floor",
        axes=integers([2, 3], at.name("axes")),
        name=at.name("larger"),
    )
    return at.value(output, CHANNELS_FIRST)


OPERATIONS: dict[type[Operator], Callable[..., Value]] = {
    Conv: windows.conv,
    DepthwiseConv: windows.depthwise_conv,
    SeparableConv: windows.separable_conv,
    TransposedConv: windows.transposed_conv,
    Dense: windows.dense,
    BatchNorm: _batch_norm,
    LayerNorm: _layer_norm,
    ChannelScale: _channel_scale,
    Normalization: _normalization,
    Rescale: _rescale,
    Add: _combined(ops.add),
    Multiply: _combined(ops.multiply),
    Subtract: _combined(ops.subtract),
    Concat: _concat,
    MaxPool: windows.max_pool,
    AveragePool: windows.average_pool,
    GlobalPool: windows.global_pool,
    Activation: _activation,
    ReLU: _relu,
    LeakyReLU: _leaky_relu,
    ELU: _elu,
    PReLU: _prelu,
    Dropout: lambda at, op, x: x,
    ZeroPadding: _zero_padding,
    SamePadding: _same_padding,
    Cropping: _cropping,
    Reshape: _reshape,
    Flatten: _flatten,
    Permute: _permute,
    UpSampling: _upsampling,
}
