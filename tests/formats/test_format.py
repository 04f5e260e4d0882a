"""Which formats there are, and which one a file has."""

from __future__ import annotations

import typing

import numpy as np
import pytest

from modelzoo.formats import FORMATS
from modelzoo.registry import entries
from tests.formats.files import VARIABLES

ARRAYS = {"conv/weights": VARIABLES["conv/weights"], "conv/biases": VARIABLES["conv/biases"]}
PLAN = {name: array.shape for name, array in ARRAYS.items()}


def write(format, path) -> None:
    FORMATS[format].write(path, ARRAYS, *([PLAN] if FORMATS[format].planned else []))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    for name in FORMATS:
        write(name, folder / name)
    (folder / "text").write_bytes(b"{}")
    (folder / "zeros").write_bytes(bytes(1024))
    return {name: folder / name for name in (*FORMATS, "text", "zeros", "nothing")}


@pytest.mark.parametrize("format", FORMATS)
def test_a_format_recognizes_its_own_files_and_no_others(format, files):
    assert [name for name, path in files.items() if FORMATS[format].recognize(path)] == [format]


@pytest.mark.parametrize("version", [1, 2])
def test_the_checkpoints_of_both_versions_are_recognized(version, checkpoints):
    found = [name for name, format in FORMATS.items() if format.recognize(checkpoints / f"v{version}.ckpt")]
    assert found == ["tensorflow"]


ENDINGS = {
    "tensorflow": "",
    "mxnet": ".params",
    "keras_h5": ".h5",
    "safetensors": ".safetensors",
    "torch": ".pth",
    "darknet": ".weights",
}


@pytest.mark.parametrize("format", FORMATS)
def test_a_folder_is_recognized_and_read_by_the_only_file_of_the_format_in_it(format, tmp_path):
    write(format, tmp_path / "net" / f"model{ENDINGS[format]}")
    (tmp_path / "readme.txt").write_text("none of them")
    assert [name for name, known in FORMATS.items() if known.recognize(tmp_path)] == [format]
    with FORMATS[format].read(tmp_path, *([PLAN, {}] if FORMATS[format].planned else [])) as tensors:
        np.testing.assert_array_equal(tensors.read("conv/biases"), ARRAYS["conv/biases"], strict=True)


def test_the_formats_are_named_as_in_the_registry():
    assert set(FORMATS) == set(typing.get_args(entries.Format))
    assert all(name == format.name for name, format in FORMATS.items())
