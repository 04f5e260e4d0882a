"""Core ML packages: no machine here runs them, so they are read back and compared by value."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from modelzoo import cli, exporters
from modelzoo.backends import numpy as reference
from modelzoo.errors import ExportError
from modelzoo.exporters import FORMATS, Metadata, Options
from modelzoo.exporters.delivery import Network, deliver
from modelzoo.formats import coreml as file_format
from modelzoo.graph import Builder, Graph
from modelzoo.graph.convolutions import Conv, Dense
from modelzoo.graph.normalization import BatchNorm
from modelzoo.graph.shaping import Permute, Reshape
from tests.conftest import CAT, ROOT
from tests.operators import CASES, arrays_of, graph_of, inputs_of, relative
from tests.test_export import network, one_sentence, small

needs_coremltools = pytest.mark.usefixtures("coremltools")
few = settings(
    max_examples=3,
    phases=(Phase.generate,),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
LABELS = (("n1", "crane"), ("n2", "crane"), ("n3", "cat"), ("n4", "dog"), ("n5", "fox"))
FACTS = {
    "crop_size": 32,
    "max_value": 255,
    "mean": [103.0, 116.0, 123.0],
    "std": [1.0, 2.0, 4.0],
    "channels": "BGR",
}


@pytest.fixture(scope="module")
def coremltools():
    """The package, which raises Python's limit of recursion when it is imported: before hypothesis looks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("coremltools")


def fixed() -> Network:
    """The small network of exports at one size, whose classes are known."""
    found = network(sides=(32, 32))
    facts = Metadata(
        "small", "classification", FACTS, (32, 32, 3), "", LABELS, {"weights": "MIT"}, modelzoo="0"
    )
    return Network(found.graph, found.arrays, facts, found.samples)


def write(path, graph: Graph, arrays, metadata: Metadata | None = None, **options) -> None:
    from modelzoo.exporters import coreml

    metadata = metadata or Metadata("one", modelzoo="0")
    coreml.write(path, graph, arrays, metadata.texts(), Options(**options))


def takes(case, graph: Graph) -> bool:
    """Whether Core ML has tensors of such ranks, batch included."""
    ranks = [len(shape) + 1 for shape in case[1]] + [len(graph.output_shapes["y"])]
    return max(ranks) <= (4 if isinstance(case[0], Dense) else 5)


@needs_coremltools
@pytest.mark.parametrize("name", CASES)
def test_every_operator_in_a_package_computes_what_the_reference_does(name, tmp_path):
    """By an interpreter of Core ML's language that reads the package back; what is refused is named.

    The check sees all of its weights, but those of a batch norm on no map, which is a product and a sum.
    """
    from modelzoo.exporters import coreml_check
    from tests import mil

    @few
    @given(CASES[name])
    def check(case):
        graph = graph_of(case)
        arrays, inputs = arrays_of(graph), inputs_of(case, 3)
        if not takes(case, graph):
            with pytest.raises(ValueError, match=r"'operator': Core ML's .* dimensions"):
                write(tmp_path / "a.mlpackage", graph, arrays)
            return
        write(tmp_path / "a.mlpackage", graph, arrays)
        words = coreml_check.check(tmp_path / "a.mlpackage", graph, arrays, Options())
        whole = sum(weight.size for weight in graph.weights.values())
        computed = isinstance(case[0], BatchNorm) and len(case[1][0]) != 3
        assert f" {0 if computed else whole:,} of {whole:,} values" in words
        found = mil.outputs(tmp_path / "a.mlpackage", inputs)["y"]
        expected = reference.run(graph, arrays, inputs)["y"]
        assert found.shape == expected.shape
        assert relative(found, expected) < 1e-6, case

    check()


@needs_coremltools
def test_a_package_is_checked_by_value_and_says_that_it_was_not_run(tmp_path):
    found = deliver(fixed(), tmp_path / "a.mlpackage", FORMATS["coreml"], Options())
    assert found.proof.runtime == "not run here"
    assert found.proof.checked.startswith("read back: ")
    assert not found.proof.comparisons
    weights = found.path / "Data" / "com.apple.CoreML" / "weights"
    assert weights.stat().st_mode == found.path.stat().st_mode
    assert found.bytes == sum(file.stat().st_size for file in found.path.rglob("*") if file.is_file())
    inspection = exporters.inspect(found.path)
    assert inspection.proof["checked"] == found.proof.checked
    assert inspection.metadata.labels == LABELS
    assert [path.name for path in tmp_path.iterdir()] == ["a.mlpackage"]


