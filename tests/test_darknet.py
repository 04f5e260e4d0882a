"""YOLOv2's weights in Darknet's files: their plan, their names, and whose file another one is."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest

import modelzoo
from modelzoo import conversion, store
from modelzoo.conversion import CONVERTERS, darknet
from modelzoo.errors import ConversionError
from modelzoo.tasks import BoxesHead

ENTRY = modelzoo.info("yolo2")
HEADER = struct.pack("<iiii", 0, 1, 0, 7)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (11_237_145, "seems to be one of yolov2-tiny.cfg"),
        (50_983_560, "seems to be truncated, or of another cfg"),
    ],
)
def test_converting_another_cfgs_file_says_whose_it_is(values, message, tmp_path):
    with (tmp_path / "net.weights").open("wb") as file:
        file.write(HEADER)
        file.truncate(len(HEADER) + 4 * values)  # what is added takes no disk
    with pytest.raises(ConversionError, match=message):
        conversion.convert(ENTRY, tmp_path / "net.weights", tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_the_file_of_a_cfg_with_other_classes_has_these(tmp_path):
    """yolov2-voc.cfg: 20 classes instead of COCO's 80."""
    with (tmp_path / "yolov2-voc.weights").open("wb") as file:
        file.write(HEADER)
        file.truncate(len(HEADER) + 4 * 50_676_061)
    assert conversion.head_classes(ENTRY, tmp_path / "yolov2-voc.weights") == 20
    entry = store.entry_of(ENTRY, tmp_path / "yolov2-voc.weights")
    output = np.zeros((1, 1, 5 * (5 + 20)), np.float32)
    output[..., 4], output[..., 5 + 7] = 9, 9  # an object, of the class with the number 7
    (found,) = BoxesHead().decode(output, (416, 416), entry)
    assert (found.id, found.name) == ("7", "class 7")


@pytest.mark.parametrize("classes", [1, 2, 20, 80, 9418])
def test_the_plan_has_as_many_classes_as_make_the_number_of_values(classes):
    shapes = conversion.weight_shapes(conversion.with_classes(ENTRY, classes))
    plan = darknet.plan("2", sum(map(math.prod, shapes.values())))
    assert plan["convolutional_30/biases"] == (5 * (5 + classes),)
    assert list(plan) == list(darknet.plan("2"))


@pytest.mark.parametrize("values", [1, 50_676_062, 50_676_061 + 1025, 19_831_776])
def test_other_numbers_of_values_are_of_no_number_of_classes(values):
    assert darknet.plan("2", values) == darknet.plan("2")


def test_an_official_file_is_as_long_as_the_plan_says():
    assert ENTRY.sources[0].bytes == len(HEADER) + 4 * sum(map(math.prod, darknet.plan("2").values()))


@pytest.mark.parametrize("variant", darknet.PLANS)
def test_every_plan_has_a_cfg_among_the_known(variant):
    assert sum(map(math.prod, darknet.plan(variant).values())) in darknet.KNOWN_SIZES


def test_the_plan_and_the_network_pair_in_name_and_shape():
    shapes, converter = conversion.weight_shapes(ENTRY), CONVERTERS["darknet"]
    name_of = converter.upstream_names("2", ())
    upstream = {name_of(path): converter.layout.upstream_shape(path, shape) for path, shape in shapes.items()}
    assert upstream == darknet.plan("2")
