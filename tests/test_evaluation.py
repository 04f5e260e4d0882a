"""evaluate(): the figures of NumPy on the same answers, also after a kill; folders by id, name or mapping."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import modelzoo
from modelzoo import cli, evaluation, labels, settings
from modelzoo.bulk import Execution
from modelzoo.bulk.journal import Journal
from modelzoo.cli import evaluation as evaluation_command
from modelzoo.errors import ImageError, LabelsError, OutputError
from modelzoo.evaluation import charts, figures, folders, report, run
from modelzoo.evaluation.classes import READERS, Classes, classes_of, read_mapping
from modelzoo.tasks import pipeline
from tests.conftest import ROOT

IMAGES, BAD = 72, "bird/broken.jpg"  # three batches with the one that cannot be read
FILES = {
    *("calibration.csv", "calibration.svg", "classes.csv", "confusion.csv", "confusion.svg"),
    *("evaluation.json", "mistakes.csv", "predictions.jsonl"),
}
NUMBER, STRING, COUNT = {"type": "number"}, {"type": "string"}, {"type": "integer", "minimum": 0}
MAYBE = {"type": ["number", "null"]}


def network(images: np.ndarray) -> np.ndarray:
    """Probabilities (batch, 10) of what looks like a network: they depend on every pixel."""
    mixing = np.random.default_rng(1).normal(0, 1, (images.shape[1] * images.shape[2] * 3, 10))
    logits = images.reshape(len(images), -1) @ mixing / 12
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return (exponentials / exponentials.sum(1, keepdims=True)).astype(np.float32)


@pytest.fixture
def simple_network(monkeypatch):
    """A network that is loaded at once; its facts are the real ones."""
    monkeypatch.setattr(pipeline, "predictor", lambda *_: SimpleNamespace(predict=network))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """IMAGES images in folders of seven classes, some of them deeper, and one that is truncated."""
    folder = tmp_path_factory.mktemp("labeled") / "test"
    names = [label.name for label in labels.read("cifar10")]
    random = np.random.default_rng(0)
    for number in range(IMAGES - 1):
        image = Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8)).resize((32, 32))
        path = folder / names[min(number % 7, number % 10)] / ("b" * (number % 3)) / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    (folder / BAD).write_bytes(b"\xff\xd8\xff")
    return folder


def good_images(folder: Path) -> Iterator[tuple[Path, int]]:
    names = [label.name for label in labels.read("cifar10")]
    for path in sorted(folder.rglob("*.png")):
        yield path, names.index(path.relative_to(folder).parts[0])


def cells(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def tips(path: Path) -> list[str]:
    """What a drawing says of each of its parts."""
    return [title.text for title in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}title")]


# The figures


@pytest.fixture
def reference(folder, simple_network):
    """Probabilities (images, 10) and classes (images,)."""
    paths, truth = zip(*good_images(folder), strict=True)
    return modelzoo.Classifier().probabilities(list(paths)), np.array(truth)


def test_accuracies_are_those_of_numpy(folder, reference):
    found = modelzoo.evaluate(folder)
    probabilities, truth = reference
    order = np.argsort(-probabilities, axis=1)
    assert found.images == len(truth) == IMAGES - 1
    assert found.top1.value == np.mean(order[:, 0] == truth)
    assert found.top5.value == np.mean((order[:, :5] == truth[:, None]).any(axis=1))
    assert 0 < found.top1.value < found.top5.value < 1


def test_confusions_precision_and_recall_are_those_of_numpy(folder, reference, tmp_path):
    found = modelzoo.evaluate(folder, output=tmp_path / "out")
    probabilities, truth = reference
    matrix = np.zeros((10, 10), int)
    np.add.at(matrix, (truth, probabilities.argmax(axis=1)), 1)
    names = [label.id for label in labels.read("cifar10")]
    assert {(c.truth, c.predicted): c.images for c in found.confusions} == {
        (names[i], names[j]): matrix[i, j] for i, j in zip(*matrix.nonzero(), strict=True)
    }
    for figures_ in found.classes:
        i = names.index(figures_.id)
        assert (figures_.images, figures_.correct, figures_.predicted) == (
            *(matrix[i].sum(), matrix[i, i]),
            matrix[:, i].sum(),
        )
        assert figures_.recall == matrix[i, i] / matrix[i].sum()
        assert figures_.precision == (matrix[i, i] / matrix[:, i].sum() if matrix[:, i].any() else None)
    recall = [matrix[i, i] / matrix[i].sum() for i in range(10) if matrix[i].any()]
    assert found.balanced_accuracy == pytest.approx(np.mean(recall), abs=1e-12)
    (_, *columns), *rows = cells(tmp_path / "out" / "confusion.csv")
    for name, *counts in rows:
        assert list(map(int, counts)) == [matrix[names.index(name), names.index(c)] for c in columns]
    assert sum(int(count) for _, *counts in rows for count in counts) == len(truth)


def test_the_calibration_error_is_that_of_numpy(folder, reference):
    found = modelzoo.evaluate(folder)
    probabilities, truth = reference
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    edges = np.linspace(0, 1, figures.BINS + 1)
    error = 0.0
    for low, high, bin_ in zip(edges, edges[1:], found.calibration, strict=False):
        inside = (confidence > low) & (confidence <= high)
        assert bin_.images == inside.sum()
        if inside.any():
            assert bin_.accuracy == right[inside].mean()
            assert bin_.confidence == pytest.approx(confidence[inside].mean(), abs=1e-6)
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert found.calibration_error == pytest.approx(error, abs=1e-6)
    assert error > 0.1


def test_the_worst_images_are_the_most_confident_mistakes(folder, reference):
    found = modelzoo.evaluate(folder)
    probabilities, truth = reference
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != truth)
    worst = wrong[np.argsort(-probabilities.max(axis=1)[wrong])]
    paths = [path.relative_to(folder).as_posix() for path, _ in good_images(folder)]
    names = [label.id for label in labels.read("cifar10")]
    assert [mistake.image for mistake in found.mistakes] == [paths[i] for i in worst][: figures.MISTAKES]
    first = found.mistakes[0]
    assert (first.truth, first.predicted) == (names[truth[worst[0]]], names[probabilities[worst[0]].argmax()])


@pytest.mark.parametrize(
    ("hits", "images", "low", "high"),
    [  # statsmodels 0.15.0, proportion_confint(hits, images, method="wilson")
        (10, 100, 0.0552291, 0.1743657),
        (0, 10, 0.0, 0.2775328),
        (1, 1, 0.2065493, 1.0),
        (8945, 10000, 0.8883268, 0.9003702),
    ],
)
def test_the_interval_is_wilsons(hits, images, low, high):
    found = figures.proportion(hits, images)
    assert (found.value, found.low, found.high) == pytest.approx((hits / images, low, high), abs=1e-6)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_memory_does_not_grow_with_the_mistakes():
    tally = figures.Tally()
    for number in range(5000):
        probability = (number * 7919 % 5000) / 5000
        tally.add(str(number), "a", {"predictions": [{"id": "b", "name": "b", "probability": probability}]})
        tally.add(str(number), "a", {"error": "bad"})
    worst = tally.mistakes()
    assert [mistake.probability for mistake in worst] == [(4999 - i) / 5000 for i in range(figures.MISTAKES)]
    assert (tally.failed, len(tally.failures)) == (5000, figures.FAILURES)


def test_equally_confident_mistakes_stay_in_the_images_order():
    tally = figures.Tally()
    for number in range(2 * figures.MISTAKES):
        tally.add(f"{number:03}", "a", {"predictions": [{"id": "b", "name": "b", "probability": 0.5}]})
    assert [m.image for m in tally.mistakes()] == [f"{number:03}" for number in range(figures.MISTAKES)]


@pytest.mark.usefixtures("simple_network")
def test_one_class_is_enough(folder, tmp_path):
    shutil.copytree(folder / "cat", tmp_path / "test" / "cat")
    found = modelzoo.evaluate(tmp_path / "test", output=tmp_path / "out")
    (cat,) = found.classes
    assert found.top1.value == cat.recall == found.balanced_accuracy
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES


# Images that have no answer


@pytest.mark.usefixtures("simple_network")
def test_images_that_cannot_be_read_are_counted_named_and_in_no_figure(folder, tmp_path):
    whole = shutil.copytree(folder, tmp_path / "test")
    (whole / BAD).unlink()
    found, without = modelzoo.evaluate(folder), modelzoo.evaluate(whole)
    assert (found.unreadable, found.images, found.dataset.images) == (1, IMAGES - 1, IMAGES)
    (failure,) = found.failures
    assert failure.image == BAD
    assert "broken.jpg" in failure.reason
    for field in ("top1", "top5", "classes", "confusions", "calibration", "mistakes"):
        assert getattr(found, field) == getattr(without, field)


@pytest.mark.usefixtures("simple_network")
def test_without_any_answer_there_are_no_figures(tmp_path):
    (tmp_path / "test" / "cat").mkdir(parents=True)
    (tmp_path / "test" / "cat" / "a.jpg").write_bytes(b"")
    with pytest.raises(ImageError, match=r"None of the images in .*test has an answer"):
        modelzoo.evaluate(tmp_path / "test", output=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.jsonl"]


# Interruptions


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_killed_evaluation_is_resumed_and_ends_in_the_same_tables(folder, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    modelzoo.evaluate(folder, output=whole)
    program = f"""
        import os
        from modelzoo import evaluate
        from modelzoo.bulk.journal import Journal
        append = Journal.append
        def killing(journal, rows):
            append(journal, rows)
            journal.file.write(b'{{"image": "trunc')
            journal.file.flush()
            os.kill(os.getpid(), {getattr(signal, "SIGKILL", 9)})
        Journal.append = killing
        evaluate({str(folder)!r}, output={str(killed)!r})
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT)
    assert process.returncode != 0
    assert not FILES & set(contents(killed))
    asked = []
    append = Journal.append

    def counting(journal, rows):
        asked.extend(rows)
        append(journal, rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "append", counting)
        modelzoo.evaluate(folder, output=killed)
    assert len(asked) == IMAGES - 32
    assert contents(killed) == contents(whole)


