"""Random operators with inputs that they take, and how to run one: for tests of every backend.

A backend joins the tests by a line in BACKENDS.
"""

from __future__ import annotations

import functools
import math
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from modelzoo.graph import Builder, Graph, Operator, Shape
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.elementwise import (
    ELU,
    FUNCTIONS,
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

Arrays = Mapping[str, np.ndarray]
Outputs = dict[str, np.ndarray]
Backend = Callable[[Graph, Arrays, Arrays], Outputs]  # graph, weights, inputs -> outputs by name
Case = tuple[Operator, list[Shape]]  # an operator, and its inputs' shapes without the batch
NODE = "operator"  # the name of the node, and of its layer

SIDES = st.integers(7, 12)  # no dilated kernel is larger
CHANNELS = st.integers(1, 4)
MAPS = st.tuples(SIDES, SIDES, CHANNELS)
VECTORS = st.tuples(CHANNELS)
ANY = st.one_of(MAPS, VECTORS, st.tuples(SIDES, CHANNELS))
SEVERAL_CHANNELS = ANY.filter(lambda shape: shape[-1] > 1)  # Keras warns of a softmax of one
NUMBERS = st.sampled_from([0.1, 0.5, 1.0, 1.7])


def pairs(least: int, most: int) -> SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(least, most), st.integers(least, most))


def margins(most: int) -> SearchStrategy[tuple[tuple[int, int], tuple[int, int]]]:
    return st.tuples(pairs(0, most), pairs(0, most))


PADDINGS = st.one_of(st.sampled_from(["valid", "same"]), margins(2))
STEPS = st.one_of(  # stride and dilation: few backends take both at once
    st.tuples(st.sampled_from([(1, 1), (2, 2), (3, 3), (1, 2)]), st.just((1, 1))),
    st.tuples(st.just((1, 1)), st.sampled_from([(2, 2), (1, 2)])),
    st.just(((2, 2), (2, 2))),
)


@st.composite
def convolutions(draw, kind: type[Operator]) -> Case:
    shape, (stride, dilation) = draw(MAPS), draw(STEPS)
    facts = {
        "kernel": draw(pairs(1, 4)),
        "stride": stride,
        "padding": draw(PADDINGS),
        "dilation": dilation,
        "bias": draw(st.booleans()),
    }
    if kind is not Conv:
        facts["multiplier"] = draw(st.integers(1, 3))
    if kind is not DepthwiseConv:
        facts["filters"] = draw(CHANNELS)
    if kind is Conv:
        facts["groups"] = groups = draw(st.sampled_from([1, 1, 2]))  # Keras compiles each grouped one
        facts["filters"] *= groups
        shape = (*shape[:2], shape[2] * groups)
    return kind(**facts), [shape]


@st.composite
def transposed_convolutions(draw) -> Case:
    padding = draw(st.one_of(st.sampled_from(["valid", "same"]), margins(1)))
    facts = {"kernel": draw(pairs(1, 4)), "stride": draw(pairs(1, 3)), "bias": draw(st.booleans())}
    return TransposedConv(draw(CHANNELS), padding=padding, **facts), [draw(MAPS)]


@st.composite
def poolings(draw, kind: type[Operator]) -> Case:
    size = draw(pairs(2, 4))  # larger than a margin: no window has padding only
    padding = draw(st.one_of(st.sampled_from(["valid", "same"]), margins(1)))
    return kind(size, draw(pairs(1, 3)), padding), [draw(MAPS)]


@st.composite
def several(draw, kind: type[Operator], most: int = 3) -> Case:
    """Operators on maps of one shape, some of whose sides are 1.

    No map has 3 channels: keras.ops.add on TensorFlow takes (3, 1, 1, 1), a value for each of three images,
    for a bias of three channels.
    """
    shape = draw(st.tuples(SIDES, SIDES, st.sampled_from([1, 2, 4])))
    shrunk = st.sampled_from([(), (0, 1), (0, 1, 2), (2,)])
    shapes = [
        tuple(1 if axis in ones else side for axis, side in enumerate(shape))
        for ones in [(), *draw(st.lists(shrunk, min_size=1, max_size=most - 1))]
    ]
    return kind(), shapes


@st.composite
def concatenations(draw) -> Case:
    shape, axis = draw(MAPS), draw(st.sampled_from([-1, 1, 2, 3]))
    along = axis % 4 - 1
    sides = draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    return Concat(axis), [(*shape[:along], side, *shape[along + 1 :]) for side in sides]


