"""Darknet's .weights files: split by the cfg's plan, and known for what they seem if they do not fit."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from modelzoo.errors import ConversionError
from modelzoo.formats import read_darknet_weights, write_darknet_weights

PLAN = {"first/biases": (2,), "first/weights": (2, 3, 1, 1), "last/biases": (1,)}
KNOWN_SIZES = {9: "small.cfg", 12: "large.cfg"}
VALUES = np.arange(9, dtype="<f4")
ARRAYS = {
    "last/biases": VALUES[8:],
    "first/weights": VALUES[2:8].reshape(2, 3, 1, 1),
    "first/biases": VALUES[:2],
}
OLD, NEW = struct.pack("<iiii", 0, 1, 0, 7), struct.pack("<iiiq", 0, 2, 0, 7)


@pytest.fixture
def weights_file(tmp_path):
    def write(content: bytes, length: int | None = None):
        path = tmp_path / "net.weights"
        with path.open("wb") as file:
            file.write(content)
            file.truncate(length if length is not None else len(content))  # what is added takes no disk
        return path

    return write


@pytest.mark.parametrize("header", [OLD, NEW], ids=["version 0.1", "version 0.2"])
def test_the_arrays_follow_each_other_after_the_header(header, weights_file):
    with read_darknet_weights(weights_file(header + VALUES.tobytes()), PLAN, KNOWN_SIZES) as tensors:
        assert list(tensors) == list(PLAN)
        assert {name: tensors[name].shape for name in tensors} == PLAN
        np.testing.assert_array_equal(tensors.read("first/weights").ravel(), VALUES[2:8], strict=True)
        np.testing.assert_array_equal(tensors.read("last/biases"), VALUES[8:], strict=True)


def test_a_folder_with_one_weights_file_is_enough(weights_file):
    path = weights_file(OLD + VALUES.tobytes())
    with read_darknet_weights(path.parent, PLAN, KNOWN_SIZES) as tensors:
        assert len(tensors) == 3


def test_arrays_are_written_in_the_order_of_the_plan_after_a_header_of_version_0_2(tmp_path):
    assert write_darknet_weights(tmp_path / "net.weights", ARRAYS, PLAN) == [tmp_path / "net.weights"]
    content = struct.pack("<iiiq", 0, 2, 0, 0) + VALUES.tobytes()
    assert (tmp_path / "net.weights").read_bytes() == content


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"first/biases": VALUES[:2], "x": VALUES}, r"missing: first/weights, last/biases; unexpected: x\.$"),
        (ARRAYS | {"last/biases": VALUES[:2]}, r"Expected 'last/biases' of shape \(1,\), got \(2,\)\.$"),
        (ARRAYS | {"last/biases": np.float64([1])}, r"'last/biases' .* expected float32, got float64\.$"),
    ],
    ids=["names", "a shape", "a dtype"],
)
def test_arrays_that_are_not_the_plans_are_refused_and_nothing_written(arrays, message, tmp_path):
    with pytest.raises(ConversionError, match=message):
        write_darknet_weights(tmp_path / "net.weights", arrays, PLAN)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "length", "message"),
    [
        (
            OLD,
            16 + 35,
            "expected 36 bytes of weights, as one of small.cfg holds, got 35: "
            "it seems to be truncated, or of another",
        ),
        (OLD, 16 + 48, "it seems to be one of large.cfg"),
        (OLD, 16 + 40, "it seems to be of another cfg"),
        (OLD[:9], None, "does not start as a Darknet .weights file does"),
        (b"<!DOCTYPE html><html>", None, "does not start as a Darknet .weights file does"),
        (struct.pack("<iiii", 1000, 2, 0, 0), 52, "does not start as a Darknet .weights file does"),
    ],
    ids=["truncated", "another cfg's", "too long", "no header", "a web page", "transposed"],
)
def test_a_file_that_does_not_fit_is_known_for_what_it_seems(content, length, message, weights_file):
    with pytest.raises(ConversionError, match=message) as caught:
        read_darknet_weights(weights_file(content, length), PLAN, KNOWN_SIZES)
    assert "\n" not in str(caught.value)
