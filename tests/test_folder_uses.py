"""What else takes a model folder: evaluate, which writes its figures into it, export, other weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import modelzoo
from modelzoo import cli, exporters, settings, weights
from modelzoo.errors import ConversionError, RegistryError, WeightsMismatch
from tests.folders import BASE, NAMES, photos, small_model

PHOTOS = 24


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory) -> Path:
    """A model folder, which no test changes."""
    folder = tmp_path_factory.mktemp("models") / "clothes"
    modelzoo.save(model, folder, base=BASE, labels=NAMES)
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy of the model folder, which may be written to."""
    return shutil.copytree(saved, tmp_path / "mine")


@pytest.fixture(scope="module")
def labeled(tmp_path_factory) -> Path:
    """Photos in one folder a class."""
    root, random = tmp_path_factory.mktemp("labeled") / "photos", np.random.default_rng(3)
    for number in range(PHOTOS):
        path = root / NAMES[number % len(NAMES)] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8)).resize((40, 36)).save(path)
    return root


def accuracy(model, labeled: Path) -> float:
    """In percent, by Keras' own predict on the same pixels."""
    paths = sorted(labeled.rglob("*.png"))
    output = model.predict(modelzoo.preprocess(list(map(str, paths)), BASE), verbose=0)
    return 100 * float(np.mean([NAMES.index(path.parent.name) for path in paths] == output.argmax(1)))


def test_evaluate_gives_the_accuracy_that_keras_gives(folder, labeled, model):
    found = modelzoo.evaluate(labeled, folder)
    assert (found.model, found.images) == ("clothes.own", PHOTOS)
    assert 100 * found.top1.value == accuracy(model, labeled)
    assert found.top5 is None


def test_evaluate_writes_its_figures_into_the_folder(folder, labeled, capsys):
    arguments = ["evaluate", str(labeled), "-m", str(folder), "--write-metrics"]
    assert cli.main(arguments) == 0
    assert f"metrics written to {folder}" in capsys.readouterr().out
    (metric,) = modelzoo.info(folder).metrics
    found = modelzoo.evaluate(labeled, folder)
    assert (metric.value, metric.interval) == (100 * found.top1.value, tuple(found.metrics()[0]["interval"]))
    assert metric.dataset_sha256 == found.dataset.sha256
    assert metric.weights == f"sha256 {modelzoo.info(folder).file.sha256}"
    assert (metric.date, metric.machine) == (found.date, found.machine)
    card = (folder / "README.md").read_text("utf-8")
    assert all(text in card for text in (found.dataset.sha256, found.date, found.machine))
    assert cli.main([*arguments, "--json"]) == 0
    assert [each.name for each in modelzoo.info(folder).metrics] == ["top1"]
    assert all(check.passed for check in modelzoo.verify(folder))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-m", BASE], "writes into a model folder of yours (-m FOLDER), got resnet9_cifar10.modelzoo"),
        (["-m", "mine/", "-w", "synthetic"], "leave out --weights"),
        (["-m", "mine/"], "holds more than a model, notes.txt"),
    ],
)
def test_where_figures_have_no_place_nothing_is_measured(
    folder, labeled, options, message, capsys, monkeypatch
):
    (folder / "notes.txt").touch()
    before = (folder / "model.json").read_bytes()
    monkeypatch.chdir(folder.parent)
    monkeypatch.setattr("modelzoo.evaluation.run.run_request", None)
    assert cli.main(["evaluate", str(labeled), *options, "--write-metrics"]) == 1
    assert message in capsys.readouterr().err
    assert (folder / "model.json").read_bytes() == before


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("interval", [90.0, 95.0], "expected interval to be two numbers around the value, 87.5"),
        ("interval", [1.0], "interval: expected"),
        ("dataset_sha256", "x", "expected dataset_sha256 to be 64 lower-case hexadecimal digits"),
    ],
)
def test_figures_that_contradict_themselves_are_refused(folder, field, value, message):
    document = json.loads((folder / "model.json").read_text())
    document["metrics"] = [{"name": "top1", "value": 87.5, "dataset": "x", "measured_by": "y", field: value}]
    (folder / "model.json").write_text(json.dumps(document))
    with pytest.raises(RegistryError, match=message):
        modelzoo.info(folder)


@pytest.mark.parametrize("ending", [".onnx", ".xml", ".keras"])
def test_a_folder_is_exported_with_its_labels(folder, model, ending, tmp_path):
    pytest.importorskip({".onnx": "onnxruntime", ".xml": "openvino"}.get(ending, "keras"))
    found = modelzoo.export(folder, tmp_path / f"clothes{ending}")
    metadata = exporters.inspect(found.path).metadata
    assert [name for _, name in metadata.labels] == NAMES
    assert metadata.name == "clothes.own"
    expected = model.predict(modelzoo.preprocess(photos(), BASE), verbose=0)
    answered = modelzoo.Classifier(str(found.path)).probabilities(photos())
    assert float(np.abs(answered - expected).max()) <= 1e-6


def test_the_environment_may_name_a_folder(folder, tmp_path, monkeypatch, capsys):
    Image.fromarray(photos()[0]).save(tmp_path / "a.png")
    monkeypatch.setenv(settings.MODEL, str(folder))
    assert cli.main(["classify", str(tmp_path / "a.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "clothes.own"


def test_other_weights_of_the_same_network_are_loaded(folder, tmp_path):
    from modelzoo.backends import keras_import

    other = small_model(5)
    arrays = keras_import.arrays_of(other)
    weights.write(tmp_path / "other.h5", arrays.items(), {"model": "clothes.own"})
    images = modelzoo.preprocess(photos(), BASE)
    found = modelzoo.load(folder, weights=tmp_path / "other.h5").predict(images, verbose=0)
    assert float(np.abs(found - other.predict(images, verbose=0)).max()) <= 1e-6
    answered = modelzoo.Classifier(folder, weights=tmp_path / "other.h5").probabilities(photos())
    assert float(np.abs(answered - found).max()) <= 1e-6


def test_weights_that_are_not_of_the_folder_are_refused(folder, tmp_path):
    weights.write(tmp_path / "other.h5", {"a/kernel": np.zeros((2, 3), "f4")}.items(), {"model": "hats.own"})
    with pytest.raises(WeightsMismatch, match=r"holds the weights of hats\.own, not of clothes\.own"):
        modelzoo.load(folder, weights=tmp_path / "other.h5")
    small_model().save_weights(tmp_path / "own.weights.h5")
    with pytest.raises(ConversionError, match="modelzoo pack") as caught:
        modelzoo.load(folder, weights=tmp_path / "own.weights.h5")
    assert "\n" not in str(caught.value)
