"""Fine-tuning: what is learnt, that it resumes bit by bit, what is refused, and what is kept."""

from __future__ import annotations

import dataclasses
import errno
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import modelzoo
from modelzoo import cli, files
from modelzoo.errors import ModelZooError, OutputError
from modelzoo.training import TrainingOptions, apply_delta, checkpoints, finetune
from modelzoo.training.options import seconds_of

MODEL = "resnet9_cifar10"
COLORS = {"blue": (40, 60, 220), "green": (60, 200, 60), "red": (220, 50, 40)}
SHORT = TrainingOptions(epochs=3, batch_size=8, seed=3, learning_rate=1e-3, batch_norm=False)


def make_images(folder, count: int, seed: int = 0) -> None:
    """One folder a color, of noise around it."""
    random = np.random.default_rng(seed)
    for name, color in COLORS.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(random.normal(color, 50, (40, 36, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


def make_parts(folder):
    """The folder, with images to train on and others for the test."""
    make_images(folder / "train", 12)
    make_images(folder / "test", 5, seed=1)
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_parts(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return finetune(
        images / "train", MODEL, folder / "colors", test=images / "test", options=SHORT, tensorboard=True
    )


def digest(found) -> str:
    return files.sha256(modelzoo.info(found.folder).weights_path)


def test_a_model_folder_answers_with_the_new_classes(finished, images):
    assert finished.classes == ("blue", "green", "red")
    assert finished.accuracy.value > 0.9
    image = images / "test" / "red" / "0.png"
    assert modelzoo.classify(str(image), finished.folder)[0][0].name == "red"
    assert all(check.passed is not False for check in modelzoo.verify(finished.folder))
    assert modelzoo.info(finished.folder).metric("top1") == pytest.approx(100 * finished.accuracy.value)


def test_a_run_keeps_logs_curves_and_the_report_and_nothing_else(finished):
    run = modelzoo.info(finished.folder).weights_path.parent.with_name("colors.run")
    there = {path.name for path in run.iterdir()}
    assert there == {"log.csv", "curves.svg", "finetune.json", "report", "tensorboard"}
    assert len((run / "log.csv").read_text().splitlines()) == 1 + finished.epochs == 4
    assert (run / "curves.svg").read_text().count("<polyline") == 3
    assert json.loads((run / "finetune.json").read_text())["test"]["images"] == 15


class Killed(Exception):
    """In place of kill -9."""


def kill_after(monkeypatch, epochs: int) -> None:
    from modelzoo.training.loop import Training

    keep = Training._keep

    def kept(self, state, averaged):
        if len(state.done) > epochs:
            raise Killed
        keep(self, state, averaged)

    monkeypatch.setattr(Training, "_keep", kept)


@pytest.mark.parametrize("epochs", [0, 2])
def test_a_killed_run_resumes_to_the_same_weights(epochs, finished, images, tmp_path, monkeypatch):
    output = tmp_path / "colors"
    with monkeypatch.context() as patch:
        kill_after(patch, epochs)
        with pytest.raises(Killed):
            finetune(images / "train", MODEL, output, test=images / "test", options=SHORT)
    found = finetune(images / "train", MODEL, output, test=images / "test", options=SHORT)
    assert digest(found) == digest(finished)


def test_a_full_disk_at_a_checkpoint_loses_no_earlier_epoch(finished, images, tmp_path, monkeypatch):
    import safetensors.numpy

    output, save_file, calls = tmp_path / "colors", safetensors.numpy.save_file, []

    def full(arrays, path, facts):
        calls.append(path)
        if len(calls) > 3:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save_file(arrays, path, facts)

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.numpy, "save_file", full)
        with pytest.raises(OutputError, match=r"No space left on device.*free some space") as raised:
            finetune(images / "train", MODEL, output, test=images / "test", options=SHORT)
    assert "\n" not in str(raised.value)
    work = tmp_path / "colors.run" / "work" / "training"
    assert len(checkpoints.load(work / "checkpoint.safetensors")[1]["done"]) >= 1
    found = finetune(images / "train", MODEL, output, test=images / "test", options=SHORT)
    assert digest(found) == digest(finished)


def test_another_run_in_the_same_place_is_refused(finished, images, tmp_path, monkeypatch):
    kill_after(monkeypatch, 1)
    with pytest.raises(Killed):
        finetune(images / "train", MODEL, tmp_path / "colors", options=SHORT)
    other = dataclasses.replace(SHORT, seed=4)
    with pytest.raises(OutputError, match=r"unfinished run of another .*seed"):
        finetune(images / "train", MODEL, tmp_path / "colors", options=other)
    with pytest.raises(OutputError, match="is a model folder already"):
        finetune(images / "train", MODEL, finished.folder, options=SHORT)


def test_layers_before_the_level_stay_bit_identical(images, tmp_path):
    options = dataclasses.replace(SHORT, epochs=1, from_level="C3")
    found = finetune(images / "train", MODEL, tmp_path / "colors", test=images / "test", options=options)
    before = {variable.path: np.array(variable) for variable in backbone(MODEL).weights}
    after = {variable.path: np.array(variable) for variable in backbone(found.folder).weights}
    changed = {path for path in before if not np.array_equal(before[path], after[path])}
    assert changed
    assert all(path.startswith("stage3") for path in changed)
    assert not any("moving" in path or "gamma" in path for path in changed)


def backbone(name):
    return modelzoo.load(name, include_top=False)


@pytest.fixture(scope="module")
def head_only(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("head")
    options = dataclasses.replace(SHORT, head_only=True)
    return finetune(images / "train", MODEL, folder / "colors", options=options, delta_file=True)


def test_a_head_alone_is_fit_to_the_frozen_networks_embeddings(head_only):
    assert head_only.epochs == 0
    assert head_only.accuracy.value > 0.6
    assert head_only.images == {"train": 30, "validation": 3, "test": 3}


def test_a_delta_of_a_head_is_small_and_restores_the_same_weights(head_only, tmp_path):
    from pathlib import Path

    full = modelzoo.info(head_only.folder).weights_path
    assert Path(head_only.delta).stat().st_size < 0.01 * full.stat().st_size
    entry = apply_delta(head_only.delta, tmp_path / "colors")
    assert files.sha256(entry.weights_path) == files.sha256(full)
    assert entry.preprocessing == modelzoo.info(head_only.folder).preprocessing


def test_epochs_that_are_worse_than_the_head_alone_are_not_kept(images, tmp_path, monkeypatch):
    from modelzoo.training import loop

    monkeypatch.setattr(loop, "score", lambda logits, labels: (9.0, 0.0))
    options = dataclasses.replace(SHORT, epochs=1)
    found = finetune(images / "train", MODEL, tmp_path / "colors", test=images / "test", options=options)
    assert (found.epochs, found.best_epoch) == (1, 0)
    before, after = ([np.array(w) for w in backbone(name).weights] for name in (MODEL, found.folder))
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))


def test_a_delta_of_other_weights_is_refused(head_only, tmp_path):
    with pytest.raises(ModelZooError, match="is of other weights"):
        apply_delta(head_only.delta, tmp_path / "colors", weights="synthetic")


def test_copies_never_stand_on_two_sides(images, tmp_path):
    from modelzoo.training import data

    folder = tmp_path / "train"
    shutil.copytree(images / "train", folder)
    shutil.copy(images / "test" / "red" / "0.png", folder / "red" / "copy.png")
    shutil.copy(folder / "red" / "1.png", folder / "red" / "twice.png")
    shutil.copy(folder / "red" / "2.png", folder / "blue" / "both.png")
    parts = data.split(folder, None, images / "test", SHORT)
    sides = [{sample.sha256 for sample in part} for part in (parts.train, parts.validation, parts.test)]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 3 * 12 - 1 + 15
    assert len(parts.notes) == 3


def test_durations_are_read():
    assert [seconds_of(text) for text in ("90s", "10m", "1h30m", "12.5")] == [90, 600, 5400, 12.5]
    with pytest.raises(ValueError, match="such as 90s"):
        seconds_of("soon")


def test_the_command_prints_json_and_a_baseline(images, tmp_path, capsys):
    arguments = [
        str(images / "train"),
        "-m",
        MODEL,
        "--test",
        str(images / "test"),
        "--random-init",
        "--json",
    ]
    times = ["--time", "1s", "--batch-size", "8", "-o", str(tmp_path / "out")]
    assert cli.main(["finetune", *arguments, *times]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["epochs"] == 1
    assert 0 <= found["random_init"]["top1"]["value"] <= 1
