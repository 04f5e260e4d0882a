"""A network as a program of plain Keras layer calls: readable, and the same to the last bit."""

from __future__ import annotations

import ast
import subprocess
import sys

import keras
import numpy as np
import pytest

import modelzoo
from modelzoo import registry, weights, zoo
from modelzoo.backends import keras as backend
from modelzoo.backends import keras_values
from modelzoo.exporters import FORMATS, Metadata, Options
from modelzoo.exporters.python_program import WIDTH, program
from modelzoo.graph import Builder, Graph
from modelzoo.graph.convolutions import Conv, Dense
from modelzoo.graph.elementwise import Activation, Add, ReLU
from modelzoo.graph.normalization import BatchNorm
from modelzoo.graph.pooling import MaxPool
from modelzoo.zoo import NetworkOptions
from tests.test_export import arrays_of, one_sentence, run

# One of each way of writing: chains, blocks with options, loops, branches, cells, shared names, operations.
MODELS = [
    "resnet9_cifar10.modelzoo",
    "mobilenet_0.25_128.keras",
    "mobilenet_v1_0.25_128.slim",
    "mobilenet_v2_0.35_96.keras",
    "mobilenet_v3_small_1.0.keras",
    "resnet18_v1b.gluon",
    "resnet50_v1d.gluon",
    "efficientnet_b0.keras",
    "efficientnet_lite0.tpu",
    "densenet121.keras",
    "inception_v3.keras",
    "convnext_tiny.keras",
    "nasnet_mobile.slim",
    "yolo2.darknet",
]


def graph_of(name: str) -> Graph:
    return zoo.graph_of(registry.info(name), NetworkOptions())


@pytest.fixture(scope="module")
def ejected(tmp_path_factory):
    """Writes a network and gives the namespace of its program."""

    def eject(graph: Graph, arrays):
        path = tmp_path_factory.mktemp("ejected") / "network.py"
        FORMATS["python"].writer().write(
            path, graph, arrays, Metadata(graph.name, modelzoo="0").texts(), Options()
        )
        namespace = {"__file__": str(path), "__name__": "network"}
        exec(compile(path.read_text(), str(path), "exec"), namespace)  # which was just written
        return path, namespace

    return eject


def ours(graph: Graph, arrays) -> keras.Model:
    model = backend.model(graph)
    keras_values.assign(model, ((path, arrays[path]) for path in graph.weights))
    return model


def images_for(graph: Graph) -> np.ndarray:
    (shape,) = graph.inputs.values()
    return np.random.default_rng(0).standard_normal((2, *shape[1:])).astype(np.float32)


@pytest.mark.parametrize("name", MODELS)
def test_the_program_gives_the_same_bits(name, ejected):
    graph = graph_of(name)
    images = images_for(graph)
    with zoo.values(registry.info(name), NetworkOptions(), "synthetic", graph) as lazily:
        arrays = {path: lazily[path] for path in graph.weights}
    _, namespace = ejected(graph, arrays)
    expected = np.asarray(ours(graph, arrays)(images, training=False))
    assert np.isfinite(expected).all()
    assert np.array_equal(np.asarray(namespace["load"]()(images, training=False)), expected)


@pytest.mark.parametrize("name", sorted(registry.list_models()))
def test_every_network_is_written_in_lines_that_python_reads(name):
    """Names are those of the layers, all of them, and lines are short."""
    graph = graph_of(name)
    lines = program(graph)
    ast.parse("\n".join(lines))
    assert max(map(len, lines)) <= WIDTH + 30  # one argument may be longer
    assert lines[-1].startswith("    return keras.Model(")


@pytest.mark.parametrize(
    ("name", "most"), [("resnet50.keras", 60), ("efficientnet_b0.keras", 120), ("yolo2.darknet", 60)]
)
def test_what_repeats_is_a_function_or_a_loop(name, most):
    lines = program(graph_of(name))
    assert len(lines) <= most < len(graph_of(name).nodes)
    assert sum(line.startswith("def ") for line in lines) >= 2


def test_the_blocks_of_a_resnet_are_written_as_a_person_would():
    lines = program(graph_of("resnet50.keras"))
    assert "def conv_block(inputs, filters, strides=1, projection=False, *, name):" in lines
    assert '        shortcut = conv_bn(shortcut, 4 * filters, strides=strides, name=f"{name}_0_*")' in lines
    at = lines.index('    x = conv_block(x, 128, strides=2, projection=True, name="conv3_block1")')
    assert lines[at + 1 : at + 3] == [
        "    for number in range(2, 5):",
        '        x = conv_block(x, 128, name=f"conv3_block{number}")',
    ]


def shared_and_named() -> Graph:
    """A layer that is called twice, an operation without a name, two outputs, uneven padding, quotes."""
    nn = Builder()
    x = nn.input("images", (None, 8, 8, 4))
    conv = Conv(4, (3, 3), padding=((0, 2), (2, 0)))
    once = nn.add_node(conv, x, name="twice", layer="shared")
    twice = nn.add_node(conv, once, name="twice_1", layer="shared")
    total = nn.add_node(Add(), once, twice, name="sum")
    small = nn.add_node(MaxPool((2, 2), (2, 2)), total, name="pool", layer="pool")
    named = nn.add_node(ReLU(6.0), small, name='a"quote', layer='a"quote')
    return nn.graph("odd", {"small": named, "large": total})