@pytest.mark.usefixtures("simple_network")
def test_what_fails_after_the_last_image_loses_no_row(folder, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(run, "write_report", full)
        with pytest.raises(OutputError, match="Make room and rerun"):
            modelzoo.evaluate(folder, output=tmp_path / "out")
    monkeypatch.setattr(Journal, "append", lambda *_: pytest.fail("an image was classified again"))
    modelzoo.evaluate(folder, output=tmp_path / "out")
    assert set(contents(tmp_path / "out")) == FILES


@pytest.mark.usefixtures("simple_network")
def test_another_mapping_needs_no_other_rows(folder, tmp_path, monkeypatch):
    """The rows do not depend on what the folders mean, so that a wrong mapping costs no second run."""
    with monkeypatch.context() as patch:
        patch.setattr(run, "write_report", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            modelzoo.evaluate(folder, output=tmp_path / "out")
    monkeypatch.setattr(Journal, "append", lambda *_: pytest.fail("an image was classified again"))
    swapped = modelzoo.evaluate(folder, output=tmp_path / "out", classes={"cat": "dog", "bird": "dog"})
    assert "cat" not in {figures_.id for figures_ in swapped.classes}


def test_images_that_change_meanwhile_are_no_evaluation(folder):
    known = folders.labeled_folder(folder, Classes("cifar10"), {})
    rows = [{"image": str(path), "error": "bad"} for _, path in known.images()]
    assert len(list(folders.LabeledRows(known, rows))) == IMAGES
    for changed in (rows[:-1], [*rows, rows[0]], rows[::-1]):
        with pytest.raises(OutputError, match="have changed while they were evaluated"):
            list(folders.LabeledRows(known, changed))


# Folders


@pytest.mark.parametrize("label_set", labels.NAMES)
def test_every_class_is_found_by_its_id_and_by_a_name_that_is_only_its(label_set):
    classes = Classes(label_set)
    table = labels.read(label_set)
    names = [label.name.casefold() for label in table]
    ids = {label.id.casefold() for label in table}
    for number, label in enumerate(table):
        assert classes.find(label.id) == number
        if names.count(label.name.casefold()) == 1 and label.name.casefold() not in ids:
            assert classes.find(label.name.upper()) == number


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("n02123045", "n02123045"),
        ("N02123045", "n02123045"),
        ("tabby", "n02123045"),
        ("Tabby_Cat", "n02123045"),
        ("great-white-shark", "n01484850"),
        ("maillot", "n03710637"),  # a whole name goes before one of several
        ("maillot, tank suit", "n03710721"),
    ],
)
def test_a_folder_is_an_id_a_name_or_one_of_several(text, id):
    table = labels.read("imagenet")
    assert table[Classes("imagenet").find(text)].id == id


