"""Networks of other programs become graphs that answer as they do, or one sentence says what hinders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelzoo import importers
from modelzoo.backends import numpy as reference
from modelzoo.errors import ConversionError
from modelzoo.exporters import Options, ir, onnx
from modelzoo.exporters.ir_operations import OPERATIONS as IR_OPERATIONS
from modelzoo.formats import mmdnn_ir
from modelzoo.formats import onnx as onnx_file
from modelzoo.formats.networks import Node
from modelzoo.formats.npy_dict import read_npy_dict, write_npy_dict
from modelzoo.graph.elementwise import Activation
from modelzoo.graph.operators import OPERATORS
from tests.fuzz.networks import graph_constant, graph_seeds, small
from tests.operators import CASES, arrays_of, graph_of, inputs_of, relative

FEW = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
BEYOND = {Activation("gelu_tanh")}  # is many operations in ONNX, of which a graph has some only
TOLERANCE = 1e-6


def answers(path: Path, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What the network in a file gives, in float64; inputs in the graph's order."""
    with importers.opened(path) as found:
        given = dict(zip(found.graph.inputs, inputs.values(), strict=True))
        return list(reference.run(found.graph, found.arrays, given).values())


@pytest.mark.parametrize("name", CASES)
@FEW
@given(data=st.data(), fold=st.booleans())
def test_what_is_written_to_onnx_comes_back(name, data, fold, tmp_path):
    case = data.draw(CASES[name])
    graph, inputs = graph_of(case), inputs_of(case, 2)
    arrays, path = arrays_of(graph), tmp_path / "network.onnx"
    onnx.write(path, graph, arrays, {}, Options(fold=fold))
    if case[0] in BEYOND:
        with pytest.raises(ConversionError, match="Cannot express the operation"):
            answers(path, inputs)
        return
    (found,) = answers(path, inputs)
    assert relative(found, reference.run(graph, arrays, inputs)["y"]) <= TOLERANCE


@pytest.mark.parametrize("name", [name for name in CASES if OPERATORS[name] in IR_OPERATIONS])
@FEW
@given(data=st.data())
def test_what_is_written_to_mmdnns_representation_comes_back(name, data, tmp_path):
    case = data.draw(CASES[name])
    graph, inputs = graph_of(case), inputs_of(case, 2)
    arrays, path = arrays_of(graph), tmp_path / "network.pb"
    try:
        ir.write(path, graph, arrays, {}, Options())
    except ValueError as error:
        assert str(error).startswith("MMdnn has no")  # noqa: PT017
        return
    assert "read back and equal" in ir.check(path, graph, arrays, Options())
    expected = reference.run(graph, arrays, inputs)["y"]
    for form in (path, path.with_suffix(".json")):
        (found,) = answers(form, inputs)
        assert relative(found.reshape(expected.shape), expected) <= TOLERANCE