def test_shared_layers_operations_and_several_outputs_are_written(ejected):
    graph = shared_and_named()
    arrays = arrays_of(graph)
    images = images_for(graph)
    path, namespace = ejected(graph, arrays)
    found = namespace["load"]()(images, training=False)
    expected = ours(graph, arrays)(images, training=False)
    assert set(found) == {"small", "large"}
    assert all(np.array_equal(np.asarray(found[name]), np.asarray(expected[name])) for name in found)
    assert path.read_text().count("layers.Conv2D(") == 1


def test_names_of_a_strangers_model_are_no_code(ejected):
    """Names stand in f-strings, comments and texts of the program."""
    nn = Builder()
    x = nn.input("if", (None, 8, 8, 3))
    evil = [
        f"{{print(open('/etc/hostname'))}}{number}_block1_\"\\n#\nraise SystemExit(1)" for number in range(4)
    ]
    for name in evil:
        x = nn.add_node(Conv(3, (1, 1), bias=False), x, name=f"{name}_conv", layer=f"{name}_conv")
        x = nn.add_node(BatchNorm(), x, name=f"{name}_bn", layer=f"{name}_bn")
        x = nn.add_node(Activation("relu"), x, name=f"{name}_relu", layer=f"{name}_relu")
    graph = nn.graph('""" * evil', {"y": x})
    lines = program(graph)
    assert not any("{print" in line and 'f"' in line for line in lines)
    tree = ast.parse("\n".join(lines))
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert called == set()


def alternating() -> Graph:
    """Blocks with and without an activation, and with other numbers of filters."""
    nn = Builder()
    x = nn.input("images", (None, 8, 8, 3))
    for number in range(1, 7):
        owner = f"stage1_block{number}"
        inner = x
        for part in (1, 2, 3):
            conv = Conv(number * 2, (1, 1), bias=False)
            inner = nn.add_node(conv, inner, name=f"{owner}_conv{part}", layer=f"{owner}_conv{part}")
            inner = nn.add_node(BatchNorm(), inner, name=f"{owner}_bn{part}", layer=f"{owner}_bn{part}")
            if part < 3 or number % 2:
                name = f"{owner}_relu{part}"
                inner = nn.add_node(Activation("relu"), inner, name=name, layer=name)
        x = inner
    return nn.graph("alternating", {"y": nn.add_node(Dense(2), x, name="y", layer="y")})


def test_an_activation_that_only_some_blocks_have_is_not_lost(ejected):
    graph = alternating()
    arrays = arrays_of(graph)
    images = images_for(graph)
    _, namespace = ejected(graph, arrays)
    expected = ours(graph, arrays)(images, training=False)
    assert np.array_equal(np.asarray(namespace["load"]()(images, training=False)), np.asarray(expected))


def test_a_weight_that_is_missing_or_of_another_shape_is_refused(ejected, tmp_path):
    graph = alternating()
    arrays = arrays_of(graph)
    _, namespace = ejected(graph, arrays)
    weights.write(tmp_path / "few.h5", list(arrays.items())[1:], {})
    with pytest.raises(KeyError):
        namespace["load"](tmp_path / "few.h5")
    wrong = {path: array[..., :1] for path, array in arrays.items()}
    weights.write(tmp_path / "wrong.h5", wrong.items(), {})
    with pytest.raises(ValueError, match="shape"):
        namespace["load"](tmp_path / "wrong.h5")


def test_the_command_writes_a_program_that_needs_no_modelzoo(tmp_path, capsys):
    path = tmp_path / "network.py"
    assert run("export", "resnet9_cifar10", "-o", path) == 0
    assert "python" in capsys.readouterr().out
    assert sorted(file.name for file in tmp_path.iterdir()) == ["network.h5", "network.py"]
    script = (
        "import sys; sys.modules['modelzoo'] = None; sys.path.insert(0, '.'); import network, numpy; "
        "model = network.load(); print(model(numpy.zeros((1, 32, 32, 3), 'float32')).shape)"
    )
    found = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == "(1, 10)"
    assert run("inspect", path) == 0
    assert "resnet9_cifar10.modelzoo" in capsys.readouterr().out


def test_a_program_whose_weight_file_is_foreign_is_one_sentence(tmp_path, capsys):
    path = tmp_path / "network.py"
    path.write_text("raise SystemExit('this ran')")
    path.with_suffix(".h5").write_bytes(b"nothing")
    assert run("inspect", path) == 1
    assert "network.h5 beside it does not hold what modelzoo writes" in one_sentence(capsys)


def test_half_precision_is_refused(tmp_path, capsys):
    assert run("export", "resnet9_cifar10", "-o", tmp_path / "n.py", "--precision", "f16") == 1
    assert "Python files are in f32, not in 'f16'" in one_sentence(capsys)
    assert modelzoo.__version__