def test_a_name_of_two_classes_lists_both():
    with pytest.raises(LabelsError, match=r"crane \(several classes: n02012849 crane, n03126707 crane\)\.$"):
        Classes("imagenet").find("crane")


@pytest.mark.usefixtures("simple_network")
def test_folders_that_are_no_classes_are_named_with_the_nearest(folder, tmp_path):
    wrong = shutil.copytree(folder, tmp_path / "test")
    (wrong / "cat").rename(wrong / "kat")
    (wrong / "bird").rename(wrong / "b\x1b[31m")
    sentence = (
        r"^Expected folders named by classes of cifar10, found 'b\\x1b\[31m' \(the nearest: bird, .*\); "
        r"kat \(the nearest: cat, .*\)\. Rename them to ids or names, or map them \(--classes FILE\)\.$"
    )
    with pytest.raises(LabelsError, match=sentence):
        modelzoo.evaluate(wrong, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ((), "Expected one folder a class in .*, found no folders"),
        (("a.jpg", "b.png"), "found no folders; 2 images lie in it directly"),
        (("cat/notes.md", "dog/.hidden.jpg"), "The folders in .* have no images: cat, dog"),
    ],
)
def test_a_folder_without_classes_is_refused(names, sentence, tmp_path):
    folder = tmp_path / "test"
    folder.mkdir()
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    with pytest.raises(ImageError, match=sentence):
        modelzoo.evaluate(folder)


