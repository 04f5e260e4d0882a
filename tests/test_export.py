"""Files that leave the zoo: each answers in its own runtime as the network does, or is not there."""

from __future__ import annotations

import ast
import dataclasses
import errno
import importlib.util
import json
import os
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import modelzoo
from modelzoo import cli, exporters, registry, weights, zoo
from modelzoo.backends import numpy as reference
from modelzoo.errors import ExportError, OutputError
from modelzoo.exporters import FORMATS, Metadata, Samples, onnx, proof, runner, samples
from modelzoo.exporters.delivery import Network, deliver
from modelzoo.exporters.options import Options
from modelzoo.formats import onnx as onnx_file
from modelzoo.graph import Builder, Graph
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv
from modelzoo.graph.elementwise import Activation, Add, ReLU
from modelzoo.graph.normalization import BatchNorm
from modelzoo.graph.passes import fold_batch_norms
from modelzoo.graph.pooling import GlobalPool
from modelzoo.runtimes.deployment import FILES as DEPLOYED
from modelzoo.tasks import networks
from tests.conftest import CAT, ROOT
from tests.operators import arrays_of, relative
from tests.unprivileged import prefix

MODEL = "resnet9_cifar10"
FILES = {
    "onnx": "network.onnx",
    "openvino": "network.xml",
    "keras": "network.keras",
    "litert": "network.tflite",
    "python": "network.py",
}
INSTALLED = {
    name: pytest.param(name, marks=pytest.mark.skipif(missing, reason=f"{name} is not installed"))
    for name, missing in ((n, importlib.util.find_spec(FORMATS[n].package) is None) for n in FILES)
}
KEYS = modelzoo.list_models(sort="parameters")
SMALLEST = list(  # the smallest entry of each family, of those that are quick to write
    {
        registry.info(key).graph.family: key for key in reversed(KEYS) if registry.info(key).parameters < 12e6
    }.values()
)


def small(sides: tuple[int | None, int | None] = (None, None), *, shift: float = 0.0) -> tuple[Graph, dict]:
    """A network with folded, kept and depthwise parts, and two outputs."""
    nn = Builder()
    x = nn.input("images", (None, *sides, 3))
    add = lambda operator, *inputs, name: nn.add_node(operator, *inputs, name=name, layer=name)  # noqa: E731
    x = add(Conv(8, (3, 3), (2, 2), "same", bias=False), x, name="conv1")
    first = x = add(BatchNorm(1e-3), x, name="bn1")
    x = add(ReLU(), x, name="relu1")
    x = add(DepthwiseConv((3, 3), padding="same"), x, name="depthwise")
    x = add(Add(), x, first, name="sum")
    x = add(BatchNorm(1e-3), x, name="bn2")
    pool = add(GlobalPool(), x, name="pool")
    logits = add(Dense(5), pool, name="logits")
    output = add(Activation("softmax"), logits, name="probabilities")
    graph = nn.graph("small", {"probabilities": output, "C1": first}, {"C1": first})
    arrays = arrays_of(graph)
    arrays["logits/bias"] = arrays["logits/bias"] + np.float32(shift)
    return graph, arrays


def network(**options) -> Network:
    graph, arrays = small(**options)
    photograph = np.random.default_rng(0).standard_normal((32, 32, 3)).astype(np.float32)
    return Network(graph, arrays, Metadata("small", modelzoo="0"), Samples(photograph, (32, 32)))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """What writes the small model in a format, once."""
    pytest.importorskip("onnxruntime")
    folder, found = tmp_path_factory.mktemp("exported"), {}

    def get(format: str) -> Path:
        if format not in found:
            found[format] = modelzoo.export(MODEL, folder / FILES[format], format=format)
        return found[format].path

    return get


