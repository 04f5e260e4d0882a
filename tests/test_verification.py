"""verify(): what it runs, what it finds wrong, and how it says what it could not run."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

import modelzoo
from modelzoo import labels, parity, registry, verification
from modelzoo.cli import main
from tests.conftest import CAT, SHARED

MODEL = "mobilenet_v1_0.25_128.slim"  # the quickest one that has a golden
PHOTOS = SHARED / "data" / "photos"
KNOWN = verification._known()


def answered(monkeypatch, tmp_path, **changes):
    """A known answer for our own bundled model: what it says of the cat today, unless changed."""
    predictions = modelzoo.classify(CAT)[0][:2]
    ids = [label.id for label in labels.read("cifar10")]
    answer = {
        "model": "resnet9_cifar10.*",
        "picture": "cat",
        "output": "probabilities",
        "expected": [[ids.index(p.id), p.probability] for p in predictions],
        "tolerance": 1e-3,
        "source": "this test",
    }
    digest = verification.digests(CAT, ("sha256",))["sha256"]
    known = {
        "pictures": {"cat": {"sha256": digest, "url": "https://127.0.0.1/cat.jpg"}},
        "answers": [answer | changes],
    }
    monkeypatch.setattr(verification, "_known", lambda: known)
    folder = tmp_path / "pictures"
    folder.mkdir()
    shutil.copy(CAT, folder / "under another name")
    return folder


def test_a_right_answer_passes(monkeypatch, tmp_path):
    folder = answered(monkeypatch, tmp_path)
    golden, answer = verification.verify("resnet9_cifar10", pictures=folder)
    assert golden.passed
    assert "relative L2 error" in golden.detail
    assert answer.passed
    assert answer.name == "probabilities of cat, this test"


@pytest.mark.parametrize(
    ("changes", "passed", "detail"),
    [
        ({"expected": [[3, 0.5]]}, False, r"off by 4\.\de-01 at most, up to 0\.001 is right"),
        ({"output": "rank", "expected": [[3, 1]]}, True, "class 3 comes at rank 1, wanted 1"),
        ({"output": "rank", "expected": [[0, 1]]}, False, r"class 0 comes at rank \d+, wanted 1"),
        ({"output": "logits", "tolerance": 1e9}, True, "up to 1e[+]09"),
    ],
)
def test_other_answers(monkeypatch, tmp_path, changes, passed, detail):
    folder = answered(monkeypatch, tmp_path, **changes)
    *_, answer = verification.verify("resnet9_cifar10", pictures=folder)
    assert answer.passed is passed
    assert re.search(detail, answer.detail)


def test_a_picture_that_cannot_be_had_is_said_to_be_missing(monkeypatch, tmp_path):
    answered(monkeypatch, tmp_path)
    *_, answer = verification.verify("resnet9_cifar10")
    assert answer.passed is None
    assert answer.detail.startswith("the picture cannot be had: https://127.0.0.1/cat.jpg: ")


def test_without_pretrained_weights_every_answer_is_named_as_not_run():
    golden, weights, answer = verification.verify("mobilenet_v2_1.0_224.slim")
    assert golden.passed
    assert weights.passed is None
    assert "cannot be had" in weights.detail
    assert answer.passed is None
    assert answer.detail == "the weights are missing"
    assert answer.name.startswith("logits of mmdnn_seagull, Microsoft/MMdnn@")


def test_a_network_that_computes_something_else_fails(monkeypatch, capsys):
    wrong = {name: array * np.float32(1.001) for name, array in parity.original(registry.info(MODEL)).items()}
    monkeypatch.setattr(parity, "original", lambda entry: wrong)
    assert main(["verify", MODEL]) == 1
    output = capsys.readouterr()
    assert "FAILED   synthetic weights against research/slim" in output.out
    assert output.err == "modelzoo: A check failed.\n"


def test_the_command_prints_each_check(capsys):
    assert main(["verify", MODEL, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["passed"] for line in lines] == [True, None]
    assert lines[1]["detail"] == "none were published for these weights"


@pytest.mark.parametrize("answer", KNOWN["answers"], ids=lambda answer: answer["model"] + answer["picture"])
def test_a_known_answer_is_about_a_model_a_picture_and_classes_that_exist(answer):
    keys = modelzoo.list_models(answer["model"])
    assert keys
    assert answer["picture"] in {verification.ZEROS, *KNOWN["pictures"]}
    assert answer.get("recipe", "keras_tf") in registry.packaged().pictures
    for key in keys:
        width = 2048 if answer["output"] == "pool" else registry.info(key).graph.classes
        assert all(0 <= index < width for index, _ in answer["expected"])


@pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"{PHOTOS} is not there")
@pytest.mark.parametrize("name", KNOWN["pictures"])
def test_the_pictures_are_those_whose_checksums_are_known(name):
    assert verification._picture(name, PHOTOS).stem == name