@pytest.mark.parametrize("name", ["missing", "a.jpg"])
def test_what_is_no_folder_is_refused(name, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(ImageError, match=f"No such folder: .*{name}"):
        modelzoo.evaluate(tmp_path / name)


@pytest.mark.usefixtures("simple_network")
def test_what_is_passed_by_is_counted(folder, tmp_path):
    odd = shutil.copytree(folder, tmp_path / "test")
    (odd / "truck" / "empty").mkdir(parents=True)
    for name in (".git", "__MACOSX"):
        shutil.copytree(odd / "cat", odd / name)
    shutil.copy(next(odd.glob("cat/*.png")), odd / "loose.png")
    (odd / "README.md").write_text("about")
    found, plain = modelzoo.evaluate(odd), modelzoo.evaluate(folder)
    assert found.empty == ("truck",)
    assert found.skipped == {"hidden": 1, "system folder": 1, "in no class's folder": 1}
    assert (found.confusions, found.dataset) == (plain.confusions, plain.dataset)


@pytest.mark.usefixtures("simple_network")
@pytest.mark.parametrize("place", ["cat/out", "."])
def test_the_output_does_not_become_a_class(place, folder):
    with pytest.raises(OutputError, match="lies in the folder of images"):
        modelzoo.evaluate(folder, output=folder / place)


def test_an_output_that_is_a_file_is_refused(folder, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="is a file; give the name of a folder"):
        modelzoo.evaluate(folder, output=tmp_path / "out")


def test_a_detection_model_is_refused(folder):
    with pytest.raises(ValueError, match="detection model; use Detector"):
        modelzoo.evaluate(folder, "yolo2")


def test_of_many_wrong_folders_few_are_compared_with_all_classes(monkeypatch):
    """Over ML-Images' 11,166 classes the nearest names of one folder take a second."""
    asked = []
    monkeypatch.setattr(Classes, "why_not", lambda self, text: asked.append(text) or text)
    with pytest.raises(LabelsError, match=r"found wrong 000; .*; wrong 004 and 195 more\. Rename them"):
        classes_of([f"wrong {number:03}" for number in range(200)], Classes("mlimages"), {})
    assert len(asked) == 5


def test_the_nearest_are_different_classes():
    with pytest.raises(LabelsError) as caught:
        Classes("imagenet").find("tabby catt")
    nearest = re.findall(r"n\d{8}", str(caught.value))
    assert nearest[0] == "n02123045"
    assert len(set(nearest)) == len(nearest) == 3


# Label sets of one's own

NAMES = ["t-shirt", "t shirt", "Übergröße", "<b>&=cmd"]


@pytest.fixture
def own_labels(monkeypatch, tmp_path) -> str:
    """A model of four classes with names that need care."""
    registry = json.loads((resources.files("modelzoo") / "registry.json").read_text("utf-8"))
    entry = registry["models"]["resnet9_cifar10.modelzoo"]
    entry |= {"labels": "clothing", "graph": entry["graph"] | {"classes": len(NAMES)}}
    path = tmp_path / "registry.json"
    own = {"preprocessing": {}, "models": {"dresser.team": entry}, "labels": {"clothing": NAMES}}
    path.write_text(json.dumps(own), "utf-8")
    monkeypatch.setenv(settings.REGISTRY, str(path))
    predictor = SimpleNamespace(predict=lambda images: network(images)[:, : len(NAMES)])
    monkeypatch.setattr(pipeline, "predictor", lambda *_: predictor)
    return "dresser"


def test_a_model_of_few_classes_has_no_top5(own_labels, folder, tmp_path):
    mapping = dict(zip(("airplane", "bird", "cat", "deer"), NAMES, strict=True))
    for name in mapping:
        shutil.copytree(folder / name, tmp_path / "test" / name)
    deployed = modelzoo.Deployment(own_labels, "synthetic")
    found = modelzoo.evaluate(tmp_path / "test", deployed, classes=mapping, output=tmp_path / "out")
    assert found.top5 is None
    assert [metric["name"] for metric in found.metrics()] == ["top1"]
    assert [figures_.name for figures_ in found.classes] == NAMES
    assert NAMES[3] in (tmp_path / "out" / "classes.csv").read_text("utf-8")
    assert any(NAMES[3] in tip for tip in tips(tmp_path / "out" / "confusion.svg"))


@pytest.mark.usefixtures("own_labels")
def test_letters_that_a_system_decomposes_are_the_same():
    classes = Classes("clothing")
    for text in (NAMES[2], unicodedata.normalize("NFD", NAMES[2]), "übergröße"):
        assert classes.find(text) == 2


@pytest.mark.usefixtures("own_labels")
def test_an_exact_name_goes_before_one_that_is_nearly_the_same():
    classes = Classes("clothing")
    assert (classes.find("t-shirt"), classes.find("t shirt")) == (0, 1)
    with pytest.raises(LabelsError, match=r"T_Shirt \(several classes: t-shirt, t shirt\)"):
        classes.find("T_Shirt")


# Mappings

MAPPINGS = {
    "m.json": '{"chat": "cat", "Hund": "dog", "other": null}',
    "m.csv": "folder,class\nchat,cat\nHund,dog\nother,\n",
    "m.txt": "chat cat\nHund\tdog\nother\t\n\n",
    "bom.csv": "\ufefffolder,class\r\nchat,cat\r\nHund,dog\r\nother,\r\n",
}


@pytest.mark.usefixtures("simple_network")
@pytest.mark.parametrize("name", MAPPINGS)
def test_a_mapping_names_the_classes_and_leaves_out(name, folder, tmp_path):
    mapped = tmp_path / "test"
    for ours, theirs in {"cat": "chat", "deer": "other", "bird": "Bird"}.items():
        shutil.copytree(folder / ours, mapped / theirs)
    (tmp_path / name).write_text(MAPPINGS[name], "utf-8")
    found = modelzoo.evaluate(mapped, classes=tmp_path / name)
    assert found == modelzoo.evaluate(mapped, classes={"chat": "cat", "Hund": "dog", "other": None})
    assert [figures_.id for figures_ in found.classes] == ["bird", "cat"]
    assert found.skipped == {"folder left out by the mapping": 1}


@pytest.mark.usefixtures("simple_network")
def test_two_folders_may_be_one_class(folder, tmp_path):
    for name in ("cat", "deer"):
        shutil.copytree(folder / name, tmp_path / "test" / name)
    found = modelzoo.evaluate(tmp_path / "test", classes={"deer": "cat"})
    (cat,) = found.classes
    assert cat.images == found.images == found.dataset.images
    assert found.dataset.classes == 1


def test_a_mapping_to_no_class_names_folder_and_class(folder):
    with pytest.raises(LabelsError, match=r"cat -> kitty \(the nearest: "):
        modelzoo.evaluate(folder, classes={"cat": "kitty"})


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("m.json", "[1]", "expected an object"),
        ("m.json", '{"a": 3}', "expected an object .*, got 3 for a"),
        ("m.json", '{"a": "cat", "a": "dog"}', "maps folders more than once: a"),
        ("m.json", "{", "is no mapping of folders"),
        ("m.json", "[" * 100_000, "is no mapping of folders"),
        ("m.csv", "a,b,c\n", "expected folder,class in line 1"),
        ("m.csv", "a\n", "expected folder,class in line 1"),
        ("m.txt", "a cat\nb\n", "expected a folder, white space and a class in line 2"),
        ("m.txt", b"\xff\xfe", "is no mapping of folders"),
        ("m.yaml", "a: cat", r"must end in \.csv, \.json, \.txt"),
    ],
)
def test_what_is_no_mapping_is_refused_in_one_sentence(name, content, sentence, tmp_path):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(LabelsError, match=sentence):
        read_mapping(tmp_path / name)


