"""What OpenVINO computes of a graph is what Keras computes of it: every operator, and whole networks."""

from __future__ import annotations

import io
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from modelzoo import variables
from modelzoo.architectures import build, families, synthetic
from modelzoo.backends import keras as keras_backend
from modelzoo.backends import keras_values
from modelzoo.backends import openvino as backend
from modelzoo.graph import OPERATORS, Builder, Graph, Operator
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
from modelzoo.runtimes import compiled, openvino
from modelzoo.runtimes.openvino import ov
from tests.conftest import ROOT

LIMIT = 2e-6  # of the relative L2 error
MAP = (13, 10, 8)  # height, width, channels
ODD = ((2, 1), (0, 3))  # margins of which no two are alike
CORE = ov.Core()
F32 = {"INFERENCE_PRECISION_HINT": ov.Type.f32}

ANY_SIZE = [  # for maps of any height and width
    Conv(6, (1, 1)),
    Conv(6, (3, 3), padding="same", bias=False),
    Conv(6, (3, 2), (2, 3), "same"),
    Conv(6, (3, 3), (2, 2), "valid"),
    Conv(6, (5, 3), (2, 1), ODD),
    Conv(6, (3, 3), padding="same", dilation=(2, 3)),
    Conv(6, (3, 3), padding="valid", dilation=(2, 1), groups=2),
    Conv(12, (3, 3), (2, 2), "same", groups=4, bias=False),
    DepthwiseConv((3, 3), padding="same"),
    DepthwiseConv((3, 5), (2, 2), "same", bias=False),
    DepthwiseConv((3, 3), (2, 2), "valid", multiplier=8),
    DepthwiseConv((3, 3), (2, 2), ODD, multiplier=2),
    DepthwiseConv((3, 3), padding="same", dilation=(2, 2), multiplier=3),
    SeparableConv(6, (3, 3), padding="same"),
    SeparableConv(6, (5, 5), (2, 2), "same", multiplier=2, bias=False),
    SeparableConv(6, (3, 3), (2, 2), ODD),
    SeparableConv(6, (3, 3), padding="valid", dilation=(2, 2)),
    TransposedConv(6, (3, 3)),
    TransposedConv(6, (2, 2), (3, 3), "valid"),
    TransposedConv(6, (4, 3), (2, 2), "valid", bias=False),
    TransposedConv(6, (3, 3), (2, 2), "same"),
    TransposedConv(6, (4, 1), (2, 3), "same"),
    Dense(6),
    Dense(6, bias=False),
    BatchNorm(1e-5),
    BatchNorm(scale=False),
    BatchNorm(center=False),
    BatchNorm(center=False, scale=False),
    LayerNorm(1e-6),
    LayerNorm(center=False),
    LayerNorm(scale=False),
    ChannelScale(),
    Normalization(tuple(range(8)), (0.0, *range(1, 8))),
    Rescale(),
    Rescale(1 / 127.5, -1.0),
    Rescale(2.0),
    Rescale(offset=0.5),
    Rescale(tuple(range(1, 9)), (0.5,) * 8),
    MaxPool((3, 3), (2, 2)),
    MaxPool((3, 2), (2, 3), "same"),
    MaxPool((3, 3), (1, 1), "same"),
    AveragePool((3, 3), (2, 2)),
    AveragePool((3, 2), (2, 3), "same"),
    AveragePool((3, 3), (1, 1), "same"),
    GlobalPool("avg"),
    GlobalPool("max"),
    GlobalPool("avg", keep_sides=True),
    GlobalPool("max", keep_sides=True),
    *(Activation(function) for function in FUNCTIONS),
    ReLU(),
    ReLU(6.0),
    LeakyReLU(),
    LeakyReLU(0.1),
    ELU(),
    ELU(0.5),
    PReLU((1, 2)),
    PReLU((1, 2, 3)),
    Dropout(0.5),
    ZeroPadding(ODD),
    Cropping(ODD),
    Cropping(((0, 0), (1, 0))),
    UpSampling((2, 3)),
    UpSampling((3, 2), "bilinear"),
]
ONE_SIZE = [  # whose attributes depend on the height and the width
    PReLU(),
    PReLU((2,)),
    SamePadding((3, 3), (2, 2)),
    SamePadding((5, 2), (2, 3)),
    Reshape((10, -1)),
    Reshape((13, 5, 2, 4, 2)),
    Reshape((-1,)),
    Flatten(),
    Permute((1, 2, 3)),
    Permute((3, 1, 2)),
    Permute((2, 3, 1)),
    Permute((2, 1, 3)),
    Permute((3, 2, 1)),
]
SEVERAL = [  # with the channels of their inputs, and whether the second has sides of 1
    (Add(), (8, 8), False),
    (Add(), (8, 8, 8), False),
    (Multiply(), (8, 8), False),
    (Multiply(), (8, 8), True),
    (Multiply(), (8, 1), False),
    (Subtract(), (8, 8), False),
    (Subtract(), (8, 8), True),
    (Concat(), (8, 3), False),
    (Concat(-1), (8, 3, 1), False),
    (Concat(3), (8,), False),
    (Concat(1), (8, 8), False),
    (Concat(-2), (8, 8), False),
]