@st.composite
def constants(draw, kind: type[Operator]) -> Case:
    shape = draw(ANY)
    several = st.lists(NUMBERS, min_size=shape[-1], max_size=shape[-1]).map(tuple)
    if kind is Normalization:
        return Normalization(draw(several), (*draw(several)[1:], draw(st.sampled_from([0.0, 2.0])))), [shape]
    either = st.one_of(NUMBERS, several)
    return Rescale(draw(either), draw(st.one_of(st.just(0.0), either))), [shape]


@st.composite
def reshapes(draw) -> Case:
    height, width, channels = shape = draw(MAPS)
    targets = [(-1, channels), (-1,), (channels, width, height), (1, -1, 1, channels), (height, -1)]
    return Reshape(draw(st.sampled_from(targets))), [shape]


def one(operators: SearchStrategy[Operator], shapes: SearchStrategy[Shape] = MAPS) -> SearchStrategy[Case]:
    """Operators of one input."""
    return st.tuples(operators, shapes.map(lambda shape: [shape]))


BOOLEANS = st.booleans()
NOISE = st.sampled_from([None, (None, 1, 1, None)])
CASES: dict[str, SearchStrategy[Case]] = {
    "Conv": convolutions(Conv),
    "DepthwiseConv": convolutions(DepthwiseConv),
    "SeparableConv": convolutions(SeparableConv),
    "TransposedConv": transposed_convolutions(),
    "Dense": one(st.builds(Dense, CHANNELS, BOOLEANS), ANY),
    "BatchNorm": one(st.builds(BatchNorm, NUMBERS, NUMBERS.map(lambda x: x / 2), BOOLEANS, BOOLEANS), ANY),
    "LayerNorm": one(st.builds(LayerNorm, NUMBERS, BOOLEANS, BOOLEANS), ANY),
    "ChannelScale": one(st.builds(ChannelScale), ANY),
    "Normalization": constants(Normalization),
    "Rescale": constants(Rescale),
    "Add": several(Add),
    "Multiply": several(Multiply),
    "Subtract": several(Subtract, 2),
    "Concat": concatenations(),
    "MaxPool": poolings(MaxPool),
    "AveragePool": poolings(AveragePool),
    "GlobalPool": one(st.builds(GlobalPool, st.sampled_from(["avg", "max"]), BOOLEANS)),
    "Activation": one(st.builds(Activation, st.sampled_from(FUNCTIONS)), SEVERAL_CHANNELS),
    "ReLU": one(st.builds(ReLU, st.sampled_from([None, 6.0, 1.0])), ANY),
    "LeakyReLU": one(st.builds(LeakyReLU, NUMBERS), ANY),
    "ELU": one(st.builds(ELU, NUMBERS), ANY),
    "PReLU": one(st.builds(PReLU, st.sampled_from([(), (1,), (1, 2), (1, 2, 3)]))),
    "Dropout": one(st.builds(Dropout, st.sampled_from([0.0, 0.4]), NOISE)),
    "ZeroPadding": one(st.builds(ZeroPadding, margins(3))),
    "SamePadding": one(st.builds(SamePadding, pairs(1, 5), pairs(1, 3))),
    "Cropping": one(st.builds(Cropping, margins(3))),
    "Reshape": reshapes(),
    "Flatten": one(st.builds(Flatten)),
    "Permute": one(st.builds(Permute, st.permutations([1, 2, 3]).map(tuple))),
    "UpSampling": one(st.builds(UpSampling, pairs(1, 3), st.sampled_from(["nearest", "bilinear"]))),
}


def graph_of(case: Case, *, known: bool = True, batch: int | None = None) -> Graph:
    """The network of one node; its inputs are x0, x1, ... Unknown are heights and widths, not sides of 1."""
    operator, shapes = case
    builder = Builder()
    inputs = []
    for number, shape in enumerate(shapes):
        sides = [side if known or side == 1 else None for side in shape[:-1]]
        inputs.append(builder.input(f"x{number}", (batch, *sides, shape[-1])))
    output = builder.add_node(operator, *inputs, name=NODE, layer=NODE)
    return builder.graph("one", {"y": output})