@pytest.mark.parametrize("ending", READERS)
def test_a_mapping_that_is_missing_or_huge_is_refused(ending, tmp_path, monkeypatch):
    with pytest.raises(LabelsError, match=r"No such file: .*missing"):
        read_mapping(tmp_path / f"missing{ending}")
    monkeypatch.setattr("modelzoo.evaluation.classes.LARGEST", 10)
    (tmp_path / f"m{ending}").write_bytes(bytes(11))
    with pytest.raises(LabelsError, match="expected at most 10 bytes"):
        read_mapping(tmp_path / f"m{ending}")


# What is written

TABLE = {"type": "array", "items": {"type": "object"}}
PROPORTION = {
    "type": "object",
    "properties": {"value": NUMBER, "low": NUMBER, "high": NUMBER},
    "required": ["value", "low", "high"],
    "additionalProperties": False,
}


def rows_of(**fields: object) -> dict[str, object]:
    item = {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }
    return {"type": "array", "items": item}


FIELDS = {
    "model": STRING,
    "dataset": {
        "type": "object",
        "properties": {
            "name": STRING,
            "images": COUNT,
            "classes": COUNT,
            "sha256": {"pattern": "^[0-9a-f]{64}$"},
        },
        "required": ["name", "images", "classes", "sha256"],
        "additionalProperties": False,
    },
    "images": COUNT,
    "unreadable": COUNT,
    "top1": PROPORTION,
    "top5": {"anyOf": [PROPORTION, {"type": "null"}]},
    "balanced_accuracy": NUMBER,
    "calibration_error": NUMBER,
    "classes": rows_of(
        id=STRING,
        name=STRING,
        images=COUNT,
        correct=COUNT,
        predicted=COUNT,
        precision=MAYBE,
        recall=NUMBER,
    ),
    "confusions": rows_of(truth=STRING, predicted=STRING, images=COUNT),
    "calibration": rows_of(low=NUMBER, high=NUMBER, images=COUNT, confidence=MAYBE, accuracy=MAYBE),
    "mistakes": rows_of(image=STRING, truth=STRING, predicted=STRING, probability=NUMBER),
    "failures": rows_of(image=STRING, reason=STRING),
    "settings": {"type": "object", "required": list(run.SETTINGS)},
    "empty": {"type": "array", "items": STRING},
    "skipped": {"type": "object", "additionalProperties": COUNT},
    "date": {"pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
    "machine": STRING,
    "metrics": rows_of(
        name={"enum": ["top1", "top5"]},
        value=NUMBER,
        interval={"type": "array", "items": NUMBER},
        dataset=STRING,
        dataset_sha256=STRING,
        weights=STRING,
        date=STRING,
        machine=STRING,
        measured_by=STRING,
    ),
}
SCHEMA = {"type": "object", "properties": FIELDS, "required": list(FIELDS), "additionalProperties": False}


@pytest.mark.usefixtures("simple_network")
def test_the_json_has_its_schema_and_is_the_files(folder, tmp_path, capfd):
    jsonschema = pytest.importorskip("jsonschema")
    assert cli.main(["evaluate", str(folder), "--json", "-o", str(tmp_path / "out")]) == 0
    shown = capfd.readouterr().out
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(shown))
    assert json.loads(shown) == json.loads((tmp_path / "out" / "evaluation.json").read_text("utf-8"))