def random_arrays(graph: Graph) -> dict[str, np.ndarray]:
    """Values for every weight, float32, of which none is like another."""
    rng = np.random.default_rng(1)
    arrays = {}
    for path, shape in graph.weight_shapes.items():
        array = rng.standard_normal(shape) / math.sqrt(max(math.prod(shape[:-1]), 1))
        if path.endswith(("gamma", "moving_variance")):
            array = rng.uniform(0.5, 1.5, shape)
        arrays[path] = array.astype(np.float32)
    return arrays


def openvino_outputs(graph: Graph, arrays, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    network = CORE.compile_model(backend.model(graph, arrays), "CPU", F32)
    results = network(inputs)
    return {name: results[name] for name in graph.outputs}


def keras_model(graph: Graph, arrays):
    model = keras_backend.model(graph, dtype="float32", as_dict=True)
    keras_values.assign(model, arrays.items())
    variables.initialize(model)
    return model


def error(found: np.ndarray, expected: np.ndarray) -> float:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return float(np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-30))


def check(graph: Graph, *, batches=(1, 3), sides=(13, 10), limit: float = LIMIT) -> None:
    """OpenVINO's outputs are Keras', for batches of these sizes."""
    arrays = random_arrays(graph)
    model = keras_model(graph, arrays)
    for batch in batches:
        inputs = {}
        for number, (name, shape) in enumerate(graph.inputs.items()):
            known = [batch, *(side or sides[axis] for axis, side in enumerate(shape[1:]))]
            inputs[name] = np.random.default_rng(number).standard_normal(known).astype(np.float32)
        given = inputs if len(inputs) > 1 else next(iter(inputs.values()))
        expected = model(given, training=False)
        for name, found in openvino_outputs(graph, arrays, inputs).items():
            assert error(found, expected[name]) <= limit, name


def applied(operator: Operator, *shapes: tuple[int | None, ...], first: bool = False) -> Graph:
    """The graph of one operator; `first` makes it come after a convolution and before one, channels first."""
    nn = Builder()
    inputs = [nn.input(f"input{number}", (None, *shape)) for number, shape in enumerate(shapes)]
    if first:
        inputs = [
            nn.add_node(Conv(x.shape[-1], (1, 1)), x, name=f"conv{i}", layer=f"conv{i}")
            for i, x in enumerate(inputs)
        ]
    output = nn.add_node(operator, *inputs, name="it", layer="it")
    outputs = {"output": output}
    if first and len(output.shape) == 4:
        outputs["after"] = nn.add_node(Conv(2, (1, 1)), output, name="after", layer="after")
    return nn.graph("small", outputs)


def identity(value: object) -> str:
    return str(value).replace("initializer=", "")[:60]


@pytest.mark.parametrize(
    ("sides", "first"),
    [((13, 10), False), ((13, 10), True), ((13, None), False), ((None, None), True)],
    ids=lambda value: {False: "from_images", True: "between_convolutions"}.get(value, str(value)),
)
@pytest.mark.parametrize("operator", ANY_SIZE, ids=identity)
def test_an_operator_computes_what_it_computes_in_keras(operator, sides, first):
    check(applied(operator, (*sides, 8), first=first))


@pytest.mark.parametrize("first", [False, True], ids=["from_images", "between_convolutions"])
@pytest.mark.parametrize("operator", ONE_SIZE, ids=identity)
def test_an_operator_of_one_size_computes_what_it_computes_in_keras(operator, first):
    check(applied(operator, MAP, first=first))


