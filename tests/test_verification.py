"""verify(): what it runs, what it finds wrong, and how it says what it could not run."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

import modelzoo
from modelzoo import registry, verification
from modelzoo.cli import main
from modelzoo.errors import DownloadError
from modelzoo.files import sha256
from modelzoo.images import preprocess
from modelzoo.verification import checks, keras_originals, known_answers, originals
from modelzoo.verification.known_answers import KnownAnswer
from scripts.registry import records
from tests.conftest import CAT, SHARED

MODEL = "mobilenet_v1_0.25_128.slim"  # the quickest one that has a golden
OWN = "resnet9_cifar10.modelzoo"  # its weights come with the package
PHOTOS = SHARED / "data" / "photos"
KNOWN = known_answers.packaged()


@pytest.fixture(scope="module")
def cat_answer() -> dict:
    """An answer for our own bundled model, as the file has it: what it says of the cat today."""
    images = preprocess(CAT, OWN)
    probabilities = keras.ops.convert_to_numpy(modelzoo.load(OWN)(images, training=False))[0]
    best = np.argsort(probabilities)[::-1][:2]
    return {
        "model": "resnet9_cifar10.*",
        "image": "cat",
        "output": "probabilities",
        "expected": [[int(index), float(probabilities[index])] for index in best],
        "tolerance": 1e-3,
        "source": "this test",
    }


@pytest.fixture
def publish(monkeypatch, tmp_path, cat_answer):
    """Makes that answer, with changes, the only one that is known; gives the folder with its image."""

    def publish(**changes):
        image = {"sha256": sha256(CAT), "url": "https://127.0.0.1/cat.jpg"}
        known = known_answers.parse({"images": {"cat": image}, "answers": [cat_answer | changes]})
        monkeypatch.setattr(known_answers, "packaged", lambda: known)
        folder = tmp_path / "images"
        folder.mkdir()
        shutil.copy(CAT, folder / "under another name")
        return folder

    return publish


def test_a_right_answer_passes(publish):
    golden, answer = verification.verify(OWN, images=publish())
    assert golden.passed
    assert "relative L2 error" in golden.detail
    assert answer.passed
    assert answer.name == "probabilities of cat, this test"


@pytest.mark.parametrize(
    ("changes", "passed", "detail"),
    [
        ({"expected": [[3, 0.5]]}, False, r"off by 4\.\de-01 at most, up to 0\.001 is right"),
        (
            {"output": "rank", "expected": [[3, 1]]},
            True,
            "expected class 3 at rank 1, found it at rank 1",
        ),
        ({"output": "rank", "expected": [[0, 1]]}, False, r"class 0 at rank 1, found it at rank \d+"),
        ({"output": "logits", "tolerance": 1e9}, True, "up to 1e[+]09"),
    ],
)
def test_other_answers(publish, changes, passed, detail):
    *_, answer = verification.verify(OWN, images=publish(**changes))
    assert answer.passed is passed
    assert re.search(detail, answer.detail)


def answer_of(output: str, expected, tolerance: float = 0.01) -> KnownAnswer:
    return KnownAnswer(
        model="*", image="x", output=output, expected=expected, tolerance=tolerance, source="this test"
    )


@pytest.mark.parametrize(
    ("values", "passed", "detail"),
    [
        ([0.1, 0.6, 0.3], True, "in the published order, off by 0.0e+00 at most, up to 0.01 is right"),
        ([0.1, 0.605, 0.3], True, "in the published order, off by 5.0e-03 at most"),
        ([0.1, 0.7, 0.3], False, "in the published order, off by 1.0e-01 at most"),
        ([0.305, 0.6, 0.3], True, "not in the published order, off by 0.0e+00"),
        ([0.5, 0.6, 0.3], False, "not in the published order, off by 0.0e+00"),
        ([np.nan, 0.6, 0.3], False, ""),
        ([0.1, np.nan, 0.3], False, ""),
    ],
)
def test_the_published_classes_come_first_and_have_the_published_values(values, passed, detail):
    answer = answer_of("probabilities", ((1, 0.6), (2, 0.3)))
    verdict, text = known_answers.judge(answer, np.array(values))
    assert verdict is passed
    assert text.startswith(detail)


def test_of_features_only_the_published_places_are_compared():
    answer = answer_of("pool", ((1, 0.6), (2, 0.3)))
    assert known_answers.judge(answer, np.array([9.0, 0.6, 0.3])) == (
        True,
        "off by 0.0e+00 at most, up to 0.01 is right",
    )


def test_an_image_that_is_not_available_is_said_to_be_missing(publish):
    publish()
    *_, answer = verification.verify(OWN)
    assert answer.passed is None
    assert answer.detail.startswith("the image is not available: https://127.0.0.1/cat.jpg: ")


def test_without_pretrained_weights_every_answer_is_named_as_not_run():
    golden, weights, answer = verification.verify("mobilenet_v2_1.0_224.slim")
    assert golden.passed
    assert weights.passed is None
    assert "not available" in weights.detail
    assert answer.passed is None
    assert answer.detail == "the weights are missing"
    assert answer.name.startswith("logits of mmdnn_seagull, Microsoft/MMdnn@")


def test_a_network_that_computes_something_else_fails(monkeypatch, capsys):
    right = originals.outputs(registry.info(MODEL))
    wrong = {name: array * np.float32(1.001) for name, array in right.items()}
    monkeypatch.setattr(originals, "outputs", lambda entry: wrong)
    assert main(["verify", MODEL]) == 1
    output = capsys.readouterr()
    assert "FAILED   synthetic weights against research/slim" in output.out
    assert output.err == "modelzoo: A check failed.\n"


def test_the_command_prints_each_check(capsys):
    assert main(["verify", MODEL, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["passed"] for line in lines] == [True, None]
    assert lines[1]["detail"] == "none were published for these weights"


# Originals


@pytest.mark.parametrize("key", modelzoo.list_models())
def test_every_entry_has_an_original_that_is_named(key):
    entry = registry.info(key)
    assert originals.is_known(entry)
    assert originals.program(entry) in {"keras.applications", *originals.PROGRAMS.values()}


def test_a_model_of_ones_own_without_an_original_is_not_checked_and_not_failed():
    check = checks._against_the_original(replace(registry.info(OWN), key="mine.team"))
    assert check.passed is None
    assert check.detail == "no outputs of an original program are known"


def test_an_original_of_an_unknown_tag_has_a_name():
    assert originals.program(replace(registry.info(OWN), key="mine.team")) == "the original program of team"


def test_a_model_of_ones_own_of_keras_applications_is_compared_with_keras():
    """Without a source, and with another number of classes."""
    entry = registry.info("mobilenet_0.25_128.keras")
    entry = replace(entry, key="mine.team", sources=(), graph=replace(entry.graph, classes=7))
    assert keras_originals.has(entry)
    assert checks._against_the_original(entry).passed


# Published answers


@pytest.mark.parametrize("answer", KNOWN.answers, ids=lambda answer: answer.model + answer.image)
def test_a_known_answer_is_about_a_model_an_image_and_classes_that_exist(answer):
    keys = modelzoo.list_models(answer.model)
    assert keys
    assert answer.image in {*known_answers.MADE, *KNOWN.images}
    for key in keys:
        entry = registry.info(key)
        width = 2048 if answer.output == "pool" else entry.graph.classes
        assert all(0 <= index < width for index, _ in answer.expected)
        assert known_answers.preprocessing_of(entry, answer).crop_size > 0


OF_PROGRAMS = {
    fact["id"]: fact for fact in records.read("known_answers")["answers"] if "input_sha256" in fact
}


@pytest.mark.parametrize("id", OF_PROGRAMS)
def test_the_network_is_asked_about_the_very_input_that_the_original_program_saw(id):
    fact = OF_PROGRAMS[id]
    (answer,) = (a for a in KNOWN.answers if (a.model, a.image) == (fact["model"], fact["image"]))
    image = None if answer.image in known_answers.MADE else CAT
    values = known_answers.network_input(registry.info(answer.model), answer, image)
    assert values.dtype == np.float32
    assert hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest() == fact["input_sha256"]


def test_the_repositorys_own_image_is_found_in_its_folder_and_nowhere_else():
    known = KNOWN.images["examples/cat.jpg"]
    assert known_answers.find_image(known, CAT.parent) == CAT
    with pytest.raises(DownloadError, match="comes with the repository"):
        known_answers.find_image(known, None)


def test_an_answer_may_want_another_size_and_other_channels():
    entry = registry.info("vgg_19.slim")
    answer = KnownAnswer(
        model="*",
        image=known_answers.ZEROS,
        output="logits",
        expected=(),
        source="this test",
        preprocessing="keras_tf",
        size=64,
        channels="BGR",
        interpolation="opencv_linear",
    )
    preprocessing = known_answers.preprocessing_of(entry, answer)
    assert preprocessing == replace(
        registry.packaged().named_preprocessing("keras_tf", 64),
        channels="BGR",
        interpolation="opencv_linear",
    )
    assert known_answers.network_input(entry, answer, None).shape == (1, 64, 64, 3)


@pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"{PHOTOS} is not there")
@pytest.mark.parametrize("name", KNOWN.images)
def test_the_images_are_those_whose_checksums_are_known(name):
    known = KNOWN.images[name]
    folder = PHOTOS if known.url else CAT.parent  # our own comes with the repository
    assert known_answers.find_image(known, folder).stem == Path(name).stem


MMDNN = [answer for answer in KNOWN.answers if answer.source.startswith("Microsoft/MMdnn@")]


def test_mmdnns_answers_have_the_pixels_and_the_tolerance_that_genuine_weights_gave():
    assert len(MMDNN) == 24
    assert {answer.interpolation for answer in MMDNN} == {"pillow3_nearest"}
    tolerances = {(answer.output, answer.tolerance) for answer in MMDNN}
    assert tolerances == {("logits", 2e-3), ("probabilities", 5e-4)}


@pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"{PHOTOS} is not there")
@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("mmdnn_seagull", "b9d1bb05add6b5573a2031040cdcfb7a1ceaff75fbfa08a5cbbad488ecc464a3"),
        ("mmdnn_elephant_2017", "808109fa89c3474514174b54e57ac2162a3acb0272935ab7a4df849c76ed9f59"),
    ],
)
def test_mmdnns_images_have_the_pixels_that_gave_the_published_values(name, digest):
    """With these the genuine MobileNet of 2017 is off by 9.8e-6 in logits at most."""
    preprocessing = replace(
        registry.packaged().named_preprocessing("keras_raw", 224), interpolation="pillow3_nearest"
    )
    pixels = preprocess(PHOTOS / f"{name}.jpg", preprocessing).astype(np.uint8)
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == digest