@pytest.mark.usefixtures("simple_network")
def test_every_table_has_a_header_and_as_many_cells(folder, tmp_path):
    found = modelzoo.evaluate(folder, output=tmp_path)
    lengths = {
        "classes.csv": len(found.classes),
        "confusion.csv": len(found.classes),
        "calibration.csv": figures.BINS,
        "mistakes.csv": len(found.mistakes),
    }
    assert set(report.TABLES) == set(lengths)
    for name, length in lengths.items():
        header, *rows = cells(tmp_path / name)
        assert len(rows) == length
        assert {len(row) for row in rows} == {len(header)}
    lines = (tmp_path / "predictions.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == IMAGES


@pytest.mark.usefixtures("simple_network")
def test_the_drawings_show_every_pair_and_every_bin(folder, tmp_path):
    found = modelzoo.evaluate(folder, output=tmp_path)
    totals = {figures_.id: figures_.images for figures_ in found.classes}
    assert sorted(tips(tmp_path / "confusion.svg")) == sorted(
        f"{c.truth} taken for {c.predicted}: {c.images} of {totals[c.truth]}" for c in found.confusions
    )
    assert len(tips(tmp_path / "calibration.svg")) == sum(bin_.images > 0 for bin_ in found.calibration)


def test_a_drawing_escapes_what_others_wrote():
    hostile = '<script>alert("1")</script>&\x00\x1b'
    drawn = charts.confusion_svg(
        [evaluation.Confusion("a", "a", 1)], {"a": hostile}, hostile.rstrip("\0\x1b")
    )
    root = ElementTree.fromstring(drawn)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} == {
        "svg",
        "text",
        "path",
        "rect",
        "title",
    }