def noise(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values of a normal distribution that depend on the name and the shape, float32."""
    generator = np.random.default_rng(zlib.crc32(f"{name} {shape}".encode()))
    return generator.standard_normal(shape).astype(np.float32)


def arrays_of(graph: Graph) -> Outputs:
    """Random weights, float32; variances are positive."""
    return {
        path: np.abs(noise(path, shape)) + np.float32(0.5) if "variance" in path else noise(path, shape)
        for path, shape in graph.weight_shapes.items()
    }


def inputs_of(case: Case, batch: int) -> Outputs:
    return {f"x{number}": 2 * noise(f"x{number}", (batch, *shape)) for number, shape in enumerate(case[1])}


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """The relative L2 error; 0 where both are nothing but zeros."""
    size = float(np.linalg.norm(expected))
    difference = float(np.linalg.norm(found.astype(np.float64) - expected))
    return difference / size if size else difference


def keras_model(graph: Graph, arrays: Arrays):
    """The graph's model with these weights."""
    from modelzoo.backends import keras as backend
    from modelzoo.backends import keras_values

    model = backend.model(graph, dtype="float32", as_dict=True)
    keras_values.assign(model, arrays.items())
    return model


def keras_outputs(graph: Graph, arrays: Arrays, inputs: Arrays) -> Outputs:
    import keras

    given = next(iter(inputs.values())) if len(inputs) == 1 else dict(inputs)
    outputs = keras_model(graph, arrays)(given, training=False)
    return {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}


def keras_takes(operator: Operator) -> bool:
    """Whether Keras on TensorFlow has the operator with these attributes."""
    if isinstance(operator, (Conv, DepthwiseConv, SeparableConv)):
        if max(operator.stride) > 1 and max(operator.dilation) > 1:
            return False
        return isinstance(operator, Conv) or operator.stride[0] == operator.stride[1]
    return isinstance(getattr(operator, "padding", ""), str)


def openvino_outputs(graph: Graph, arrays: Arrays, inputs: Arrays) -> Outputs:
    import openvino as ov

    from modelzoo.backends import openvino as backend

    precision = {"INFERENCE_PRECISION_HINT": ov.Type.f32}
    results = ov.Core().compile_model(backend.model(graph, arrays), "CPU", precision)(dict(inputs))
    return {name: results[name] for name in graph.outputs}


def onnx_outputs(graph: Graph, arrays: Arrays, inputs: Arrays, opset: int | None = None) -> Outputs:
    runtime = pytest.importorskip("onnxruntime")
    from modelzoo.exporters import Options, onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        onnx.write(path, graph, arrays, {}, Options(opset=opset))
        session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return dict(zip(graph.outputs, session.run(list(graph.outputs), dict(inputs)), strict=True))


def torch_outputs(graph: Graph, arrays: Arrays, inputs: Arrays) -> Outputs:
    torch = pytest.importorskip("torch", reason="torch is in no extra of the tests: it takes gigabytes")
    from modelzoo.backends.torch import Network

    given = [torch.from_numpy(inputs[name]) for name in graph.inputs]
    with torch.inference_mode():
        found = Network(graph, arrays)(*(x.permute(0, 3, 1, 2) if x.ndim == 4 else x for x in given))
    values = found if isinstance(found, dict) else dict.fromkeys(graph.outputs, found)
    return {n: (y.permute(0, 2, 3, 1) if y.ndim == 4 else y).numpy() for n, y in values.items()}


BACKENDS: dict[str, tuple[Backend, Callable[[Operator], bool]]] = {  # and what each takes
    "keras": (keras_outputs, keras_takes),
    "openvino": (openvino_outputs, lambda operator: True),
    "onnx": (onnx_outputs, lambda operator: True),
    "torch": (torch_outputs, lambda operator: True),
    "onnx opset 9": (
        functools.partial(onnx_outputs, opset=9),
        lambda operator: getattr(operator, "interpolation", "") != "bilinear",
    ),
}


@functools.singledispatch
def directly(operator: Operator, arrays: Arrays, x: np.ndarray) -> tuple[np.ndarray, int]:
    """The value by its definition, a product at a time, and how many products of weights one image takes."""
    raise NotImplementedError


@directly.register
def _(operator: Conv, arrays: Arrays, x: np.ndarray) -> tuple[np.ndarray, int]:
    kernel, products = arrays["kernel"], 0
    y = _zeros(operator, x)
    per_group = kernel.shape[2], kernel.shape[3] // operator.groups
    for place in np.ndindex(*y.shape[1:]):
        group = place[2] // per_group[1]
        for row, column in np.ndindex(*operator.kernel):
            pixel = _pixel(operator, x, place, (row, column))
            for channel in range(per_group[0]):
                y[:, *place] += (
                    pixel[:, group * per_group[0] + channel] * kernel[row, column, channel, place[2]]
                )
                products += 1
    return y + arrays.get("bias", 0), products


@directly.register
def _(operator: DepthwiseConv, arrays: Arrays, x: np.ndarray) -> tuple[np.ndarray, int]:
    y, products = _depthwise(operator, arrays["kernel"], x)
    return y + arrays.get("bias", 0), products


@directly.register
def _(operator: SeparableConv, arrays: Arrays, x: np.ndarray) -> tuple[np.ndarray, int]:
    depthwise = DepthwiseConv(
        operator.kernel, operator.stride, operator.padding, operator.dilation, operator.multiplier
    )
    middle, products = _depthwise(depthwise, arrays["depthwise_kernel"], x)
    y, more = directly(Conv(operator.filters, (1, 1)), {"kernel": arrays["pointwise_kernel"]}, middle)
    return y + arrays.get("bias", 0), products + more


@directly.register
def _(operator: TransposedConv, arrays: Arrays, x: np.ndarray) -> tuple[np.ndarray, int]:
    """As the gradient of a convolution: each of its products goes the other way."""
    y, products = np.zeros((len(x), *operator.shape(x.shape)[1:])), 0
    forward = Conv(x.shape[-1], operator.kernel, operator.stride, operator.padding)
    before = _before(forward, y)
    for row, column, channel in np.ndindex(*x.shape[1:]):
        for i, j, filter_ in np.ndindex(*operator.kernel, operator.filters):
            products += 1
            top = row * operator.stride[0] + i - before[0]
            left = column * operator.stride[1] + j - before[1]
            if 0 <= top < y.shape[1] and 0 <= left < y.shape[2]:
                y[:, top, left, filter_] += (
                    x[:, row, column, channel] * arrays["kernel"][i, j, filter_, channel]
                )
    return y + arrays.get("bias", 0), products


@directly.register
def _(operator: Dense, arrays: Arrays, x: np.ndarray) -> tuple[np.ndarray, int]:
    y, products = np.zeros((*x.shape[:-1], operator.units)), 0
    for place in np.ndindex(*x.shape[1:-1]):
        for channel, unit in np.ndindex(*arrays["kernel"].shape):
            y[:, *place, unit] += x[:, *place, channel] * arrays["kernel"][channel, unit]
            products += 1
    return y + arrays.get("bias", 0), products


@directly.register
def _(operator: MaxPool, arrays: Arrays, x: np.ndarray) -> tuple[np.ndarray, int]:
    return _pooled(operator, x, np.fmax.reduce), 0


@directly.register
def _(operator: AveragePool, arrays: Arrays, x: np.ndarray) -> tuple[np.ndarray, int]:
    return _pooled(operator, x, np.nanmean), 0


def _depthwise(operator: DepthwiseConv, kernel: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, int]:
    y, products = _zeros(operator, x), 0
    for place in np.ndindex(*y.shape[1:]):
        channel, number = divmod(place[2], operator.multiplier)
        for row, column in np.ndindex(*operator.kernel):
            y[:, *place] += (
                _pixel(operator, x, place, (row, column))[:, channel] * kernel[row, column, channel, number]
            )
            products += 1
    return y, products


def _pooled(operator: MaxPool | AveragePool, x: np.ndarray, reduce: Callable) -> np.ndarray:
    y = _zeros(operator, x)
    for row, column in np.ndindex(*y.shape[1:3]):
        places = np.ndindex(*operator.size)
        pixels = [_pixel(operator, x, (row, column), place, math.nan) for place in places]
        y[:, row, column] = reduce(np.stack(pixels), axis=0)
    return y


def _zeros(operator: Operator, x: np.ndarray) -> np.ndarray:
    return np.zeros((len(x), *operator.shape(x.shape)[1:]))


def _before(operator, x: np.ndarray) -> tuple[int, int]:
    """How many pixels are padded at the top and on the left, by TensorFlow's documentation."""
    if operator.padding == "valid":
        return 0, 0
    if operator.padding != "same":
        return operator.padding[0][0], operator.padding[1][0]
    dilation = getattr(operator, "dilation", (1, 1))
    found = []
    for axis, window in enumerate(_window(operator)):
        side, stride, covered = x.shape[axis + 1], operator.stride[axis], (window - 1) * dilation[axis] + 1
        rest = stride if side % stride == 0 else side % stride
        found.append(max(covered - rest, 0) // 2)
    return found[0], found[1]


def _window(operator) -> tuple[int, int]:
    return operator.size if isinstance(operator, (MaxPool, AveragePool)) else operator.kernel


def _pixel(operator, x: np.ndarray, step, place, outside: float = 0.0) -> np.ndarray:
    """What a place of the window sees at a step: (batch, channels)."""
    dilation, before = getattr(operator, "dilation", (1, 1)), _before(operator, x)
    top, left = (
        step[axis] * operator.stride[axis] + place[axis] * dilation[axis] - before[axis] for axis in (0, 1)
    )
    if 0 <= top < x.shape[1] and 0 <= left < x.shape[2]:
        return x[:, top, left].astype(np.float64)
    return np.full((len(x), x.shape[3]), outside)