@pytest.mark.parametrize("first", [False, True], ids=["from_images", "between_convolutions"])
@pytest.mark.parametrize(("operator", "channels", "small"), SEVERAL, ids=identity)
def test_an_operator_on_several_maps_computes_what_it_computes_in_keras(operator, channels, small, first):
    shapes = [(1, 1, 8) if small and number else (13, 10, n) for number, n in enumerate(channels)]
    check(applied(operator, *shapes, first=first))


@pytest.mark.parametrize(
    "operator",
    [
        *(Dense(6), BatchNorm(), LayerNorm(), ChannelScale(), PReLU(), PReLU((1,)), Rescale(2.0, 1.0)),
        *(Activation("softmax"), ReLU(), Reshape((1, 1, 8)), Reshape((2, 4)), Flatten(), Dropout(0.1)),
    ],
    ids=identity,
)
def test_an_operator_on_vectors_computes_what_it_computes_in_keras(operator):
    check(applied(operator, (8,)))


def test_every_operator_is_tested():
    tested = {type(operator) for operator in [*ANY_SIZE, *ONE_SIZE, *(operator for operator, *_ in SEVERAL)]}
    assert tested == set(OPERATORS.values()) == set(backend.OPERATIONS)


def windows(x: np.ndarray, size: int, stride: int, margins) -> np.ndarray:
    """The values under each window; what is padded is not a number."""
    x = np.pad(x, ((0, 0), *margins, (0, 0)), constant_values=np.nan)
    views = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
    return views[:, ::stride, ::stride].reshape(*views[:, ::stride, ::stride].shape[:-2], -1)


@pytest.mark.parametrize("sides", [(13, 10), (None, None)], ids=str)
@pytest.mark.parametrize(("kind", "reduce"), [(MaxPool, np.nanmax), (AveragePool, np.nanmean)])
def test_what_a_pooling_pads_itself_does_not_count(kind, reduce, sides):
    graph = applied(kind((3, 3), (2, 2), ((1, 2), (2, 1))), (*sides, 8))
    x = np.random.default_rng(1).standard_normal((2, *MAP)).astype(np.float32)
    found = openvino_outputs(graph, {}, {"input0": x})["output"]
    assert error(found, reduce(windows(x, 3, 2, ((1, 2), (2, 1))), axis=-1)) <= LIMIT


def test_a_transposed_convolution_leaves_out_its_margins():
    whole, part = (applied(TransposedConv(6, (5, 4), (2, 2), p), MAP) for p in ("valid", ((1, 2), (2, 0))))
    arrays, x = random_arrays(whole), np.ones((1, *MAP), np.float32)
    expected = openvino_outputs(whole, arrays, {"input0": x})["output"][:, 1:-2, 2:]
    assert error(openvino_outputs(part, arrays, {"input0": x})["output"], expected) <= LIMIT


# What depends on the nodes around


def chain(*operators: Operator, outputs=(), shape=MAP) -> Graph:
    """A graph of operators one after the other, node0, node1 and so on; other outputs by their numbers."""
    nn = Builder()
    values = [nn.input("images", (None, *shape))]
    for number, operator in enumerate(operators):
        values.append(nn.add_node(operator, values[-1], name=f"node{number}", layer=f"node{number}"))
    names = {f"output{number}": values[number + 1] for number in (*outputs, len(operators) - 1)}
    return nn.graph("chain", names)


def kinds(graph: Graph) -> list[str]:
    """The types of the operators that OpenVINO is given, in order."""
    made = backend.model(graph, random_arrays(graph)).get_ordered_ops()
    return [
        op.get_type_name() for op in made if op.get_type_name() not in ("Constant", "Parameter", "Result")
    ]


PAD = ZeroPadding(ODD)


@pytest.mark.parametrize(
    "consumer", [Conv(4, (3, 3), (2, 2)), DepthwiseConv((3, 3)), SeparableConv(4, (3, 3))]
)
def test_zeros_around_a_map_are_the_convolutions_own(consumer):
    graph = chain(PAD, ZeroPadding(((0, 1), (1, 0))), consumer)
    assert "Pad" not in kinds(graph)
    check(graph)


def test_zeros_around_a_map_stay_for_others():
    graph = chain(ReLU(), PAD, MaxPool((4, 4), (2, 2)), Conv(4, (3, 3)), outputs=[1])
    assert kinds(graph).count("Pad") == 1
    check(graph)