@pytest.mark.parametrize("format", INSTALLED.values())
def test_a_file_answers_as_the_network_does_in_its_own_runtime(format, tmp_path):
    """At batches of one and three, at the network's size and at another one, every output by its name."""
    found = deliver(network(), tmp_path / FILES[format], FORMATS[format], Options())
    assert found.path.is_file()
    assert found.bytes == sum(file.stat().st_size for file in tmp_path.iterdir())
    comparisons = found.proof.comparisons
    assert {c.output for c in comparisons} == {"probabilities", "C1"}
    assert {c.inputs for c in comparisons} == {
        ((batch, *size, 3),) for batch in (1, 3) for size in ((32, 32), (32, 64))
    }
    assert max(c.relative_l2 for c in comparisons) < 1e-5
    assert all(c.same_labels == c.shape[0] for c in comparisons if c.output == "probabilities")
    assert not list(tmp_path.glob("modelzoo-*"))


@pytest.mark.parametrize("key", SMALLEST)
def test_another_size_is_one_that_the_network_takes(key):
    entry = registry.info(key)
    graph = zoo.graph_of(entry, networks.open_sides(entry, FORMATS["onnx"]))
    size = entry.graph.input_shape[:2]
    for other in samples.another_size(graph, size):
        assert other[0] != other[1]
        assert samples.takes(graph, other)


def test_a_larger_size_is_taken_where_a_smaller_one_is_too_small():
    nn = Builder()
    x = nn.input("images", (None, None, None, 3))
    graph = nn.graph("wide", {"y": nn.add_node(Conv(2, (200, 200)), x, name="y", layer="y")})
    assert samples.another_size(graph, (224, 224)) == [(224, 256)]


def test_a_comparison_is_one_line():
    comparison = proof.Comparison("logits", ((3, 224, 224, 3),), (3, 1000), 4.1e-7, 3)
    assert str(comparison) == '"logits" (3, 1000): relative L2 4.1e-07, first label equal 3 of 3'


def with_write(format: exporters.Format, write) -> exporters.Format:
    """The format, written by another function."""
    module = format.writer()
    other = SimpleNamespace(write=write, add_text=module.add_text, read_texts=module.read_texts)
    return dataclasses.replace(format, writer=lambda: other)


def changed(format: exporters.Format) -> exporters.Format:
    """A writer that writes other values."""

    def write(path, graph, arrays, texts, options):
        other = {name: array * np.float32(1.001) for name, array in arrays.items()}
        format.writer().write(path, graph, other, texts, options)

    return with_write(format, write)


@pytest.mark.parametrize("keep", [False, True])
def test_a_file_that_differs_is_not_left_unless_it_is_asked_for(keep, tmp_path):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "network.onnx"
    path.write_text("what was there before")
    with pytest.raises(ExportError, match=r"answers otherwise than small does.*relative L2"):
        deliver(network(), path, changed(FORMATS["onnx"]), Options(), keep=keep)
    assert [file.name for file in tmp_path.iterdir()] == ["network.onnx"]
    assert (path.read_bytes() == b"what was there before") != keep


def test_values_that_are_not_finite_are_no_proof():
    comparison = proof.Comparison("logits", ((1, 8, 8, 3),), (1, 10), float("nan"), 1)
    assert proof.Proof("a runtime", "f32", 1e-5, (comparison,)).failures == [comparison]


def test_a_changed_first_label_counts_where_the_network_led_by_more_than_the_noise():
    ours = np.array([[1.0, 1.001, 0.0], [1.0, 2.0, 0.0]])
    close, clear = ours.copy(), ours.copy()
    close[0] = [1.002, 1.0, 0.001]
    clear[1] = [1.0, 2.0, 2.001]
    assert proof._labels(close, ours, close - ours) == (1, 0)
    rest = np.concatenate([ours, np.zeros((2, 997))], axis=1)
    found = np.concatenate([clear, np.zeros((2, 997))], axis=1)
    assert proof._labels(found, rest, found - rest) == (1, 1)