@pytest.fixture
def channels_first(tmp_path) -> tuple[Path, list[onnx_file.Operation], dict[str, np.ndarray]]:
    """A network as torch writes it: what its operations are, and its constants."""
    noise = np.random.default_rng(0)
    shapes = {
        "stem.weight": (8, 3, 3, 3),
        "stem.bias": (8,),
        "deep.weight": (8, 1, 3, 3),
        "fc.weight": (5, 8),
    }
    constants = {name: noise.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    constants |= {f"bn.{name}": noise.uniform(0.5, 1, 8).astype(np.float32) for name in ("w", "b", "m", "v")}
    constants |= {"fc.bias": np.ones(5, np.float32)}
    pads = {"pads": (1, 1, 1, 1)}
    operations = [
        onnx_file.Operation(
            "Conv", "conv1", ("x", "stem.weight", "stem.bias"), "a", {"strides": (2, 2), **pads}
        ),
        onnx_file.Operation("BatchNormalization", "bn", ("a", "bn.w", "bn.b", "bn.m", "bn.v"), "b"),
        onnx_file.Operation("Relu", "relu", ("b",), "c"),
        onnx_file.Operation(
            "MaxPool", "pool", ("c",), "d", {"kernel_shape": (3, 3), "strides": (2, 2), **pads}
        ),
        onnx_file.Operation("Conv", "conv2", ("d", "deep.weight"), "e", {"group": 8, **pads}),
        onnx_file.Operation("Add", "sum", ("d", "e"), "f"),
        onnx_file.Operation("AveragePool", "mean", ("f",), "g", {"kernel_shape": (2, 2), "ceil_mode": 1}),
        onnx_file.Operation("GlobalAveragePool", "all", ("g",), "h"),
        onnx_file.Operation("Flatten", "flat", ("h",), "i"),
        onnx_file.Operation("Gemm", "fc", ("i", "fc.weight", "fc.bias"), "y", {"transB": 1}),
    ]
    return tmp_path / "torch.onnx", operations, constants


def write_onnx(path: Path, operations: list[onnx_file.Operation], constants: dict[str, np.ndarray]) -> None:
    stored = [
        onnx_file.Constant(name, array.shape, "float32", lambda array=array: array)
        for name, array in constants.items()
    ]
    ends = {"x": ["n", 3, 17, 22]}, {"y": ["n", 5]}
    with path.open("wb") as file:
        onnx_file.write(file, onnx_file.Network("net", *ends, operations, stored, 17), {}, ("torch", "2"))


def test_a_network_with_its_channels_first_takes_images_with_them_last(channels_first):
    runtime = pytest.importorskip("onnxruntime")
    path, operations, constants = channels_first
    write_onnx(path, operations, constants)
    images = np.random.default_rng(1).normal(size=(2, 3, 17, 22)).astype(np.float32)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = answers(path, {"x": images.transpose(0, 2, 3, 1)})
    assert relative(found, session.run(None, {"x": images})[0]) <= TOLERANCE
    with importers.opened(path) as network:
        assert network.graph.inputs == {"x": (None, 17, 22, 3)}
        assert [node.name for node in network.graph.nodes if node.weights] == ["stem", "bn", "deep", "fc"]


@pytest.mark.parametrize(
    ("kind", "attributes", "sentence"),
    [
        ("InstanceNormalization", {}, r"'relu' \(InstanceNormalization\): no operator does"),
        ("Clip", {"min": -1.0}, r"'relu' \(Clip\): no operator has min=-1.0"),
        ("Transpose", {"perm": (1, 0, 2, 3)}, "the batch must stay first"),
        ("Softmax", {"axis": 7}, "expected an axis of 4, got 7"),
    ],
)
def test_an_operation_that_no_operator_does_is_named(kind, attributes, sentence, channels_first):
    path, operations, constants = channels_first
    operations[2] = onnx_file.Operation(kind, "relu", ("b",), "c", attributes)
    write_onnx(path, operations, constants)
    with pytest.raises(ConversionError, match=sentence), importers.opened(path):
        pass


def test_a_frozen_graph_answers_as_tensorflow(tmp_path):
    """One that TensorFlow wrote: padding, dilation, an unfused batch norm, and a shape that is computed."""
    tf = pytest.importorskip("tensorflow").compat.v1
    noise = np.random.default_rng(2)
    kernels = [noise.normal(size=shape).astype(np.float32) for shape in ((3, 3, 2, 8), (3, 3, 8, 1), (8, 5))]
    with tf.Graph().as_default() as graph:
        x = images = tf.placeholder(tf.float32, (None, 9, 8, 2), "images")
        x = tf.nn.conv2d(tf.pad(x, [[0, 0], [1, 2], [0, 1], [0, 0]]), kernels[0], 2, "VALID")
        scale = tf.rsqrt(tf.constant(noise.uniform(0.5, 1, 8), tf.float32) + 1e-3)
        x = tf.nn.relu6(x * scale + np.float32(np.linspace(-1, 1, 8)))
        x = tf.nn.bias_add(
            tf.nn.depthwise_conv2d(x, kernels[1], [1, 1, 1, 1], "SAME"), np.ones(8, np.float32)
        )
        x = tf.nn.max_pool(tf.concat([x, x * 0.5], 3), 2, 2, "SAME")
        x = tf.reshape(tf.reduce_mean(x, [1, 2]), [tf.shape(x)[0], 2, 8])
        x = tf.matmul(tf.reshape(x, [-1, 16]), np.concatenate([kernels[2]] * 2)) + np.float32(0.1)
        output = tf.nn.softmax(x, name="output")
        values = noise.normal(size=(3, 9, 8, 2)).astype(np.float32)
        with tf.Session(graph=graph) as session:
            expected = session.run(output, {images: values})
    path = tmp_path / "frozen.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    (found,) = answers(path, {"images": values})
    assert relative(found, expected) <= TOLERANCE


def test_an_unfused_batch_norm_is_one_layer(tmp_path):
    path = tmp_path / "frozen.pb"
    path.write_bytes(graph_seeds()[0])
    with importers.opened(path) as found:
        kinds = [type(node.operator).__name__ for node in found.graph.nodes]
    assert kinds == ["Conv", "BatchNorm", "Activation", "GlobalPool", "Dense", "Activation"]


def test_a_circle_of_operations_is_refused(tmp_path):
    path = tmp_path / "frozen.pb"
    path.write_bytes(graph_seeds()[0].replace(b"\x06images\x1a", b"\x06output\x1a"))
    with pytest.raises(ConversionError, match="depends on itself"), importers.opened(path):
        pass


def test_one_value_for_millions_of_places_is_refused(tmp_path):
    path = tmp_path / "frozen.pb"
    constant = graph_constant("scale", np.ones(5, np.float32))
    path.write_bytes(
        graph_seeds()[0].replace(b"\x08\x05", b"\x08\x7f") + constant.replace(b"scale", b"other")
    )
    with pytest.raises(ConversionError), importers.opened(path):
        pass


def test_numpy_reads_the_arrays_that_are_written(tmp_path):
    path, array = tmp_path / "a.npy", np.arange(6, dtype=np.float32).reshape(2, 3)
    write_npy_dict(path, {"conv": {"weights": lambda: array}})
    assert np.array_equal(np.load(path, allow_pickle=True).item()["conv"]["weights"], array)
    assert np.array_equal(read_npy_dict(path)["conv/weights"].array(), array)


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "numpy.core.multiarray.scalar"])
def test_a_dict_of_arrays_makes_nothing_else(name, tmp_path):
    path = tmp_path / "a.npy"
    write_npy_dict(path, {})
    module, _, function = name.rpartition(".")
    call = f"c{module}\n{function}\n".encode() + b"X\x02\x00\x00\x00id\x85R."
    path.write_bytes(path.read_bytes().partition(b"\x80\x03")[0] + b"\x80\x03" + call)
    with pytest.raises(ValueError, match="nothing is executed here"):
        read_npy_dict(path)


def test_a_representation_without_its_arrays_says_which_file_is_missing(tmp_path):
    path = tmp_path / "net.pb"
    ir.write(path, *small(), {}, Options())
    path.with_suffix(".npy").unlink()
    with pytest.raises(ConversionError, match=r"must lie beside it as 'net.npy'"), importers.opened(path):
        pass


def test_what_no_reader_knows_is_refused(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"something else")
    with pytest.raises(ConversionError, match="is something else"), importers.opened(path):
        pass
    with pytest.raises(ConversionError, match="There is no file"), importers.opened(tmp_path / "none"):
        pass


@pytest.mark.parametrize("suffix", [".pb", ".json"])
def test_an_operation_of_mmdnn_keeps_a_text_of_a_megabyte(suffix, tmp_path):
    """As the names of 11,166 classes are in a file of ours."""
    path, text = tmp_path / "network.pb", "é" * 500_000
    nodes = [Node(mmdnn_ir.INPUT, "", "x", (), ("x",), {"text": text})]
    mmdnn_ir.write_nodes(nodes, path, path.with_suffix(".json"))
    (found,) = mmdnn_ir.read_nodes(path.with_suffix(suffix))
    assert found.attributes == {"text": text}
