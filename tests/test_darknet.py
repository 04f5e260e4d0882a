"""Darknet's .weights files: cut by the cfg's plan, and known for what they seem to be if they do not fit."""

from __future__ import annotations

import doctest
import math
import struct

import numpy as np
import pytest

import modelzoo
from modelzoo import conversion
from modelzoo.conversion import darknet, pairing
from modelzoo.conversion.readers import open_darknet_weights
from modelzoo.errors import ConversionError

ENTRY = modelzoo.info("yolo2")
PLAN = {"first/biases": (2,), "first/weights": (2, 3, 1, 1), "last/biases": (1,)}
KNOWN = {9: "small.cfg", 12: "large.cfg"}
VALUES = np.arange(9, dtype="<f4")
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
    with open_darknet_weights(weights_file(header + VALUES.tobytes()), PLAN, KNOWN) as tensors:
        assert list(tensors) == list(PLAN)
        assert {name: tensors[name].shape for name in tensors} == PLAN
        np.testing.assert_array_equal(tensors.read("first/weights").ravel(), VALUES[2:8], strict=True)
        np.testing.assert_array_equal(tensors.read("last/biases"), VALUES[8:], strict=True)


def test_a_folder_with_one_weights_file_is_enough(weights_file):
    path = weights_file(OLD + VALUES.tobytes())
    with open_darknet_weights(path.parent, PLAN, KNOWN) as tensors:
        assert len(tensors) == 3


@pytest.mark.parametrize(
    ("content", "length", "message"),
    [
        (
            OLD,
            16 + 35,
            "35 bytes of weights and one of small.cfg holds 36: it seems to be cut off, or of another",
        ),
        (OLD, 16 + 48, "it seems to be one of large.cfg"),
        (OLD, 16 + 40, "it seems to be of another cfg"),
        (OLD[:9], None, "does not start as a Darknet .weights file does"),
        (b"<!DOCTYPE html><html>", None, "does not start as a Darknet .weights file does"),
        (struct.pack("<iiii", 1000, 2, 0, 0), 52, "does not start as a Darknet .weights file does"),
    ],
    ids=["cut off", "another cfg's", "too long", "no header", "a web page", "transposed"],
)
def test_a_file_that_does_not_fit_is_known_for_what_it_seems(content, length, message, weights_file):
    with pytest.raises(ConversionError, match=message) as caught:
        open_darknet_weights(weights_file(content, length), PLAN, KNOWN)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (
            50_676_061,
            "seems to be one of yolov2-voc.cfg, whose last convolution has 125 outputs instead of 425",
        ),
        (11_237_145, "seems to be one of yolov2-tiny.cfg"),
        (50_983_560, "seems to be cut off, or of another cfg"),
    ],
)
def test_converting_another_cfgs_file_says_whose_it_is(numbers, message, weights_file, tmp_path):
    with pytest.raises(ConversionError, match=message):
        conversion.convert(ENTRY, weights_file(OLD, 16 + 4 * numbers), tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_an_official_file_is_as_long_as_the_plan_says():
    assert ENTRY.sources[0].bytes == len(OLD) + 4 * sum(map(math.prod, darknet.plan("2").values()))


@pytest.mark.parametrize("variant", darknet.PLANS)
def test_every_plan_has_a_cfg_among_the_known(variant):
    assert sum(map(math.prod, darknet.plan(variant).values())) in darknet.NUMBERS_IN


def test_the_plan_and_the_network_pair_in_name_and_shape():
    shapes, plan = conversion.weight_shapes(ENTRY), darknet.plan("2")
    pairs = pairing.pair(shapes, plan, darknet.naming("2"), darknet.IGNORED)
    wanted = {path: darknet.to_upstream(path, np.empty(shape)).shape for path, shape in shapes.items()}
    pairing.check_shapes(pairs, wanted, plan)


def test_the_layouts_are_inverse_to_each_other():
    kernel = np.arange(120).reshape(2, 3, 4, 5)
    upstream = darknet.to_upstream("stem_conv/kernel", kernel)
    assert upstream.shape == (5, 4, 2, 3)
    assert np.array_equal(darknet.to_ours("stem_conv/kernel", upstream), kernel)


def test_the_examples_of_the_name_map_hold():
    assert doctest.testmod(darknet) == doctest.TestResults(failed=0, attempted=3)