def softmax_network() -> Graph:
    nn = Builder()
    x = nn.input("x", (None, 50))
    return nn.graph("softmax", {"p": nn.add_node(Activation("softmax"), x, name="p", layer="p")})


@pytest.mark.parametrize(
    ("spoil", "passes"),
    [
        (lambda p: p, True),
        (lambda p: p * 1.001, False),  # not normalized
        (lambda p: np.where(p < 1e-20, 0.0, p), False),
        (lambda p: p[:, ::-1], False),
        (lambda p: p * np.nan, False),
        (lambda p: p - 1e-3, False),
    ],
    ids=["equal", "scaled", "cut", "turned", "not finite", "negative"],
)
def test_probabilities_are_compared_as_the_logits_they_are_made_of(spoil, passes):
    """Logits up to 50, rounded to float32: each probability is off by fifty times as much."""
    logits = np.random.default_rng(0).normal(0, 10, (3, 50))
    logits[:, 0] = 50
    exact = np.exp(logits - logits.max(1, keepdims=True))
    rounded = np.exp(logits.astype(np.float32).astype(np.float64) - logits.max(1, keepdims=True))
    exact, rounded = (values / values.sum(1, keepdims=True) for values in (exact, rounded))
    found = spoil(rounded).astype(np.float32)
    (comparison,) = proof.compared(softmax_network(), {"x": logits}, [found], {"p": exact})
    assert comparison.as_logits
    assert (comparison.relative_l2 <= proof.TOLERANCES["f32"] and not comparison.changed) == passes


@pytest.mark.parametrize(("wrong", "passes"), [(0.0, True), (0.05, False)])
def test_few_probabilities_say_how_exact_logits_of_hundreds_are(wrong, passes):
    """Of a thousand some ten are above what float32 tells from 0; each is as exact as its logit is."""
    logits = np.random.default_rng(0).normal(0, 150, (3, 50))
    logits[:, :8] = 500 + np.arange(8) * 5
    exact, rounded = (np.exp(x - logits.max(1, keepdims=True)) for x in (logits, logits * (1 + 3e-6)))
    rounded[:, 3] *= 1 + wrong
    exact, rounded = (values / values.sum(1, keepdims=True) for values in (exact, rounded))
    assert ((exact > proof.UNDERFLOW).sum(1) < 12).all()
    found = rounded.astype(np.float32)
    (comparison,) = proof.compared(softmax_network(), {"x": logits}, [found], {"p": exact})
    assert (comparison.relative_l2 <= proof.TOLERANCES["f32"]) == passes


def test_noise_has_the_levels_of_the_photograph():
    photograph = np.random.default_rng(0).uniform(0, 255, (32, 32, 3)).astype(np.float32)
    nn = Builder()
    x = nn.input("images", (None, 32, 32, 3))
    graph = nn.graph("one", {"y": nn.add_node(Activation("relu"), x, name="y", layer="y")})
    (batch,) = Samples(photograph, (32, 32)).batches(graph)
    noise = batch["images"][2]
    assert abs(noise.mean() - photograph.mean()) < 0.1 * photograph.std()
    assert abs(noise.std() / photograph.std() - 1) < 0.1
    assert np.array_equal(batch["images"][0], photograph)


def test_half_precision_takes_half_of_the_bytes_and_keeps_the_labels(tmp_path):
    pytest.importorskip("onnxruntime")
    whole, half = (
        modelzoo.export(MODEL, tmp_path / f"{precision}.onnx", precision=precision)
        for precision in ("f32", "f16")
    )
    assert half.bytes < 0.55 * whole.bytes
    assert 1e-6 < half.proof.worst < 1e-3
    assert all(c.same_labels == c.shape[0] for c in half.proof.comparisons)


