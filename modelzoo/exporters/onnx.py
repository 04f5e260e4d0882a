"""Graph and arrays -> an ONNX file, which needs no package of ONNX's to be written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from modelzoo.exporters import onnx_activations as activations
from modelzoo.exporters import onnx_windows as windows
from modelzoo.exporters.onnx_values import (
    CHANNELS_FIRST,
    Site,
    Value,
    Values,
    common_order,
    plain,
)
from modelzoo.exporters.options import Arrays, Options, Texts
from modelzoo.formats import onnx as file_format
from modelzoo.graph import Graph, Operator, Shape
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
from modelzoo.graph.operator import channels_of
from modelzoo.graph.passes import fold_batch_norms_lazily, fold_padding
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

OPSET = 17  # of 2022: the first with layer norms; ONNX Runtime since 1.12, TensorRT since 8.5
COMPUTED_PADS = 11  # the first opset whose Pad takes them as a value
OLDER_OPSET = 9  # of 2019: what CNTK's last release and other runtimes of that time read
IR_VERSIONS = {
    OPSET: 8,
    OLDER_OPSET: 4,
}  # of the file format; readers since ONNX 1.10, and since 1.4, know it
END = 2**31 - 1  # of any side
SMALLEST_DEVIATION = 1e-7  # that Keras divides by
SIDES = ("batch", "height", "width")  # the names of an input's sides that are open


def write(path: Path, graph: Graph, arrays: Arrays, texts: Texts, options: Options) -> None:
    """Writes a graph with its weights, "layer/weight" by path, read one at a time.

    "f16" keeps kernels and matrices in float16; it is computed with in float32. Raises ValueError for an
    array that is missing or has another shape.
    """
    half, opset = options.precision == "f16", options.opset or OPSET
    network = network_of(graph, arrays, half=half, fold=options.fold, opset=opset)
    with path.open("wb") as file:
        file_format.write(file, network, texts, options.producer)


def add_text(path: Path, name: str, text: str) -> None:
    """Adds a text to the metadata: a protocol buffer goes on where the file ends."""
    with path.open("ab") as file:
        file.write(file_format.metadata_bytes({name: text}))


def read_texts(path: Path) -> dict[str, str]:
    """The metadata. Raises OSError, and ValueError for a file that is not ONNX's."""
    return dict(file_format.read_summary(path).metadata)


def network_of(
    graph: Graph, arrays: Arrays, *, half: bool = False, fold: bool = True, opset: int = OPSET
) -> file_format.Network:
    """The network in ONNX's operators; inputs, outputs and layers have the graph's names."""
    lazily = arrays
    if fold:
        graph, lazily = fold_batch_norms_lazily(graph, arrays)
    graph, _ = fold_padding(graph, {})
    values = Values(graph, lazily, half, opset)
    for name, shape in graph.inputs.items():
        values.found[name] = Value(name, plain(len(shape)))
    for node in graph.nodes:
        found = (values.found[name] for name in node.inputs)
        values.found[node.name] = OPERATIONS[type(node.operator)](Site(values, node), node.operator, *found)
    operations = _with_outputs(values)
    inputs = {name: _sides(name, shape, SIDES) for name, shape in graph.inputs.items()}
    outputs = {name: _sides(name, shape) for name, shape in graph.output_shapes.items()}
    used = {name for operation in operations for name in operation.inputs}
    constants = [constant for constant in values.constants.values() if constant.name in used]
    return file_format.Network(graph.name, inputs, outputs, operations, constants, opset, IR_VERSIONS[opset])


def _sides(name: str, shape: Shape, names: tuple[str, ...] = ("batch",)) -> file_format.Sides:
    """The sides, with names for those that are open."""
    return [
        side if side is not None else names[axis] if axis < len(names) else f"{name}_{axis}"
        for axis, side in enumerate(shape)
    ]


def _with_outputs(values: Values) -> list[file_format.Operation]:
    """The operations, the outputs having their names: a value that is called so is called otherwise."""
    produced = {operation.output for operation in values.operations}
    given: dict[str, str] = {}
    for name, value in values.graph.outputs.items():
        tensor = values.in_order(values.found[value], plain(len(values.graph.shape(value))))
        if tensor not in {operation.output for operation in values.operations} or tensor in given:
            tensor = values.emit("Identity", f"{name}/output", [tensor])  # an input, or given twice
        given[tensor] = name
    others = (produced | values.graph.inputs.keys()) & set(given.values()) - given.keys()
    names = {tensor: f"{tensor}/value" for tensor in others} | given
    return [
        replace(
            operation,
            inputs=tuple(names.get(tensor, tensor) for tensor in operation.inputs),
            output=names.get(operation.output, operation.output),
        )
        for operation in values.operations
    ]


