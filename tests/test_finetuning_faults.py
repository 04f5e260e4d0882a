"""Fine-tuning from bad input and onto full disks: one sentence each, and nothing is lost of what was done."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil

import pytest

import modelzoo
from modelzoo import cli
from modelzoo.errors import ModelZooError, OutputError
from modelzoo.training import apply_delta, finetune
from tests.test_finetuning import MODEL, SHORT, digest, make_parts

COMMAND = ["--batch-size", "8", "--epochs", "1"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_parts(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    """The digest of the weights of a training that nothing stopped."""
    folder = tmp_path_factory.mktemp("finished")
    return digest(finetune(images / "train", MODEL, folder / "colors", test=images / "test", options=SHORT))


def one_class(folder):
    for name in ("blue", "green"):
        shutil.rmtree(folder / name)


def empty_class(folder):
    (folder / "white").mkdir()


def tiny_class(folder):
    for path in sorted((folder / "red").iterdir())[2:]:
        path.unlink()


def corrupt_image(folder):
    path = folder / "green" / "3.png"
    path.write_bytes(path.read_bytes()[:200])


BAD_FOLDERS = {
    one_class: r"Expected two classes or more.*found one, red",
    empty_class: r"Expected images of every class, found none in white",
    tiny_class: r"Expected at least 3 different images of every class.*red \(2\)",
    corrupt_image: r"found an image that cannot be read: .*3\.png is truncated",
}


def copies_of_the_test(folder):
    shutil.rmtree(folder.parent / "test")
    shutil.copytree(folder, folder.parent / "test")


BAD_FOLDERS[copies_of_the_test] = (
    r"fewer of blue \(0\).*; 36 images that are also in the test or validation folder"
)


def said_by(arguments, capsys) -> str:
    """The one line on stderr of a command that ends with 1."""
    assert cli.main(["finetune", *map(str, arguments)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.fixture
def folder(images, tmp_path):
    shutil.copytree(images, tmp_path / "images")
    return tmp_path / "images" / "train"


@pytest.mark.parametrize("damage", BAD_FOLDERS, ids=lambda damage: damage.__name__)
def test_images_that_cannot_be_learnt_from_are_refused_in_a_sentence(damage, folder, tmp_path, capsys):
    damage(folder)
    test = folder.parent / "test" if damage is copies_of_the_test else None
    with pytest.raises(ModelZooError, match=BAD_FOLDERS[damage]):
        finetune(folder, MODEL, tmp_path / "out", test=test, options=SHORT)
    said = said_by([folder, "-o", tmp_path / "out", *COMMAND, *(["--test", test] if test else [])], capsys)
    assert said.startswith("modelzoo: Expected ")


BAD_OPTIONS = {
    "--batch-size=64": r"Expected at least one batch of 64 images to train on, found 30",
    "--from=C9": "has no level 'C9': choose one of C1, C2, C3",
    "--size=2": "needs images of at least 8 x 8 pixels, got 2 x 2",
    "--size=100000": "size must be at most 2048, not 100000",
    "--seed=-1": "seed must be a whole number of at least 0, not -1",
    "--learning-rate=nan": "learning_rate must be a number above 0, not nan",
    "--time=0s": "seconds must be a number above 0, not 0.0",
    "--weights=/no/such.h5": "There is no weight file '/no/such.h5'",
    "--model=resnet51": "There is no model 'resnet51'; the nearest names are",
    "--model=yolo2": "is a detection model: expected one that classifies",
}


@pytest.mark.parametrize("option", BAD_OPTIONS)
def test_options_that_do_not_fit_are_refused_in_a_sentence(option, images, tmp_path, capsys):
    said = said_by([images / "train", "-o", tmp_path / "out", "--batch-size=8", option], capsys)
    assert BAD_OPTIONS[option] in said
    assert not (tmp_path / "out").exists()


def test_after_a_repair_the_same_command_starts(folder, tmp_path, capsys):
    corrupt_image(folder)
    command = [folder, "--test", folder.parent / "test", "-o", tmp_path / "out", *COMMAND]
    assert "Repair or remove before training" in said_by(command, capsys)
    (folder / "green" / "3.png").unlink()
    assert cli.main(["finetune", *map(str, command)]) == 0


def test_an_output_that_cannot_be_made_is_refused_in_a_sentence(images, tmp_path, capsys):
    (tmp_path / "file").touch()
    said = said_by([images / "train", "-o", tmp_path / "file" / "out", *COMMAND], capsys)
    assert "cannot be written to (Not a directory)" in said


@contextlib.contextmanager
def files_of_at_most(size: int):
    """As on a full disk no file grows beyond so many bytes."""
    resource = pytest.importorskip("resource", reason="Windows has no limits of files' sizes")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


TOO_LARGE = {
    100: "cannot be written to",  # the settings
    100_000: "needs squares.npy of",
    1_000_000: "The checkpoint .* cannot be written",
}


@pytest.mark.parametrize("size", TOO_LARGE)
def test_a_full_disk_stops_a_training_that_resumes_to_the_same_weights(size, finished, images, tmp_path):
    def run():
        return finetune(images / "train", MODEL, tmp_path / "colors", test=images / "test", options=SHORT)

    with files_of_at_most(size), pytest.raises(OutputError, match=TOO_LARGE[size]) as raised:
        run()
    assert "File too large" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert digest(run()) == finished


HEAD_TOO_LARGE = {
    2_000: "needs validation.npy of",
    38_000: "cannot be written to",  # the embeddings
    1_000_000: r"cannot be written to \(File too large\)",  # the weights of the model folder
}


@pytest.mark.parametrize("size", HEAD_TOO_LARGE)
def test_a_full_disk_stops_a_head_that_resumes(size, images, tmp_path):
    options = dataclasses.replace(SHORT, head_only=True)

    def run():
        return finetune(
            images / "train",
            MODEL,
            tmp_path / "colors",
            test=images / "test",
            options=options,
            delta_file=True,
        )

    with files_of_at_most(size), pytest.raises(OutputError, match=HEAD_TOO_LARGE[size]) as raised:
        run()
    assert "\n" not in str(raised.value)
    assert apply_delta(run().delta, tmp_path / "again").weights_path.is_file()
    assert modelzoo.info(tmp_path / "colors").weights_path.is_file()


def test_a_full_disk_at_the_delta_is_told_in_a_sentence(images, tmp_path, monkeypatch):
    import safetensors.numpy

    def full(arrays, path, facts):
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device")

    monkeypatch.setattr(safetensors.numpy, "save_file", full)
    options = dataclasses.replace(SHORT, head_only=True)
    with pytest.raises(OutputError, match=r"The delta .*No space left on device\): free some space"):
        finetune(images / "train", MODEL, tmp_path / "colors", options=options, delta_file=True)
