"""The examples of detection and segmentation: what they draw, measure, and learn in a few steps."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from scripts.examples import detection, segmentation, shapes

STRIDES = [4, 8, 16, 32]
MODEL = "mobilenet_0.25_128"


def test_a_box_is_encoded_and_decoded_to_itself():
    for one in shapes.draw_all(20, seed=5):
        target = detection.encode(one.boxes, one.labels, STRIDES)
        boxes, classes = detection.decode(target, STRIDES)
        for box, label in zip(one.boxes, one.labels, strict=True):
            same = (boxes == box).all(axis=1) & (classes[:, label] == 1)
            assert same.any()
        assert {tuple(box) for box in boxes[classes.any(axis=1)]} == {tuple(box) for box in one.boxes}


def test_the_true_boxes_have_a_precision_of_one_and_a_false_one_costs_what_it_should():
    truth = [shapes.Drawn(np.zeros(1), np.zeros(1), np.array([[0, 0, 10, 10.0]]), np.array([0]))]
    right, wrong = (0, 0.5, np.array([0, 0, 10, 10.0])), (0, 0.9, np.array([50, 50, 60, 60.0]))
    assert detection.average_precision([[right]], truth, 0) == 1
    assert detection.average_precision([[wrong, right]], truth, 0) == 0.5
    assert detection.average_precision([[right, right]], truth, 0) == 1
    assert detection.average_precision([[]], truth, 0) == 0


def test_the_intersection_over_union_is_the_mean_over_classes():
    truth, found = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert segmentation.mean_iou(found, truth) == pytest.approx((1 / 2 + 2 / 3) / 2)


@pytest.mark.parametrize("example", [detection, segmentation])
def test_an_example_learns_in_a_few_steps(example):
    keras.utils.set_random_seed(1)
    model, *_, score = example.train(MODEL, 32, 4, weights="synthetic")
    losses = model.history.history["loss"]
    assert losses[-1] < losses[0]
    assert 0 <= score <= 1
    places = sum((shapes.SIDE // stride) ** 2 for stride in STRIDES)
    assert model.output_shape[1:] in {(places, 7), (shapes.SIDE, shapes.SIDE, 4)}