# Values, each by itself or with those at its place


def _batch_norm(at: Site, op: BatchNorm, x: Value) -> Value:
    """One that no kernel takes in. Where it has no scale or center, ONNX wants ones or zeros."""
    rank = len(x.order)
    order = CHANNELS_FIRST if rank == 4 else (0, rank - 1, *range(1, rank - 1))
    shape = at.size("moving_mean")
    gamma = at.weight("gamma") if op.scale else at.numbers("ones", np.ones(shape))
    beta = at.weight("beta") if op.center else at.numbers("zeros", np.zeros(shape))
    inputs = [at.values.in_order(x, order), gamma, beta, at.weight("moving_mean")]
    output = at.emit("BatchNormalization", [*inputs, at.weight("moving_variance")], epsilon=float(op.epsilon))
    return Value(output, order)


def _layer_norm(at: Site, op: LayerNorm, x: Value) -> Value:
    if at.values.opset < 17:
        return _composed_layer_norm(at, op, at.plain(x))
    gamma = at.weight("gamma") if op.scale else at.numbers("ones", np.ones(channels_of(at.shapes[0])))
    inputs = [at.plain(x), gamma, *([at.weight("beta")] if op.center else [])]
    output = at.emit("LayerNormalization", inputs, axis=-1, epsilon=float(op.epsilon))
    return Value(output, plain(len(x.order)))


def _composed_layer_norm(at: Site, op: LayerNorm, x: str) -> Value:
    """The same in operators that have always been there."""
    order = plain(len(at.shapes[0]))
    axes = (len(order) - 1,)
    centered = at.emit("Sub", [x, at.emit("ReduceMean", [x], "mean", axes=axes, keepdims=1)], "centered")
    square = at.emit("Mul", [centered, centered], "square")
    variance = at.emit("ReduceMean", [square], "variance", axes=axes, keepdims=1)
    above = at.emit("Add", [variance, at.numbers("epsilon", np.array(op.epsilon, np.float64))], "above")
    last = op.scale or op.center
    result = at.emit("Div", [centered, at.emit("Sqrt", [above], "deviation")], "normed" if last else "")
    if op.scale:
        result = at.emit("Mul", [result, at.weight("gamma")], "scaled" if op.center else "")
    if op.center:
        result = at.emit("Add", [result, at.weight("beta")])
    return Value(result, order)


def _affine(at: Site, x: Value, scale: np.ndarray | None, shift: np.ndarray | None) -> Value:
    """scale * x + shift, each of one value or one a channel."""
    shaped = [
        None if array is None else array.reshape(at.each_channel(array.size, x.order))
        for array in (scale, shift)
    ]
    tensor, last = x.tensor, None if shift is None else "scaled"
    if shaped[0] is not None:
        tensor = at.emit("Mul", [tensor, at.numbers("scale", shaped[0])], last or "")
    if shaped[1] is not None:
        tensor = at.emit("Add", [tensor, at.numbers("shift", shaped[1])])
    return Value(tensor, x.order)


def _normalization(at: Site, op: Normalization, x: Value) -> Value:
    mean, variance = (np.array(numbers, np.float64) for numbers in (op.mean, op.variance))
    deviation = np.maximum(np.sqrt(variance), SMALLEST_DEVIATION)
    shape = at.each_channel(mean.size, x.order)
    centered = at.emit("Sub", [x.tensor, at.numbers("mean", mean.reshape(shape))], "centered")
    output = at.emit("Div", [centered, at.numbers("deviation", deviation.reshape(shape))])
    return Value(output, x.order)


def _rescale(at: Site, op: Rescale, x: Value) -> Value:
    scale = None if op.scale == 1 else np.array(op.scale, np.float64)
    shift = None if op.offset == 0 else np.array(op.offset, np.float64)
    return _affine(at, x, scale, shift)


def _channel_scale(at: Site, op: ChannelScale, x: Value) -> Value:
    shape = at.each_channel(at.size("kernel")[0], x.order)
    kernel = at.weight("kernel", shape, lambda array: array.reshape(shape))
    return Value(at.emit("Mul", [x.tensor, kernel]), x.order)


def _combined(kind: str) -> Callable[..., Value]:
    def combined(at: Site, op: Operator, *inputs: Value) -> Value:
        order = common_order(inputs)
        result, *others = (at.values.in_order(value, order) for value in inputs)
        for number, other in enumerate(others, start=1):
            result = at.emit(kind, [result, other], "" if number == len(others) else str(number))
        return Value(result, order)

    return combined


# Shapes