def test_zeros_are_the_poolings_own_only_where_nothing_is_below_them():
    pool = MaxPool((4, 4), (2, 2))
    assert "Pad" not in kinds(chain(ReLU(), PAD, pool))
    for graph in (
        chain(PAD, pool),
        chain(ReLU(), PAD, MaxPool((3, 3), (2, 2))),
        chain(LeakyReLU(), PAD, pool),
    ):
        assert "Pad" in kinds(graph)
        check(graph)
    check(chain(ReLU(), PAD, pool))


def test_zeros_count_in_an_average():
    graph = chain(ReLU(), PAD, AveragePool((3, 3), (2, 2), "same"))
    assert "Pad" in kinds(graph)
    check(graph)


@pytest.mark.parametrize("padding", ["same", "valid", ODD])
def test_zeros_and_a_convolutions_padding_add_up(padding):
    check(chain(PAD, Conv(4, (3, 3), (2, 2), padding)))
    check(chain(PAD, Conv(4, (3, 3), (2, 2), padding), shape=(None, None, 8)))


KERNELS = [
    Conv(8, (3, 3), bias=False),
    Conv(8, (3, 3), groups=2),
    DepthwiseConv((3, 3), multiplier=2),
    SeparableConv(8, (3, 3)),
]


@pytest.mark.parametrize("operator", KERNELS, ids=identity)
def test_a_batch_norm_scales_the_kernel_before_it(operator):
    graph = chain(operator, BatchNorm(), ReLU())
    assert "Multiply" not in kinds(graph)
    check(graph)


def test_a_batch_norm_scales_no_kernel_that_others_need_as_it_is():
    for graph in (chain(KERNELS[0], BatchNorm(), outputs=[0]), chain(TransposedConv(8, (3, 3)), BatchNorm())):
        assert "Multiply" in kinds(graph)
        check(graph)


def test_batch_norms_after_one_layer_scale_its_kernel_each_for_itself():
    nn = Builder()
    x = nn.input("images", (None, *MAP))
    for name in ("once", "again"):
        x = nn.add_node(Conv(8, (3, 3)), x, name=name, layer="shared")
        x = nn.add_node(BatchNorm(), x, name=f"{name}_norm", layer=f"{name}_norm")
    check(nn.graph("shared", {"output": x}))


def test_axes_move_only_where_they_must():
    convs = (Conv(8, (3, 3)), BatchNorm(), ReLU(), MaxPool((2, 2), (2, 2)), Conv(8, (1, 1), padding="same"))
    assert kinds(chain(*convs, GlobalPool())).count("Transpose") == 1
    assert kinds(chain(*convs)).count("Transpose") == 2


def test_axes_move_once_for_all_who_need_it():
    nn = Builder()
    images = nn.input("images", (None, *MAP))
    branches = [nn.add_node(Conv(8, (1, 1)), images, name=n, layer=n) for n in "ab"]
    total = nn.add_node(Add(), *branches, name="sum")
    dense = [nn.add_node(Dense(8), total, name=n, layer=n) for n in "cd"]
    graph = nn.graph("wide", {"c": dense[0], "d": dense[1], "sum": total})
    assert kinds(graph).count("Transpose") == 2
    check(graph)


def test_permuted_axes_are_taken_as_they_lie():
    """YOLOv2's reorganization: a convolution's value has its channels first already."""
    permuted = chain(
        Conv(8, (1, 1)),
        Permute((3, 1, 2)),
        Reshape((2, 8, 2, 6, 2)),
        Permute((3, 5, 1, 2, 4)),
        Reshape((32, 4, 3)),
        Permute((2, 3, 1)),
        Conv(8, (1, 1)),
        shape=(8, 6, 8),
    )
    assert kinds(permuted).count("Transpose") == 3  # of the images, the five axes and the output
    check(permuted)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_maps_in_two_orders_are_joined(axis):
    nn = Builder()
    images = nn.input("images", (None, *MAP))
    conv = nn.add_node(Conv(8, (1, 1)), images, name="conv", layer="conv")
    dense = nn.add_node(Dense(8), images, name="dense", layer="dense")
    turned = nn.add_node(Permute((1, 2, 3)), dense, name="turned", layer="turned")
    joined = nn.add_node(Concat(axis), turned, conv, images, name="joined", layer="joined")
    total = nn.add_node(Add(), joined, joined, name="sum")
    check(nn.graph("mixed", {"sum": total}))


