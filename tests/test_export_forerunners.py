"""Files for programs that came before: each holds the weights that it should, and says what it cannot."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

import modelzoo
from modelzoo import conversion, exporters, registry, weights, zoo
from modelzoo.backends import numpy as reference
from modelzoo.cli import exporting
from modelzoo.conversion import gluon2tf
from modelzoo.errors import ExportError
from modelzoo.exporters import (
    FORMATS,
    Metadata,
    Options,
    Samples,
    mxnet,
    runner,
)
from modelzoo.exporters.delivery import Network, deliver
from modelzoo.formats import commented, mxnet_symbol, read_mxnet_params
from modelzoo.graph import Builder, Graph
from modelzoo.graph.convolutions import Conv, Dense
from modelzoo.graph.elementwise import Activation, ReLU
from modelzoo.graph.normalization import BatchNorm
from modelzoo.graph.pooling import GlobalPool, MaxPool
from tests.conftest import ROOT
from tests.forerunners import FILES, PYTHONS, in_their_environments
from tests.operators import CASES, arrays_of, graph_of, inputs_of, relative
from tests.test_export import one_sentence, run

MODEL = "resnet9_cifar10"
WEIGHTS_OF = [  # a small network of each program whose names a file has
    ("mobilenet_v1_0.25_128.slim", "net.ckpt.index"),
    ("resnet50_v1b.gluon", "net.ckpt.index"),  # gluon2TF's names
    ("resnet18_v1b.gluon", "net-0000.params"),
    ("mobilenet_0.25_128.keras", "net.h5"),
]
RESNETS = [key for key in registry.list_models(tag="gluon") if gluon2tf.has(registry.info(key).graph.variant)]


@pytest.mark.parametrize(("model", "name"), WEIGHTS_OF)
def test_what_is_exported_in_a_programs_names_is_converted_back(model, name, tmp_path, monkeypatch):
    """By the converter of that program's own files: the names and the layout are theirs."""
    entry, target = registry.info(model), tmp_path / "back.h5"
    monkeypatch.setitem(FORMATS, "keras_h5", replace(FORMATS["keras_h5"], runs=None))  # to run it is slow
    found = modelzoo.export(model, tmp_path / name, weights="synthetic")
    assert "bit-identical, in the names of" in found.proof.checked
    conversion.convert(entry, tmp_path / name, target)
    with zoo.values(
        entry, zoo.NetworkOptions(), "synthetic", zoo.graph_of(entry, zoo.NetworkOptions())
    ) as poured:
        for path, array in weights.read(target):
            assert np.array_equal(array, poured[path]), path


@pytest.mark.parametrize("key", RESNETS)
def test_gluon2tf_has_a_variable_for_each_weight(key):
    entry = registry.info(key)
    converter, shapes = conversion.exported_by(entry, "tensorflow"), conversion.weight_shapes(entry)
    names = {path: converter.upstream_names(entry.graph.variant)(path) for path in shapes}
    assert converter.name == "gluon2tf"
    assert len(set(names.values())) == len(shapes)
    assert all(name.startswith(f"{entry.name}/") for name in names.values())
    stages = {match[1] for name in names.values() if (match := re.search(r"/(C\d)/", name))}
    assert stages == {"C1", "C2", "C3", "C4", "C5"}


@pytest.mark.parametrize("key", registry.list_models(tag="gluon"))
def test_a_file_holds_gluoncvs_parameters_and_no_more(key):
    """Or its class would not load it."""
    entry, graph = registry.info(key), zoo.graph_of(registry.info(key), zoo.NetworkOptions())
    name_of = conversion.exported_by(entry, "mxnet").upstream_names(entry.graph.variant)
    names = {path: name_of(path) for path in graph.weights}
    upstream = exporters.Upstream("gluoncv", names, lambda path, array: array)
    operations, _, found = mxnet.network_of(graph, {}, Options(upstream=upstream))
    assert set(found) == set(names.values())
    assert {name for operation in operations for name in operation.inputs} >= set(found)


@pytest.mark.parametrize(
    ("key", "format", "program"),
    [
        ("resnet101_v1d.gluon", "mxnet", "gluoncv"),
        ("resnet101_v1d.gluon", "tensorflow", "gluon2tf"),
        ("resnet101_v1c.gluon", "tensorflow", None),  # gluon2TF has it not
        ("resnet50_mlimages.tencent", "tensorflow", "tencent"),  # there is no file of it
        ("resnet_v2_152.slim", "tensorflow", "slim.resnet"),
        ("resnet_v2_152.slim", "mxnet", None),
        ("resnet9_cifar10.modelzoo", "tensorflow", None),
    ],
)
def test_the_program_that_has_a_network_is_known(key, format, program):
    found = conversion.exported_by(registry.info(key), format)
    assert (found and found.name) == program