def _padded(at: Site, x: Value, margins: Margins) -> Value:
    pairs = dict(enumerate(margins, start=1))
    pads = [pairs.get(axis, (0, 0))[end] for end in (0, 1) for axis in x.order]
    if at.values.opset < 11:
        return Value(at.emit("Pad", [x.tensor], pads=pads), x.order)
    return Value(at.emit("Pad", [x.tensor, at.integers("pads", pads)]), x.order)


def _same_padding(at: Site, op: SamePadding, x: Value) -> Value:
    """Of sides that are not known, what is padded is computed where the network runs.

    In all ((side - 1) // stride * stride + window - side) pixels, the larger half after the map.
    """
    found = op.margins(at.shapes[0])
    if found is not None:
        return _padded(at, x, found)
    if at.values.opset < COMPUTED_PADS:
        raise ValueError(
            f"the padding of {at.node.name!r} depends on the size of images, which opset {at.values.opset} "
            "cannot compute"
        )
    source, none = at.channels_first(x), at.integers("none", [0, 0])
    zero, one, two = (at.integers(what, [number]) for what, number in (("zero", 0), ("one", 1), ("two", 2)))
    step, window = at.integers("stride", op.stride), at.integers("window", op.size)
    shape = at.emit("Shape", [source], "shape")
    sides = at.emit("Gather", [shape, at.integers("axes", [2, 3])], "sides")
    steps = at.emit("Div", [at.emit("Sub", [sides, one], "last"), step], "steps")
    covered = at.emit("Add", [at.emit("Mul", [steps, step], "start"), window], "covered")
    total = at.emit("Max", [at.emit("Sub", [covered, sides], "missing"), zero], "total")
    before = at.emit("Div", [total, two], "before")
    pads = at.emit("Concat", [none, before, none, at.emit("Sub", [total, before], "after")], "pads", axis=0)
    return Value(at.emit("Pad", [source, pads]), CHANNELS_FIRST)


def _cropping(at: Site, op: Cropping, x: Value) -> Value:
    (top, bottom), (left, right) = op.margins
    starts, ends, axes = [top, left], [-bottom or END, -right or END], [x.order.index(1), x.order.index(2)]
    if at.values.opset < 10:
        return Value(at.emit("Slice", [x.tensor], starts=starts, ends=ends, axes=axes), x.order)
    bounds = (at.integers("start", starts), at.integers("stop", ends), at.integers("axes", axes))
    return Value(at.emit("Slice", [x.tensor, *bounds]), x.order)


def _concat(at: Site, op: Concat, *inputs: Value) -> Value:
    order = common_order(inputs)
    tensors = [at.values.in_order(x, order) for x in inputs]
    return Value(at.emit("Concat", tensors, axis=order.index(op.axis % len(order))), order)


def _reshape(at: Site, op: Reshape, x: Value) -> Value:
    target = at.integers("target", [0, *op.target])  # 0 is the input's batch
    return Value(at.emit("Reshape", [at.plain(x), target]), plain(1 + len(op.target)))


def _flatten(at: Site, op: Flatten, x: Value) -> Value:
    return Value(at.emit("Flatten", [at.plain(x)], axis=1), plain(2))


def _permute(at: Site, op: Permute, x: Value) -> Value:
    """Nothing moves: the same axes have other names from now on."""
    axes = (0, *op.axes)
    return Value(x.tensor, tuple(axes.index(axis) for axis in x.order))


def _upsampling(at: Site, op: UpSampling, x: Value) -> Value:
    nearest = op.interpolation == "nearest"
    scales = at.numbers("scales", np.array([1, 1, *op.size], np.float64))
    if at.values.opset < 11:
        if not nearest:
            raise ValueError(f"Operators of opset 9 enlarge by repeating only, not {at.node.name!r}.")
        return Value(at.emit("Upsample", [at.channels_first(x), scales], mode="nearest"), CHANNELS_FIRST)
    output = at.emit(
        "Resize",
        [at.channels_first(x), "", scales],
        mode="nearest" if nearest else "linear",
        coordinate_transformation_mode="asymmetric" if nearest else "half_pixel",
        nearest_mode="floor",
    )
    return Value(output, CHANNELS_FIRST)


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
    Add: _combined("Add"),
    Multiply: _combined("Mul"),
    Subtract: _combined("Sub"),
    Concat: _concat,
    MaxPool: windows.max_pool,
    AveragePool: windows.average_pool,
    GlobalPool: windows.global_pool,
    Activation: activations.activation,
    ReLU: activations.relu,
    LeakyReLU: activations.leaky_relu,
    ELU: activations.elu,
    PReLU: activations.prelu,
    Dropout: lambda at, op, x: x,
    ZeroPadding: lambda at, op, x: _padded(at, x, op.margins),
    SamePadding: _same_padding,
    Cropping: _cropping,
    Reshape: _reshape,
    Flatten: _flatten,
    Permute: _permute,
    UpSampling: _upsampling,
}
