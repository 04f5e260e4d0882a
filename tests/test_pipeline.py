"""One bad image ends nothing: it gets an error, and the others get their answers."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import modelzoo
from modelzoo import bulk, cli
from modelzoo.errors import ImageError
from modelzoo.runtimes import Deployment
from modelzoo.tasks import BoxesHead, LabelsHead, Pipeline, Unreadable, pipeline
from tests.conftest import CAT


@pytest.fixture
def images(tmp_path) -> list[Path]:
    """Forty images, of which the 18th is truncated."""
    paths = [tmp_path / f"{number:02}.jpg" for number in range(40)]
    for path in paths:
        shutil.copy(CAT, path)
    paths[17].write_bytes(CAT.read_bytes()[:9000])
    return paths


def test_one_bad_image_of_forty_is_a_line_and_the_others_are_classified(images, capsys):
    assert cli.main(["classify", *map(str, images)]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "17.jpg is truncated or damaged" in captured.err
    assert captured.out.count(".jpg\n") == captured.out.count(" cat ") == 39


def test_one_bad_image_is_an_object_with_its_error_in_json(images, capsys):
    assert cli.main(["classify", *map(str, images), "--json"]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["image"] for row in rows] == list(map(str, images))
    assert [number for number, row in enumerate(rows) if "error" in row] == [17]
    assert rows[17].keys() == {"image", "model", "error"}


@pytest.mark.parametrize("json_too", [False, True])
def test_detect_goes_on_after_a_bad_image(json_too, images, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    network = SimpleNamespace(predict=lambda images: np.zeros((len(images), 19, 19, 425), np.float32))
    monkeypatch.setattr(pipeline, "predictor", lambda *_: network)
    some = list(map(str, images[16:19]))
    assert cli.main(["detect", *some, *(["--json"] if json_too else [])]) == 1
    captured = capsys.readouterr()
    assert "17.jpg is truncated or damaged" in captured.err
    if json_too:
        rows = [json.loads(line) for line in captured.out.splitlines()]
        assert ["detections" in row for row in rows] == [True, False, True]
    else:
        assert sorted(path.name for path in tmp_path.glob("*.boxes.jpg")) == ["16.boxes.jpg", "18.boxes.jpg"]


def test_the_library_raises_for_a_bad_image_and_has_a_tolerant_way(images):
    classifier = modelzoo.Classifier()
    with pytest.raises(ImageError, match=r"17\.jpg is truncated"):
        classifier(images)
    answers = list(classifier.pipeline.each_or_error(images))
    assert [isinstance(answer, Unreadable) for answer in answers] == [n == 17 for n in range(40)]
    assert answers[0] == classifier(images[0])[0]


# Outputs that mean nothing


@pytest.fixture
def broken_network(monkeypatch):
    """A network that answers with NaN for dark images, and with infinity for gray ones."""

    def predict(images):
        level = images.mean(axis=(1, 2, 3))
        outputs = np.full((len(images), 10), 0.1, np.float32)
        outputs[level < -1, 3] = np.nan
        outputs[np.abs(level) < 0.5, 7] = np.inf
        return outputs

    monkeypatch.setattr(pipeline, "predictor", lambda *_: SimpleNamespace(predict=predict))


@pytest.fixture
def levels(tmp_path) -> Path:
    folder = tmp_path / "levels"
    folder.mkdir()
    for level in (0, 121, 255):
        Image.fromarray(np.full((32, 32, 3), level, np.uint8)).save(folder / f"{level:03}.png")
    return folder


@pytest.mark.usefixtures("broken_network")
def test_an_output_that_is_not_finite_is_an_error_and_never_in_a_table(levels, tmp_path, capsys):
    for start, name in ((bulk.classify_files, "out.jsonl"), (bulk.embed_files, "out.npy")):
        summary = start(levels, tmp_path / name)
        assert (summary.images, summary.failed) == (3, 2)
        text = (tmp_path / "out.jsonl").read_text()
        assert "NaN" not in text
        assert "Infinity" not in text
        rows = [json.loads(line) for line in text.splitlines()]
        assert ["is not finite" in row.get("error", "") for row in rows] == [True, True, False]
    assert np.isfinite(np.load(tmp_path / "out.npy")).all()
    assert cli.main(["classify", str(levels), "--json"]) == 1
    assert ["error" in json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        True,
        True,
        False,
    ]


def test_boxes_of_an_output_that_is_not_finite_are_an_error(monkeypatch):
    network = SimpleNamespace(predict=lambda images: np.full((1, 19, 19, 425), np.nan, np.float32))
    monkeypatch.setattr(pipeline, "predictor", lambda *_: network)
    (answer,) = Pipeline(Deployment("yolo2"), BoxesHead()).each_or_error([CAT])
    assert isinstance(answer, Unreadable)
    assert "is not finite" in answer.reason


# Cells that spreadsheets would compute


@pytest.mark.parametrize("first", ["=", "+", "-", "@"])
def test_a_cell_that_a_spreadsheet_would_compute_is_text(first, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = f"{first}HYPERLINK(A1).jpg"
    shutil.copy(CAT, name)
    bulk.classify_files(name, "out.csv", top=1)
    with Path("out.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["image"] == f"'{name}"
    assert row["name_1"] == "cat"
    assert 0 < float(row["probability_1"]) <= 1


def test_batches_of_the_tolerant_way_are_as_large_as_their_images(monkeypatch):
    """Filled up, a single image would cost as much as a batch."""
    sizes = []
    network = SimpleNamespace(
        predict=lambda images: (sizes.append(len(images)), np.full((len(images), 10), 0.1))[1]
    )
    monkeypatch.setattr(pipeline, "predictor", lambda *_: network)
    list(Pipeline(Deployment(), LabelsHead()).each_or_error([CAT]))
    assert sizes == [1]