@needs_coremltools
def test_batch_norms_are_kept_where_that_is_asked_for(tmp_path):
    found = deliver(fixed(), tmp_path / "a.mlpackage", FORMATS["coreml"], Options(fold=False))
    assert "of 9 of 9 nodes" in found.proof.checked


@needs_coremltools
@pytest.mark.parametrize(("weight", "word"), [("conv1/kernel", "kernel"), ("bn2/beta", "beta")])
def test_a_package_with_another_weight_is_found_out(weight, word, tmp_path):
    from modelzoo.exporters import coreml_check

    found = fixed()
    other = {
        path: array + np.float32(1e-6) if path == weight else array for path, array in found.arrays.items()
    }
    write(tmp_path / "a.mlpackage", found.graph, found.arrays)
    assert "read back" in coreml_check.check(tmp_path / "a.mlpackage", found.graph, found.arrays, Options())
    with pytest.raises(ExportError, match=rf"{word} of '.*' are not those of small"):
        coreml_check.check(tmp_path / "a.mlpackage", found.graph, other, Options())


@needs_coremltools
def test_a_package_with_another_stride_or_margin_is_found_out(tmp_path):
    from modelzoo.exporters import coreml_check

    def one(padding) -> Graph:
        nn = Builder()
        x = nn.input("images", (None, 8, 8, 3))
        conv = Conv(2, (3, 3), (2, 2), padding)
        return nn.graph("one", {"y": nn.add_node(conv, x, name="conv", layer="conv")})

    graph = one(((0, 1), (0, 1)))
    write(tmp_path / "a.mlpackage", graph, arrays_of(graph))
    with pytest.raises(ExportError, match=r"Expected margins .* of 'conv', got"):
        coreml_check.check(tmp_path / "a.mlpackage", one(((1, 0), (1, 0))), arrays_of(graph), Options())


@needs_coremltools
@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_a_package_answers_as_the_network_does_where_its_language_is_interpreted(precision, tmp_path):
    from tests import mil

    found = fixed()
    write(tmp_path / "a.mlpackage", found.graph, found.arrays, found.metadata, precision=precision)
    images = np.random.default_rng(0).standard_normal((2, 32, 32, 3))
    theirs = mil.outputs(tmp_path / "a.mlpackage", {"images": images})
    for name, expected in reference.run(found.graph, found.arrays, {"images": images}).items():
        assert relative(theirs[name], expected) < {"f32": 1e-6, "f16": 1e-2}[precision]


@needs_coremltools
def test_images_are_prepared_in_the_package(tmp_path):
    """In the network's order of channels, which Core ML gives."""
    import coremltools

    from tests import mil

    found = fixed()
    write(tmp_path / "a.mlpackage", found.graph, found.arrays, found.metadata, image_input=True)
    specification = coremltools.utils.load_spec(str(tmp_path / "a.mlpackage"))
    (input_,) = specification.description.input
    assert input_.type.imageType.colorSpace == input_.type.imageType.BGR
    levels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.float64)  # RGB
    prepared = ((levels - FACTS["mean"]) / FACTS["std"])[..., ::-1]
    expected = reference.run(found.graph, found.arrays, {"images": prepared})
    theirs = mil.outputs(tmp_path / "a.mlpackage", {"images": levels[..., ::-1].transpose(0, 3, 1, 2)})
    assert relative(theirs["probabilities"], expected["probabilities"]) < 1e-5


@needs_coremltools
def test_a_package_says_what_it_is_to_xcode(tmp_path):
    import coremltools

    found = fixed()
    write(tmp_path / "a.mlpackage", found.graph, found.arrays, found.metadata)
    description = coremltools.utils.load_spec(str(tmp_path / "a.mlpackage")).description
    assert description.metadata.license == "MIT"
    names = description.metadata.userDefined["modelzoo.class_names"].splitlines()
    assert names == ["crane (n1)", "crane (n2)", "cat", "dog", "fox"]
    (batch, *sides) = description.input[0].type.multiArrayType.shapeRange.sizeRanges
    assert (batch.lowerBound, batch.upperBound) == (1, 128)
    assert [side.upperBound for side in sides] == [32, 32, 3]