def test_a_checkpoint_without_a_program_has_our_names_and_is_restored_in_ten_lines(tmp_path):
    """By the example of the docs, in a process that imports TensorFlow only."""
    pytest.importorskip("tensorflow")
    modelzoo.export(MODEL, tmp_path / "net.ckpt.index")
    text = (ROOT / "docs" / "forerunners.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(import tensorflow.*?)```", text, re.DOTALL)
    assert len(example.strip().splitlines()) <= 10
    program = f"{example}\nprint(len(arrays), sum(v.size for v in arrays.values()))"
    words = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    entry = registry.info(MODEL)
    assert done.stdout.split() == [str(len(conversion.weight_shapes(entry))), str(entry.parameters)]


def network(graph: Graph) -> Network:
    side = next(iter(graph.inputs.values()))[1]
    noise = np.random.default_rng(0).standard_normal((side, side, 3)).astype(np.float32)
    return Network(graph, arrays_of(graph), Metadata(graph.name, modelzoo="0"), Samples(noise, (side, side)))


def chain(*operators, side: int = 15, name: str = "chain") -> Graph:
    """One operator after the other, named a, b, c, ..."""
    nn = Builder()
    x = nn.input("images", (None, side, side, 3))
    for letter, operator in zip("abcdefgh", operators, strict=False):
        x = nn.add_node(operator, x, name=letter, layer=letter)
    return nn.graph(name, {"y": x})


SMALL = chain(
    Conv(4, (3, 3), (2, 2), ((1, 1), (1, 1)), bias=False),
    BatchNorm(1e-3),
    ReLU(),
    MaxPool((3, 3), (2, 2), ((1, 1), (1, 1))),
    GlobalPool(),
    Dense(5),
    Activation("softmax"),
    side=16,
)


@pytest.mark.parametrize("format", ["tf_checkpoint", "mxnet", "caffe", "darknet", "keras_h5"])
def test_a_file_that_nothing_here_runs_is_read_back_and_says_so(format, tmp_path):
    """And differing values are found."""
    path = tmp_path / {"tf_checkpoint": "net.ckpt.index", "keras_h5": "net.h5", **FILES}[format]
    found = deliver(network(SMALL), path, replace(FORMATS[format], runs=None), Options())
    assert (found.proof.runtime, found.proof.comparisons) == ("not run here", ())
    assert "bit-identical" in found.proof.checked
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in FORMATS[format].files(path)}
    inspected = exporters.inspect(path)
    assert inspected.metadata.name == "chain"
    assert inspected.proof["checked"] == found.proof.checked
    other = {**arrays_of(SMALL), "f/kernel": arrays_of(SMALL)["f/kernel"] * np.float32(1.001)}
    with pytest.raises(ExportError, match=r"other (values|weights) of"):
        FORMATS[format].check(path, SMALL, other, Options())


# What is run where its program is


@pytest.mark.parametrize("format", in_their_environments())
def test_the_proof_runs_in_another_environment(format, tmp_path):
    found = deliver(
        network(SMALL), tmp_path / FILES[format], FORMATS[format], Options(), python=PYTHONS[format]
    )
    assert found.proof.worst < 1e-6
    assert [c.inputs for c in found.proof.comparisons] == [((1, 16, 16, 3),), ((3, 16, 16, 3),)]


