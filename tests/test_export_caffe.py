"""Caffe's and Darknet's rules: windows that are the graph's, sections of Darknet's own, refusals by name."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from modelzoo import registry, zoo
from modelzoo.conversion import darknet as darknet_names
from modelzoo.exporters import Options, caffe, caffe_windows, darknet, darknet_sections
from modelzoo.formats import caffe as caffe_files
from modelzoo.formats import commented
from modelzoo.graph import Graph
from modelzoo.graph.convolutions import Conv, TransposedConv
from modelzoo.graph.elementwise import Activation
from modelzoo.graph.normalization import LayerNorm
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.shaping import Flatten, UpSampling
from tests.operators import arrays_of
from tests.test_export_forerunners import SMALL, chain

AROUND = ((0, 0), (1, 1), (0, 1), (1, 0), (2, 1))
SIDES = range(7, 12)
WINDOWS = [
    (side, around, window, stride)
    for side, around, window, stride in product(SIDES, AROUND, (2, 3, 4), (1, 2, 3))
    if max(around) < window
]


def caffe_windows_of(side: int, pad: int, window: int, stride: int) -> list[tuple[int, int]]:
    """Where Caffe's pooling looks, and how many pixels it divides by: PoolingLayer in pooling_layer.cpp."""
    count = int(np.ceil((side + 2 * pad - window) / stride)) + 1
    if pad and (count - 1) * stride >= side + pad:
        count -= 1
    starts = [place * stride - pad for place in range(count)]
    return [(start, min(start + window, side + pad) - start) for start in starts]


@pytest.mark.parametrize(("side", "around", "window", "stride"), WINDOWS)
def test_poolings_look_where_the_graph_says(side, around, window, stride):
    found = caffe_windows._windows(side, around, window, stride, pools=True)
    needed = [start - around[0] for start in range(0, side + sum(around) - window + 1, stride)]
    if found is None:  # then no padding that Caffe takes has these windows
        pads = range(window)
        assert not any(set(needed) <= {s for s, _ in caffe_windows_of(side, p, window, stride)} for p in pads)
        return
    there = caffe_windows_of(side, found.pad, window, stride)
    assert len(there) == found.total
    kept = there[found.first : found.first + found.needed]
    assert [start for start, _ in kept] == needed
    pixels = [len(range(max(start, 0), min(start + window, side))) for start in needed]
    assert np.allclose(
        found.corrections, [size / count for (_, size), count in zip(kept, pixels, strict=True)]
    )


@pytest.mark.parametrize(
    ("operators", "sentence"),
    [
        ((LayerNorm(),), "LayerNorm 'a': Caffe has no norm over the channels of each place"),
        ((Conv(4, (3, 3)), Activation("gelu")), "Activation 'b': Caffe has no gelu"),
        ((Flatten(),), "Flatten 'a': Caffe has the channels first"),
        ((UpSampling((2, 2), "bilinear"),), "UpSampling 'a': Caffe enlarges by repeating only"),
        (
            (TransposedConv(4, (1, 1), (2, 2)),),
            "TransposedConv 'a': Caffe's deconvolution ends with its kernel",
        ),
        ((AveragePool((2, 2), (1, 1), ((2, 0), (0, 0))),), "AveragePool 'a': Caffe pads less than a window"),
    ],
)
def test_what_caffes_layers_cannot_say_is_refused_by_name(operators, sentence, tmp_path):
    graph = chain(*operators)
    with pytest.raises(ValueError, match=sentence):
        caffe.write(tmp_path / "net.caffemodel", graph, arrays_of(graph), {}, Options())


def test_caffe_keeps_norms_where_they_are_asked_for():
    kinds = {fold: [layer.kind for layer in caffe.layers_of(SMALL, {}, fold=fold)] for fold in (True, False)}
    assert "BatchNorm" not in kinds[True]
    assert kinds[False].count("BatchNorm") == kinds[False].count("Scale") == 1


def test_a_caffemodel_is_read_back_layer_by_layer(tmp_path):
    caffe.write(
        tmp_path / "net.caffemodel", SMALL, arrays_of(SMALL), {"name": 'a "b"\n'}, Options(fold=False)
    )
    found = dict(caffe_files.read_caffemodel(tmp_path / "net.caffemodel"))
    assert {name: [array.shape for array in arrays] for name, arrays in found.items()} == {
        "a": [(4, 3, 3, 3)],
        "b/normed": [(4,), (4,), (1,)],
        "b": [(4,), (4,)],
        "f": [(5, 4), (5,)],
    }
    assert np.array_equal(found["a"][0], arrays_of(SMALL)["a/kernel"].transpose(3, 2, 0, 1))
    assert commented.read_texts(tmp_path / "net.prototxt") == {"name": 'a "b"\n'}


def yolo() -> Graph:
    return zoo.graph_of(registry.info("yolo2"), zoo.NetworkOptions())


def test_yolo2_has_the_sections_of_darknets_own_cfg():
    """In its order, so that the .weights fits yolov2.cfg itself."""
    network = darknet_sections.network_of(yolo())
    assert list(darknet._plan(network).items()) == list(darknet_names.plan("2").items())
    kinds = [section.kind for section in network.sections]
    assert kinds[25:29] == ["route", "convolutional", "reorg", "route"]
    assert [network.sections[place].options["layers"] for place in (25, 28)] == [[-9], [-1, -4]]
    region = darknet._region(yolo(), {"task": "detection"})[0].options
    assert (region["classes"], region["num"], len(region["anchors"])) == (80, 5, 10)


@pytest.mark.parametrize(
    ("operators", "sentence"),
    [
        (
            (Conv(4, (3, 3), (2, 2), "same"), Conv(4, (3, 3), (2, 2), ((0, 1), (0, 1)))),
            "Conv 'b': Darknet pads",
        ),
        ((Conv(4, (3, 3), dilation=(2, 2)),), "Conv 'a': Darknet has no dilation"),
        ((Conv(4, (3, 1)),), "Conv 'a': Darknet's windows are square"),
        ((Activation("tanh"),), "Activation 'a': Darknet has no such layer"),
        ((GlobalPool("max"),), "GlobalPool 'a': Darknet has no such layer"),
        ((MaxPool((2, 2), (2, 2), ((1, 0), (0, 0))),), "MaxPool 'a': Darknet pads both sides alike"),
    ],
)
def test_what_darknets_layers_cannot_say_is_refused_by_name(operators, sentence):
    with pytest.raises(ValueError, match=sentence):
        darknet_sections.network_of(chain(*operators))


def test_darknets_norms_have_its_epsilon(tmp_path):
    """The variance is so much larger that the norm is the same."""
    darknet.write(tmp_path / "net.weights", SMALL, arrays_of(SMALL), {}, Options())
    network = darknet_sections.network_of(SMALL)
    stored, variance = darknet._stored(network, arrays_of(SMALL)), arrays_of(SMALL)["b/moving_variance"]
    found = stored["convolutional_0/rolling_variance"]
    assert np.allclose(found + 1e-6, variance.astype(np.float64) + 1e-3, rtol=1e-7)
    assert (tmp_path / "net.weights").stat().st_size == 20 + 4 * sum(array.size for array in stored.values())