@needs_coremltools
def test_pixels_are_reordered_in_five_dimensions(tmp_path):
    """As in YOLO 2, whose reordering has six."""
    from tests import mil

    nn = Builder()
    x = nn.input("images", (None, 6, 4, 3))
    for operator in (Reshape((3, 2, 2, 2, 3)), Permute((2, 4, 5, 1, 3)), Reshape((6, 12))):
        x = nn.add_node(operator, x, name=f"n{len(str(operator))}", layer=None)
    graph = nn.graph("six", {"y": x})
    inputs = {"images": np.arange(144.0).reshape(2, 6, 4, 3)}
    write(tmp_path / "a.mlpackage", graph, {})
    expected = reference.run(graph, {}, inputs)["y"]
    assert np.array_equal(mil.outputs(tmp_path / "a.mlpackage", inputs)["y"], expected)


@needs_coremltools
def test_open_sides_are_refused(tmp_path):
    graph, arrays = small()
    with pytest.raises(ValueError, match=r"'images' of shape .* leaves sides open"):
        write(tmp_path / "a.mlpackage", graph, arrays)


# Without coremltools


def package(path, content: bytes):
    folder = path / "Data" / "com.apple.CoreML"
    folder.mkdir(parents=True)
    (path / "Manifest.json").write_text("{}")
    (folder / "model.mlmodel").write_bytes(content)
    return path


def test_texts_of_a_package_are_read_without_coremltools(tmp_path):
    texts = Metadata("x", modelzoo="0", labels=LABELS).texts()
    content = b"\x08\x07" + file_format.metadata_bytes({f"modelzoo.{name}": t for name, t in texts.items()})
    path = package(tmp_path / "a.mlpackage", content)
    assert exporters.inspect(path).metadata.labels == LABELS
    FORMATS["coreml"].writer().add_text(path, "proof", '{"checked": "all"}')
    assert exporters.inspect(path).proof == {"checked": "all"}


@pytest.mark.parametrize("command", [("inspect",), ("classify", str(CAT), "-m")])
@pytest.mark.parametrize("content", [b"", b"\x08\x07", b"hello", b"\x12\xff\xff\x7f", None])
def test_a_foreign_or_damaged_package_is_one_sentence(command, content, tmp_path, capsys):
    path = tmp_path / "a.mlpackage"
    if content is not None:
        package(path, content)
    assert cli.main([*command, str(path)]) == 1
    assert "a.mlpackage" in one_sentence(capsys)


def test_a_package_is_not_run_here(tmp_path, capsys):
    texts = Metadata(
        "x",
        "classification",
        FACTS | {"interpolation": "tf1_bilinear"},
        (32, 32, 3),
        "",
        LABELS,
        modelzoo="0",
    ).texts()
    content = b"\x08\x07" + file_format.metadata_bytes({f"modelzoo.{name}": t for name, t in texts.items()})
    package(tmp_path / "a.mlpackage", content)
    assert cli.main(["classify", str(CAT), "-m", str(tmp_path / "a.mlpackage")]) == 1
    assert "runs on Apple's systems" in one_sentence(capsys)


def test_images_are_taken_by_core_ml_only(tmp_path, capsys):
    output = str(tmp_path / "a.xml")
    assert cli.main(["export", "resnet9_cifar10", "-o", output, "--image-input"]) == 1
    assert "OpenVINO takes no images: image_input is for Core ML." in one_sentence(capsys)


def test_the_missing_package_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.main(["export", "resnet9_cifar10", "-o", str(tmp_path / "a.mlpackage")]) == 1
    assert "needs the package coremltools: pip install 'modelzoo-keras[coreml]'" in one_sentence(capsys)
    assert not list(tmp_path.iterdir())


@needs_coremltools
def test_frameworks_that_coremltools_would_convert_are_not_imported(tmp_path):
    """TensorFlow and PyTorch in one process end it: each has an LLVM of its own."""
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('it was imported')", "utf-8")
    program = "from modelzoo.exporters.coreml import import_coremltools; import_coremltools()"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], env=environment, check=True)