@pytest.mark.parametrize("format", INSTALLED.values())
def test_a_file_says_what_it_is_and_carries_its_proof(format, exported):
    found, entry = exporters.inspect(exported(format)), registry.info(MODEL)
    assert found.metadata.name == entry.key
    assert found.metadata.preprocessing == json.loads(json.dumps(dataclasses.asdict(entry.preprocessing)))
    assert [name for _, name in found.metadata.labels][3] == "cat"
    assert found.metadata.license == dataclasses.asdict(entry.licenses)
    assert found.metadata.provenance["trained_by"] == "scripts/train/cifar10.py"
    assert found.proof["tolerance"] == 1e-5
    assert found.proof["comparisons"][0]["relative_l2"] < 1e-5


@pytest.mark.parametrize("format", [p for n, p in INSTALLED.items() if FORMATS[n].suffix in DEPLOYED])
def test_a_file_classifies_with_nothing_but_itself(format, exported, tmp_path):
    """Under another name, without a cache: the answers are the model's own."""
    path = tmp_path / f"anything{FORMATS[format].suffix}"
    for source, target in zip(
        FORMATS[format].files(exported(format)), FORMATS[format].files(path), strict=True
    ):
        target.write_bytes(source.read_bytes())
    deployment = modelzoo.Deployment(str(path))
    assert deployment.runtime == FORMATS[format].runtime
    ours, theirs = modelzoo.Classifier(MODEL)([CAT])[0], modelzoo.Classifier(str(path))([CAT])[0]
    assert [p.name for p in ours] == [p.name for p in theirs]
    assert np.allclose([p.probability for p in ours], [p.probability for p in theirs], rtol=1e-4)
    assert modelzoo.Deployment.from_json(deployment.to_json()) == deployment


def test_many_images_are_classified_with_a_file(exported, tmp_path):
    output = tmp_path / "labels.jsonl"
    modelzoo.classify_files([str(CAT)], output, modelzoo.Deployment(str(exported("onnx"))))
    assert json.loads(output.read_text())["predictions"][0]["name"] == "cat"


def test_the_runner_imports_nothing_of_modelzoo():
    """Or a file that needs modelzoo would pass."""
    names = [
        alias.name
        for node in ast.walk(ast.parse(Path(runner.__file__).read_text("utf-8")))
        for alias in getattr(node, "names", [])
    ] + [
        node.module
        for node in ast.walk(ast.parse(Path(runner.__file__).read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
    ]
    assert not [name for name in names if name.startswith("modelzoo")]


# ONNX


def lazily(graph: Graph):
    return weights.Arrays(graph.weights, lambda path: arrays_of_path(graph, path))


def arrays_of_path(graph: Graph, path: str) -> np.ndarray:
    return np.full(graph.weights[path].shape, 0.01, np.float32)


@pytest.mark.parametrize("opset", FORMATS["onnx"].opsets)
@pytest.mark.parametrize("key", SMALLEST)
def test_onnx_own_checker_and_shape_inference_accept_every_family(key, opset, tmp_path):
    """With the names of our layers, and the sides that are open."""
    package = pytest.importorskip("onnx")
    entry = registry.info(key)
    graph = zoo.graph_of(entry, networks.open_sides(entry, FORMATS["onnx"]))
    path = tmp_path / "network.onnx"
    onnx.write(path, graph, lazily(graph), {"a": "text"}, Options(opset=opset))
    package.checker.check_model(str(path), full_check=True)
    model = package.shape_inference.infer_shapes(package.load(path), strict_mode=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", opset)]
    assert {p.key: p.value for p in model.metadata_props} == {"a": "text"}
    names = {node.name for node in model.graph.node}
    layers = {node.name for node in graph.nodes if isinstance(node.operator, (Conv, Dense, DepthwiseConv))}
    assert layers <= names
    assert len(names) == len(model.graph.node)
    for kind, expected in ((model.graph.input, graph.inputs), (model.graph.output, graph.output_shapes)):
        found = {
            value.name: tuple(
                side.dim_value if side.HasField("dim_value") else None
                for side in value.type.tensor_type.shape.dim
            )
            for value in kind
        }
        assert found == expected


def test_onnx_is_written_with_little_more_memory_than_the_largest_tensor(tmp_path):
    nn = Builder()
    x = nn.input("images", (None, None, None, 64))
    for number in range(8):
        x = nn.add_node(Conv(512, (3, 3), bias=False), x, name=f"conv{number}", layer=f"conv{number}")
        x = nn.add_node(BatchNorm(), x, name=f"bn{number}", layer=f"bn{number}")
    graph = nn.graph("large", {"x": x})
    largest = max(weight.size for weight in graph.weights.values()) * 4
    tracemalloc.start()
    try:
        onnx.write(tmp_path / "network.onnx", graph, lazily(graph), {}, Options())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * largest  # folding computes in float64
    assert (tmp_path / "network.onnx").stat().st_size > 7 * largest


def outputs_of(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"images": images}), strict=True))