@pytest.mark.parametrize("format", in_their_environments("mxnet", "caffe"))
@pytest.mark.parametrize("kind", CASES)
def test_every_operator_computes_the_same_there_or_is_refused_by_name(format, kind, tmp_path):
    files, refused = [], []

    @seed(1)
    @settings(
        max_examples=8,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(CASES[kind])
    def write(case):
        graph, folder = graph_of(case), tmp_path / str(len(files))
        arrays, inputs = arrays_of(graph), inputs_of(case, 2)
        folder.mkdir(exist_ok=True)
        try:
            FORMATS[format].writer().write(folder / FILES[format], graph, arrays, {"a": 'b "c"'}, Options())
        except ValueError as error:
            refused.append(str(error))
            return
        np.savez(folder / "inputs.npz", **{f"0/{name}": array for name, array in inputs.items()})
        files.append((folder / FILES[format], reference.run(graph, arrays, inputs)["y"]))

    write()
    assert all("'operator'" in message for message in refused)
    _run_all(format, [path for path, _ in files])
    for path, expected in files:
        found = np.load(path.with_name("outputs.npz"))["0/0"]
        assert found.shape == expected.shape
        assert relative(found, expected) < 1e-6


def _run_all(format: str, paths: list[Path]) -> None:
    """The runner on all files, in one process."""
    if not paths:
        return
    program = paths[0].parent / "runner.py"
    shutil.copy(runner.__file__, program)
    lines = [f"import sys; sys.path.insert(0, {str(program.parent)!r}); import runner"]
    for path in paths:
        others = [str(path.with_name(name)) for name in ("inputs.npz", "outputs.npz")]
        lines.append(f"runner.main({format!r}, {str(path)!r}, *{others!r}, {str(1 << 40)!r}, '[\"y\"]')")
    subprocess.run([PYTHONS[format], "-W", "ignore", "-c", "\n".join(lines)], check=True, capture_output=True)


def test_an_interpreter_that_is_not_there_is_one_sentence(tmp_path, capsys):
    assert run("export", MODEL, "-o", tmp_path / "net.caffemodel", "--python", tmp_path / "none") == 1
    assert "none cannot be started: No such file" in one_sentence(capsys)
    assert not list(tmp_path.glob("net*"))


# Keras 2

KERAS = {registry.info(key).graph.variant: key for key in registry.list_models(tag="keras")}
KERAS_2 = json.loads((ROOT / "tests" / "goldens" / "keras_2_names.json").read_text("utf-8"))


@pytest.mark.parametrize("variant", KERAS)
def test_a_file_has_the_names_shapes_and_order_of_keras_2s_own_network(variant):
    """As scripts/convert/originals/keras_2_names.py wrote them down of tf_keras."""
    entry = registry.info(KERAS[variant])
    converter, shapes = conversion.exported_by(entry, "keras_h5"), conversion.weight_shapes(entry)
    name_of = converter.upstream_names(variant)
    names = [[name, list(a.shape)] for name, a in conversion.keras_constants(variant).items()]
    names += [[name_of(p), list(converter.layout.upstream_shape(p, shape))] for p, shape in shapes.items()]
    assert hashlib.sha256(json.dumps(names).encode()).hexdigest() == KERAS_2[variant]


def test_keras_applications_own_network_loads_the_file_and_answers_the_same(tmp_path):
    """With EfficientNet's normalization, which is no weight here."""
    found = modelzoo.export("efficientnet_b0", tmp_path / "net.h5", weights="synthetic")
    assert found.proof.runtime.startswith("keras_applications")
    assert found.proof.worst < 1e-6
    assert exporters.inspect(tmp_path / "net.h5").metadata.name == "efficientnet_b0.keras"


def test_the_command_knows_the_formats_there_are():
    """Without importing what writes them."""
    assert tuple(FORMATS) == exporting.FORMATS
    assert tuple(exporters.RETIRED) == exporting.RETIRED


DAMAGED = {
    "net.caffemodel": "net.prototxt",
    "net.weights": "net.cfg",
    "net.h5": "net.h5",
    "net.index": "net.modelzoo.json",
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize(
    "content", ["", "{", "[" * 10**5, '{"a": 1}', "# modelzoo name 1", "# modelzoo name {"]
)
def test_metadata_that_is_none_is_one_sentence(name, content, tmp_path, capsys):
    (tmp_path / name).write_text(content)
    (tmp_path / DAMAGED[name]).write_text(content)
    assert run("inspect", tmp_path / name) == 1
    assert "is not a file that modelzoo exported" in one_sentence(capsys)


def test_a_text_too_large_for_a_network_is_not_read(tmp_path, capsys):
    (tmp_path / "net.weights").write_bytes(b"")
    with (tmp_path / "net.cfg").open("wb") as file:
        file.truncate(commented.LARGEST + 1)
    assert run("inspect", tmp_path / "net.weights") == 1
    assert "too large" in one_sentence(capsys)


# MXNet


def test_a_symbol_names_its_weights_and_each_comes_before_it_is_used(tmp_path):
    graph, arrays = SMALL, arrays_of(SMALL)
    mxnet.write(tmp_path / "net-0000.params", graph, arrays, {"name": "small"}, Options())
    symbol = json.loads((tmp_path / "net-symbol.json").read_text("utf-8"))
    for place, node in enumerate(symbol["nodes"]):
        assert all(number < place for number, _, _ in node["inputs"])
        assert all(isinstance(text, str) for text in node["attrs"].values())
    leaves = [symbol["nodes"][place] for place in symbol["arg_nodes"]]
    with read_mxnet_params(tmp_path / "net-0000.params") as found:
        assert {leaf["name"] for leaf in leaves} == {"images", *found}
        assert set(found) == set(graph.weights)
    raw = (tmp_path / "net-0000.params").read_bytes()
    assert raw.count(b"aux:") == 2  # the norm's statistics
    assert raw.count(b"arg:") == len(graph.weights) - 2
    assert mxnet_symbol.read_texts(tmp_path / "net-symbol.json") == {"name": "small"}


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"nodes": [1]}', '{"nodes": [{"op": 1, "name": 2}]}', "[" * 10**5]
)
def test_a_symbol_that_is_none_is_refused(content, tmp_path):
    (tmp_path / "net-symbol.json").write_text(content)
    (tmp_path / "net-0000.params").write_bytes(b"")
    with pytest.raises(ExportError, match="is not a file that modelzoo exported to MXNet"):
        exporters.inspect(tmp_path / "net-0000.params")
