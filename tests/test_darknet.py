"""YOLOv2's weights in Darknet's files: their plan, their names, and whose file another one is."""

from __future__ import annotations

import math
import struct

import pytest

import modelzoo
from modelzoo import conversion
from modelzoo.conversion import CONVERTERS, darknet
from modelzoo.errors import ConversionError

ENTRY = modelzoo.info("yolo2")
HEADER = struct.pack("<iiii", 0, 1, 0, 7)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            50_676_061,
            "seems to be one of yolov2-voc.cfg, whose last convolution has 125 outputs instead of 425",
        ),
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