@pytest.mark.parametrize("fold", [True, False])
def test_batch_norms_are_folded_or_kept(fold, tmp_path):
    """One that comes after a kernel and that nobody else sees; the outputs are the same."""
    graph, arrays = small()
    path, images = tmp_path / "network.onnx", np.ones((2, 16, 16, 3), np.float32)
    onnx.write(path, graph, arrays, {}, Options(fold=fold))
    kinds = [operation.kind for operation in onnx.network_of(graph, arrays, fold=fold).operations]
    assert kinds.count("BatchNormalization") == (1 if fold else 2)
    assert kinds.count("Transpose") <= 2  # of the images, and of the output with channels last
    expected = reference.run(graph, arrays, {"images": images})
    for name, found in outputs_of(path, images).items():
        assert relative(found, expected[name]) < 1e-5


def test_half_precision_weights_are_folded_in_single_precision():
    """Products of float16 values have more digits than float16 has."""
    graph, arrays = small()
    halves = {path: array.astype(np.float16) for path, array in arrays.items()}
    folded, found = fold_batch_norms(graph, halves)
    images = np.random.default_rng(0).standard_normal((1, 16, 16, 3))
    expected = reference.run(graph, halves, {"images": images})["C1"]
    assert relative(reference.run(folded, found, {"images": images})["C1"], expected) < 1e-6


def test_feature_maps_keep_their_names_and_lie_as_in_the_graph(tmp_path):
    entry = registry.info(MODEL)
    options = zoo.NetworkOptions(features=True)
    graph = zoo.graph_of(entry, options)
    with zoo.values(entry, options, zoo.find_weights(entry, options, "pretrained"), graph) as arrays:
        onnx.write(tmp_path / "features.onnx", graph, arrays, {}, Options())
        images = np.random.default_rng(0).standard_normal((1, 32, 32, 3)).astype(np.float32)
        expected = reference.run(graph, arrays, {"images": images})
    found = outputs_of(tmp_path / "features.onnx", images)
    assert list(found) == list(graph.outputs)
    assert all(relative(found[name], expected[name]) < 1e-6 for name in expected)


def test_outputs_that_are_inputs_or_given_twice_have_all_their_names(tmp_path):
    nn = Builder()
    x = nn.input("images", (None, 4, 4, 3))
    y = nn.add_node(ReLU(), x, name="relu")
    graph = nn.graph("odd", {"relu": x, "a": y, "b": y})
    onnx.write(tmp_path / "odd.onnx", graph, {}, {}, Options())
    images = np.random.default_rng(0).standard_normal((2, 4, 4, 3)).astype(np.float32)
    found = outputs_of(tmp_path / "odd.onnx", images)
    assert list(found) == ["relu", "a", "b"]
    assert np.array_equal(found["relu"], images)
    assert np.array_equal(found["b"], images.clip(0))