def test_a_matrix_of_a_thousand_classes_is_small():
    names = {str(number): f"class {number}" for number in range(1000)}
    pairs = [evaluation.Confusion(str(i), str(i * 7 % 1000), 3) for i in range(1000)]
    drawn = charts.confusion_svg(pairs, names, "title")
    assert len(drawn) < 200_000
    assert ElementTree.fromstring(drawn).get("width")


@pytest.mark.usefixtures("simple_network")
def test_text_that_a_spreadsheet_would_compute_is_harmless(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "test")
    (tmp_path / "test" / "cat").rename(tmp_path / "test" / "=cat")
    modelzoo.evaluate(tmp_path / "test", output=tmp_path / "out", classes={"=cat": "truck"})
    assert any(row[0].startswith("'=cat/") for row in cells(tmp_path / "out" / "mistakes.csv"))


# Metrics


@pytest.mark.usefixtures("simple_network")
def test_metrics_are_plain_json_in_percent_with_where_they_come_from(folder):
    found = modelzoo.evaluate(folder)
    top1, top5 = json.loads(json.dumps(found.metrics()))
    assert (top1["name"], top5["name"]) == ("top1", "top5")
    assert top1["value"] == 100 * found.top1.value
    assert top1["interval"] == [100 * found.top1.low, 100 * found.top1.high]
    assert top1["dataset"] == f"test ({IMAGES - 1} images, 7 classes)"
    assert top1["dataset_sha256"] == found.dataset.sha256
    assert top1["weights"].startswith("sha256 ")
    assert top1["measured_by"].startswith(f"modelzoo {modelzoo.__version__} evaluate (openvino ")
    assert top1["date"] == found.date
    assert top1["machine"] == found.machine
    assert platform.node() not in found.machine.split()


