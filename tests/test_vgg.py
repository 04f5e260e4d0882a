"""VGG: its top wants 7x7 pixels of the last pooling, and without it the last pooling is the output."""

from __future__ import annotations

import pytest

from modelzoo import architectures


def build(side, **options):
    return architectures.build("vgg", "16", input_shape=(side, side, 3), **options)


def test_without_top_the_output_is_the_last_pooling():
    assert build(224).output_shapes == {"C5": (None, 7, 7, 512)}


def test_the_maps_are_the_last_before_each_halving():
    graph = build(65)
    shapes = {name: graph.shape(node)[1:] for name, node in graph.maps.items()}
    assert shapes == {
        "C1": (32, 32, 128),
        "C2": (16, 16, 256),
        "C3": (8, 8, 512),
        "C4": (4, 4, 512),
        "C5": (2, 2, 512),
    }


@pytest.mark.parametrize("side", [224, 288, None])
def test_any_image_from_224_pixels_on_gives_one_answer(side):
    assert build(side, classes=5).output_shapes == {"logits": (None, 5)}


def test_an_image_too_small_for_the_top_is_refused():
    with pytest.raises(ValueError, match="top needs images of at least 224 x 224 pixels, got 223 x 223"):
        build(223, classes=5)