def test_equal_networks_give_equal_bytes(tmp_path):
    graph, arrays = small()
    for name in ("a.onnx", "b.onnx"):
        onnx.write(tmp_path / name, graph, arrays, {"name": "small"}, Options())
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_a_network_beyond_what_a_message_may_have_is_refused(tmp_path):
    nn = Builder()
    x = nn.input("x", (None, 1 << 15))
    graph = nn.graph("huge", {"y": nn.add_node(Dense(1 << 15), x, name="y", layer="y")})
    with pytest.raises(ValueError, match=r"at most 2 GiB for ONNX, got 4.0 GiB"):
        onnx.write(tmp_path / "huge.onnx", graph, {}, {}, Options())


def test_the_summary_of_a_file_needs_no_package(tmp_path):
    graph, arrays = small()
    onnx.write(tmp_path / "a.onnx", graph, arrays, {"name": "ä"}, Options(producer=("me", "1")))
    found = onnx_file.read_summary(tmp_path / "a.onnx")
    assert (found.producer, found.opset, found.metadata) == ("me", onnx.OPSET, {"name": "ä"})
    assert found.inputs == {"images": ["batch", "height", "width", 3]}
    assert found.outputs["probabilities"] == ["batch", 5]


# What can be exported


def test_a_keras_model_of_ones_own_is_exported(tmp_path):
    keras = pytest.importorskip("keras")
    pytest.importorskip("onnxruntime")
    model = keras.Sequential(
        [
            keras.Input((24, 20, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, padding="same", activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, activation="softmax", name="answer"),
        ],
        name="mine",
    )
    model.save(tmp_path / "mine.keras")
    for source in (model, tmp_path / "mine.keras"):
        found = modelzoo.export(source, tmp_path / "mine.onnx")
        assert [c.inputs[0] for c in found.proof.comparisons] == [(1, 24, 20, 3), (3, 24, 20, 3)]
        assert exporters.inspect(found.path).metadata.name == "mine"
    with pytest.raises(ExportError, match=r"does not say how images are prepared"):
        modelzoo.Classifier(str(found.path))


FOREIGN = {
    "a module of the system": {"module": "os", "class_name": "system", "config": {"command": "true"}},
    "a function": {"module": "builtins", "class_name": "function", "config": "exec"},
    "a saved program": {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "."}},
    "a class under another name": {"module": "keras.layers", "class_name": "Dense", "registered_name": "a>b"},
    "a name that is none": {"module": "keras.layers", "class_name": 5, "config": {}},
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_class_in_a_keras_file_is_refused_before_keras_sees_it(kind, tmp_path, monkeypatch):
    keras = pytest.importorskip("keras")
    from modelzoo.backends import keras_files

    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3, name="conv")])
    model.save(tmp_path / "good.keras")
    assert keras_files.opened(tmp_path / "good.keras").count_params() == model.count_params()
    with (
        zipfile.ZipFile(tmp_path / "good.keras") as good,
        zipfile.ZipFile(tmp_path / "bad.keras", "w") as bad,
    ):
        for name in good.namelist():
            content = good.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][1]["config"]["kernel_initializer"] = FOREIGN[kind]
                content = json.dumps(config)
            bad.writestr(name, content)
    monkeypatch.setattr(keras.saving, "load_model", None)
    with pytest.raises(ExportError, match=r"bad\.keras cannot be read by Keras: .*none of Keras'"):
        keras_files.opened(tmp_path / "bad.keras")


def test_a_lambda_is_named(tmp_path):
    keras = pytest.importorskip("keras")
    pytest.importorskip("onnxruntime")
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Lambda(lambda x: x, name="odd")])
    with pytest.raises(ExportError, match=r"cannot be exported: .*Lambda"):
        modelzoo.export(model, tmp_path / "a.onnx")
    assert not list(tmp_path.glob("*.onnx"))