@pytest.mark.usefixtures("simple_network")
def test_the_data_are_told_by_their_content(folder, tmp_path):
    lines = b""
    for name in sorted(os.listdir(folder)):
        for path in modelzoo.images.image_files(folder / name):
            relative = Path(path).relative_to(folder).as_posix()
            lines += f"{hashlib.sha256(Path(path).read_bytes()).hexdigest()} {name} {relative}\n".encode()
    expected = hashlib.sha256(lines).hexdigest()
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    assert modelzoo.evaluate(folder).dataset.sha256 == expected
    assert modelzoo.evaluate(moved).dataset.sha256 == expected
    assert modelzoo.evaluate(moved, classes={"cat": "dog"}).dataset.sha256 != expected
    (moved / BAD).write_bytes(b"other")
    assert modelzoo.evaluate(moved).dataset.sha256 != expected


# The command


@pytest.mark.usefixtures("simple_network")
def test_the_command_shows_the_figures_and_names_what_failed(folder, tmp_path, capfd):
    found = modelzoo.evaluate(folder)
    assert cli.main(["evaluate", str(folder), "-o", str(tmp_path / "out")]) == 0
    shown = capfd.readouterr()
    assert f"{IMAGES - 1} in 7 classes; 1 more have no answer and are in no figure" in shown.out
    interval = f"(95 % interval {100 * found.top1.low:.2f} to {100 * found.top1.high:.2f})"
    assert f"{100 * found.top1.value:.2f} % {interval}" in shown.out
    for figures_ in found.classes:
        assert any(line.startswith(figures_.name) for line in shown.out.splitlines())
    assert found.mistakes[0].image in shown.out
    assert "broken.jpg" in shown.err


@pytest.mark.usefixtures("simple_network")
def test_of_many_classes_the_worst_are_shown(folder, capfd):
    found = modelzoo.evaluate(folder)
    many = [
        replace(found.classes[0], id=f"{n}", name=f"class {n}", recall=n / 100) for n in range(99, -1, -1)
    ]
    evaluation_command._print(replace(found, classes=tuple(many)), None)
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("class ")][1:] == [str(n) for n in range(20)]
    assert "the lowest recall first; 80 more classes are written by -o FOLDER" in lines


@pytest.mark.usefixtures("simple_network")
def test_a_wrong_folder_is_one_sentence(tmp_path, capfd):
    (tmp_path / "kat").mkdir()
    assert cli.main(["evaluate", str(tmp_path)]) == 1
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(
        "modelzoo: Expected folders named by classes of cifar10, found kat (the nearest: cat"
    )
    assert shown.err.count("\n") == 1


@pytest.mark.usefixtures("simple_network")
def test_progress_is_shown_where_it_is_asked_for(folder, capfd):
    modelzoo.evaluate(folder, execution=Execution(progress=True))
    assert f"{IMAGES}/{IMAGES}" in capfd.readouterr().err


@pytest.mark.usefixtures("simple_network")
def test_without_an_output_nothing_is_left(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    modelzoo.evaluate(folder)
    assert not list(tmp_path.iterdir())