def test_nodes_of_one_layer_share_its_weights():
    nn = Builder()
    images = nn.input("images", (None, *MAP))
    once = nn.add_node(Conv(8, (3, 3), padding="same"), images, name="once", layer="shared")
    again = nn.add_node(Conv(8, (3, 3), padding="same"), once, name="again", layer="shared")
    graph = nn.graph("shared", {"output": again})
    made = backend.model(graph, random_arrays(graph)).get_ordered_ops()
    assert [op.get_type_name() for op in made if op.get_type_name() == "Constant" and len(op.shape) == 4] == [
        "Constant"
    ] * 2  # the kernel and the bias
    check(graph)


def test_arithmetic_has_no_layer():
    nn = Builder()
    images = nn.input("images", (None, *MAP))
    x = nn.add_node(Rescale(0.5, (1.0,) * 8), images, name="halved")
    y = nn.add_node(Rescale(0.25), x, name="quartered")
    total = nn.add_node(Add(), x, y, name="sum")
    gelu = nn.add_node(Activation("gelu_tanh"), total, name="gelu")
    graph = nn.graph("arithmetic", {"output": gelu})
    arrays, x = {}, np.random.default_rng(1).standard_normal((3, *MAP)).astype(np.float32)
    from keras import ops

    expected = ops.gelu((0.5 * x + 1) * 1.25, approximate=True)
    assert error(openvino_outputs(graph, arrays, {"images": x})["output"], expected) <= LIMIT


# The model


def test_inputs_and_outputs_have_the_graphs_names_and_shapes():
    graph = build("resnet", "9", input_shape=(None, 32, 3)).features()
    made = backend.model(graph, random_arrays(graph))
    assert [(i.any_name, str(i.partial_shape), i.element_type) for i in made.inputs] == [
        ("images", "[?,?,32,3]", ov.Type.f32)
    ]
    assert [output.any_name for output in made.outputs] == list(graph.outputs)
    for output, shape in zip(made.outputs, graph.output_shapes.values(), strict=True):
        sides = [dim.get_length() if dim.is_static else None for dim in output.partial_shape]
        assert sides == list(shape)
    assert made.friendly_name == graph.name


def test_helpers_have_names_that_no_layer_can_have():
    graph = build("resnet", "50_v1d", input_shape=(64, 64, 3), classes=10, classifier_activation="softmax")
    made = backend.model(graph, random_arrays(graph)).get_ordered_ops()
    layers = graph.node.keys() | graph.inputs.keys()
    helpers = [op.friendly_name for op in made if op.friendly_name not in layers]
    assert len({op.friendly_name for op in made}) == len(made)
    assert all("/" in name for name in helpers)
    folded = {name for name, node in graph.node.items() if isinstance(node.operator, ZeroPadding)}
    assert {op.friendly_name for op in made} & layers == layers - folded


def test_an_output_may_be_an_input_or_have_two_names():
    nn = Builder()
    images = nn.input("images", (None, *MAP))
    conv = nn.add_node(Conv(8, (1, 1)), images, name="conv", layer="conv")
    dropped = nn.add_node(Dropout(0.5), conv, name="dropped", layer="dropped")
    check(nn.graph("same", {"one": conv, "two": dropped, "same": images}))


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4"])
def test_arrays_of_another_dtype_are_cast(dtype):
    graph = chain(Conv(8, (3, 3)), BatchNorm(), Flatten(), Dense(4))
    arrays = {path: array.astype(dtype) for path, array in random_arrays(graph).items()}
    x = np.random.default_rng(1).standard_normal((2, *MAP)).astype(np.float32)
    expected = keras_model(graph, arrays)(x)["output3"]
    assert error(openvino_outputs(graph, arrays, {"images": x})["output3"], expected) <= LIMIT


def test_mapped_and_read_only_arrays_are_taken_and_not_needed_afterwards(tmp_path):
    graph = chain(Conv(8, (3, 3)), BatchNorm(), PReLU((1, 2)), Flatten(), Dense(4))
    arrays, mapped = random_arrays(graph), {}
    for number, (path, array) in enumerate(arrays.items()):
        file = tmp_path / str(number)
        file.write_bytes(b"x" + array.tobytes())  # where no float32 begins
        mapped[path] = np.memmap(file, np.float32, "r", 1, array.shape)
    x = np.random.default_rng(1).standard_normal((2, *MAP)).astype(np.float32)
    expected = keras_model(graph, arrays)(x)["output4"]
    made = backend.model(graph, mapped)
    del mapped
    network = CORE.compile_model(made, "CPU", F32)
    del made
    assert error(network(x)[0], expected) <= LIMIT