def test_a_weight_file_names_its_model(resnet18_file, tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "prove", None)
    monkeypatch.setattr("modelzoo.exporters.delivery.prove", lambda *a, **k: proof.Proof("", "f32", 1e-5, ()))
    monkeypatch.setattr(exporters.Format, "require", lambda *arguments: None)
    found = modelzoo.export(resnet18_file, tmp_path / "a.onnx")
    metadata = exporters.inspect(found.path).metadata
    assert metadata.name == "resnet18_v1b.gluon"
    assert metadata.provenance == weights.provenance(resnet18_file)


# What goes wrong is one sentence, and leaves nothing


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def one_sentence(capsys) -> str:
    error = capsys.readouterr().err
    assert error.startswith("modelzoo: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-o", "a.pt"], "Expected a file that ends in .onnx, .xml, .keras"),
        (["-o", "a.onnx", "--to", "openvino"], "Expected a file that ends in .xml for OpenVINO"),
        (["-o", "folder.xml"], "is a folder"),
        (["-o", "a.xml", "-w", "none.h5"], "no weight file"),
        (["-o", "a.keras", "--precision", "f16"], "Keras files are in f32, not in 'f16'"),
        (["-o", "a.onnx", "--opset", "8"], "ONNX files are of opset 17 or 9, not of 8"),
        (["-o", "a.xml", "--opset", "9"], "OpenVINO files are of no opset, not of 9"),
        (["-o", "a.dnn", "--to", "cntk"], "last release is of 2019 and reads ONNX"),
        (["-o", "a.index", "--python", "python"], "has no network that a runtime could run"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.xml").mkdir()
    assert run("export", MODEL, *arguments) == 1
    assert sentence in one_sentence(capsys)
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["folder.xml"]


def test_a_missing_package_is_named_with_its_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert run("export", MODEL, "-o", tmp_path / "a.onnx") == 1
    assert "needs the package onnxruntime: pip install 'modelzoo-keras[onnx]'" in one_sentence(capsys)


def test_a_folder_that_may_not_be_written_to_is_named(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    words = [*prefix(), sys.executable, "-m", "modelzoo", "export", MODEL, "-o", folder / "a.xml"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("a.xml cannot be written: Permission denied.\n")


def test_a_full_disk_leaves_no_part_of_a_file(tmp_path):
    def write(*arguments):
        arguments[0].write_bytes(b"a part")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    format = with_write(FORMATS["openvino"], write)
    with pytest.raises(OutputError, match=r"a.xml cannot be written: No space left on device\."):
        deliver(network(), tmp_path / "a.xml", format, Options())
    assert not list(tmp_path.glob("*.xml")) + list(tmp_path.glob("modelzoo-*"))


def test_an_operator_that_a_format_lacks_is_named(tmp_path):
    nn = Builder()
    x = nn.input("images", (None, 8, 8, 3))
    from modelzoo.graph.convolutions import TransposedConv

    operator = TransposedConv(4, (3, 3), padding=((1, 0), (0, 1)))
    graph = nn.graph("odd", {"y": nn.add_node(operator, x, name="larger", layer="larger")})
    odd = Network(graph, arrays_of(graph), Metadata("odd", modelzoo="0"), network().samples)
    with pytest.raises(ExportError, match=r"Keras cannot hold odd: TransposedConv 'larger'"):
        deliver(odd, tmp_path / "a.keras", FORMATS["keras"], Options())


@pytest.mark.parametrize("command", [("inspect",), ("classify", CAT, "-m")])
@pytest.mark.parametrize("name", ["a.onnx", "a.xml"])
@pytest.mark.parametrize("content", ["nothing", "text", "foreign", "cut", "absent"])
def test_a_foreign_or_damaged_file_is_one_sentence(command, name, content, tmp_path, capsys):
    path = tmp_path / name
    graph, arrays = small()
    if name == "a.onnx":
        onnx.write(path, graph, arrays, {}, Options())
    else:
        FORMATS["openvino"].writer().write(path, graph, arrays, {}, Options())
    whole = path.read_bytes()
    parts = {"nothing": b"", "text": b"hello", "foreign": whole, "cut": whole[: len(whole) // 2]}
    path.unlink() if content == "absent" else path.write_bytes(parts[content])
    assert run(*command, path) == 1
    sentence = one_sentence(capsys)
    assert name in sentence


TEXTS = {"modelzoo": "0.2.0", "name": "x", "task": "classification", "labels": '[["a", "b"]]'}


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": "[1]"},
        {"labels": "{"},
        {"labels": "[" * 100_000},
        {"preprocessing": "[]"},
        {"input_shape": "[-1]"},
        {"input_shape": "7"},
    ],
)
def test_metadata_that_modelzoo_did_not_write_is_refused(wrong):
    assert Metadata.of(TEXTS).labels == (("a", "b"),)
    with pytest.raises(ExportError):
        Metadata.of(TEXTS | wrong)


def test_an_archive_with_too_large_metadata_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("modelzoo/name", b"\0" * ((1 << 24) + 1))
    with pytest.raises(ExportError, match="too large"):
        exporters.inspect(tmp_path / "a.keras")


@pytest.mark.parametrize(
    "options",
    [{"runtime": "keras"}, {"weights": "synthetic"}, {"precision": "bf16"}],
)
def test_a_file_is_deployed_as_it_is(options, exported):
    with pytest.raises(ValueError, match=r"runs on runtime|has its weights in it|is OpenVINO's"):
        modelzoo.Deployment(str(exported("onnx")), **options)


def test_a_name_does_not_run_on_onnx_runtime():
    with pytest.raises(ValueError, match=r"runs .onnx files: `modelzoo export"):
        modelzoo.Deployment(MODEL, runtime="onnxruntime")


def test_a_file_answers_with_labels_only(exported):
    with pytest.raises(ValueError, match="answers with labels"):
        modelzoo.Embedder(str(exported("onnx")))


def test_the_command_prints_one_line_an_output(tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    assert run("export", MODEL, "--to", "onnx", "-o", tmp_path / "a.onnx") == 0
    lines = capsys.readouterr().out.splitlines()
    assert '"probabilities" (3, 10) as logits: relative L2' in lines[3]
    assert lines[3].endswith("first label equal 3 of 3")
    assert run("inspect", tmp_path / "a.onnx") == 0
    assert "resnet9_cifar10.modelzoo" in capsys.readouterr().out
    assert run("inspect", "--json", tmp_path / "a.onnx") == 0
    assert json.loads(capsys.readouterr().out)["format"] == "onnx"


def test_writing_onnx_imports_no_framework():
    program = (
        "import sys; from modelzoo.tasks import exporting; from modelzoo.exporters import onnx; "
        "print([name for name in ('keras', 'tensorflow', 'openvino', 'onnx', 'onnxruntime', 'torch') "
        "if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert found.stdout.strip() == "[]"


def test_other_tasks_import_nothing_that_exports():
    """It would cost every answer a twentieth of a second."""
    program = (
        "import sys, modelzoo.tasks; "
        "print([name for name in sys.modules if name.startswith('modelzoo.exporters')])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")
def test_a_file_answers_after_a_fork(exported):
    program = (
        "import os, sys, modelzoo\n"
        "classifier = modelzoo.Classifier(sys.argv[1])\n"
        "before = classifier(sys.argv[2])\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if classifier(sys.argv[2])[0][0].name == before[0][0].name else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    words = [sys.executable, "-W", "ignore", "-c", program, str(exported("onnx")), str(CAT)]
    assert subprocess.run(words, cwd=ROOT, timeout=120).returncode == 0


def test_a_feature_pyramid_of_keras_keeps_its_names(tmp_path):
    pytest.importorskip("onnxruntime")
    model = modelzoo.load(MODEL, features=True)
    found = modelzoo.export(model, tmp_path / "features.onnx")
    assert {c.output for c in found.proof.comparisons} == set(model.output)