def test_arrays_are_taken_where_they_lie():
    graph = chain(PReLU())
    arrays = random_arrays(graph)
    made = {op.friendly_name: op for op in backend.model(graph, arrays).get_ordered_ops()}
    assert np.shares_memory(made["node0/alpha"].data, arrays["node0/alpha"])


@pytest.mark.parametrize(
    "given", [None, np.zeros((1, 1, 8, 7), np.float32)], ids=["missing", "another_shape"]
)
def test_arrays_that_do_not_fit_are_refused_by_name(given):
    graph = chain(Conv(8, (1, 1)))
    arrays = random_arrays(graph) | {"node0/kernel": given}
    if given is None:
        del arrays["node0/kernel"]
    with pytest.raises(ValueError, match=r"Expected values of shape \(1, 1, 8, 8\) for 'node0/kernel', got"):
        backend.model(graph, arrays)


# Networks

NETWORKS = [
    ("resnet", "9", (32, 32), 10),
    ("resnet", "50_v1d", (65, 97), 10),
    ("resnet", "slim_v2_50", (None, None), 10),
    ("resnet", "tencent_50", (64, 64), 10),
    ("resnet", "18_v1b", (None, None), None),
    ("mobilenet", "v1_0.25", (63, 96), 10),
    ("mobilenet", "v2_1.0", (None, None), 10),
    ("nasnet", "nasnet_mobile", (96, 96), 10),
    ("nasnet", "pnasnet_mobile", (97, 65), 10),
    ("inception", "v1", (65, 64), 10),
    ("inception", "v2", (None, None), 10),
    ("inception", "v3", (107, 96), None),
    ("inception_resnet", "v2", (96, 96), 10),
    ("vgg", "16", (32, 32), None),
    ("yolo", "2", (96, 64), 80),
]


@pytest.mark.parametrize(("family", "variant", "sides", "classes"), NETWORKS, ids=str)
def test_a_network_computes_what_it_computes_in_keras(family, variant, sides, classes):
    graph = build(family, variant, input_shape=(*sides, 3), classes=classes)
    proof = families.find(family, variant).proof_of(variant)
    arrays = {path: synthetic.array(path, shape, proof) for path, shape in graph.weight_shapes.items()}
    model = keras_model(graph, arrays)
    height, width = (side or 96 for side in sides)
    images = np.concatenate([synthetic.images(height, width)] * 2)
    images[1] = images[1, ::-1]
    (expected,), network = (
        model(images, training=False).values(),
        openvino.compile_graph(graph, arrays, "f32"),
    )
    assert error(network.predict(images), expected) <= 5e-6


def test_a_compiled_network_is_exported_and_imported(tmp_path):
    graph = build("resnet", "9", input_shape=(32, 32, 3), classes=10)
    arrays = random_arrays(graph)
    network = openvino.compile_graph(graph, arrays, "f32")
    images = synthetic.images(32, 32)
    expected = network.predict(images)
    exported = io.BytesIO()
    network.export(exported)
    stored = compiled.Stored(np.frombuffer(bytearray(exported.getvalue()), np.uint8), None)
    again = openvino.import_network(stored, "f32")
    assert again is not None
    assert np.array_equal(again.predict(images), expected)


def test_neither_keras_nor_tensorflow_takes_part():
    code = (
        "import sys, threading; from modelzoo.backends import openvino; import openvino as ov;"
        "from modelzoo.runtimes import openvino as runtime; from modelzoo.graph import Builder;"
        "from modelzoo.graph.elementwise import ReLU; nn = Builder(); x = nn.input('x', (None, 2));"
        "graph = nn.graph('small', {'y': nn.add_node(ReLU(), x, name='y')});"
        "import numpy; network = runtime.compile_graph(graph, {}, 'f32');"
        "print(network.predict(numpy.array([[-1, 1.5]])).tolist());"
        "print(sorted({'tensorflow', 'keras', 'jax', 'torch', 'openvino_telemetry'} & sys.modules.keys()))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ, cwd=ROOT, capture_output=True, text=True
    )
    assert run.stdout.split("\n")[:2] == ["[[0.0, 1.5]]", "[]"], run.stderr
