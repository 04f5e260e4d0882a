"""Batches for training: which pixels they show, and that nothing but the step decides it."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
from PIL import Image

import modelzoo
from modelzoo import images, registry
from modelzoo.training import network
from modelzoo.training.batches import (
    Batches,
    RandAugment,
    crop_boxes,
    cropped,
    network_values,
    sample_weights,
)
from modelzoo.training.data import Sample
from modelzoo.training.head import fit_head, score
from modelzoo.training.loop import Training, quick_batch_norms
from modelzoo.training.options import AUGMENTATIONS, TrainingOptions
from modelzoo.training.pixels import Squares, side_of_squares, square_of
from modelzoo.training.progress import Progress
from modelzoo.training.rates import rate_at, rate_for, typical_size

OPTIONS = TrainingOptions(batch_size=4, seed=5)
PREPROCESSING = registry.info("resnet9_cifar10").preprocessing


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("photos")
    found = []
    for number in range(10):
        pixels = random.integers(0, 256, (50 + number, 40, 3), np.uint8)
        path = folder / f"{number}.png"
        Image.fromarray(pixels).save(path)
        found.append(Sample(str(path), path.name, number % 2, str(number)))
    return tuple(found)


def batches(samples, options: TrainingOptions = OPTIONS, *, kept: bool = True) -> Batches:
    squares = np.stack([square_of(images.read_image(s.path), PREPROCESSING) for s in samples])
    ratios = np.full(len(samples), 0.8, np.float32)
    labels = np.array([sample.label for sample in samples])
    return Batches(
        Squares(samples, PREPROCESSING, squares if kept else None, ratios), labels, 2, PREPROCESSING, options
    )


@pytest.mark.parametrize("augment", [(), *((name,) for name in AUGMENTATIONS)])
def test_a_batch_depends_on_nothing_but_its_step(augment, samples):
    options = dataclasses.replace(OPTIONS, augment=augment)
    first, second = batches(samples, options), batches(samples, options)
    first.batch(0)
    one, same, other = first.batch(3), second.batch(3), second.batch(4)
    assert one.images.shape == (4, 32, 32, 3)
    assert one.images.dtype == one.targets.dtype == np.float32
    np.testing.assert_array_equal(one.images, same.images)
    np.testing.assert_array_equal(one.targets, same.targets)
    assert not np.array_equal(one.images, other.images)
    np.testing.assert_allclose(one.targets.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_randaugment_gives_the_images_of_keras_own(seed):
    images = np.random.default_rng(seed).uniform(0, 255, (3, 24, 24, 3)).astype(np.float32)
    ours, keras_own = (
        np.asarray(layer(value_range=(0, 255), seed=seed)(images, training=True))
        for layer in (RandAugment, keras.layers.RandAugment)
    )
    np.testing.assert_array_equal(ours, keras_own)


def test_an_epoch_shows_each_image_once(samples):
    options = dataclasses.replace(OPTIONS, batch_size=5)
    for epoch in range(2):
        shown = [batches(samples, options).batch(2 * epoch + step).targets for step in range(2)]
        assert np.concatenate(shown).sum(axis=0).tolist() == [5, 5]


def test_images_that_are_not_kept_are_decoded_to_the_same_batch(samples):
    np.testing.assert_array_equal(
        batches(samples).batch(1).images, batches(samples, kept=False).batch(1).images
    )


def test_boxes_lie_in_the_image_and_half_are_mirrored():
    boxes = crop_boxes(np.random.default_rng(1), np.full(4000, 0.75, np.float32), 0.35)
    assert boxes.min() >= 0
    assert boxes.max() <= 1 + 1e-6
    width = boxes[:, 3] - boxes[:, 1]
    area = np.abs(width) * (boxes[:, 2] - boxes[:, 0])
    assert area.min() > 0.3
    assert 0.45 < (width < 0).mean() < 0.55


def test_a_whole_box_shows_what_preprocess_gives():
    pixels = np.random.default_rng(2).integers(0, 256, (3, 37, 37, 3), np.uint8)
    side = side_of_squares(PREPROCESSING)
    assert side == 37
    small = dataclasses.replace(PREPROCESSING, crop_size=37, resize_size=37)
    levels = cropped(pixels, np.tile(np.float32([0, 0, 1, 1]), (3, 1)), 37)
    found = network_values(levels, PREPROCESSING)
    np.testing.assert_allclose(found, images.preprocess(pixels, small), atol=1e-5)
    mirrored = network_values(cropped(pixels, np.tile(np.float32([0, 1, 1, 0]), (3, 1)), 37), PREPROCESSING)
    np.testing.assert_allclose(mirrored, found[:, :, ::-1], atol=1e-5)


def test_moving_statistics_become_those_of_few_images(samples, tmp_path):
    made = batches(samples)
    base = network.Base("resnet9_cifar10")
    model = network.build(base, 2, 0.0)
    layer = model.get_layer("stem_bn")
    images = np.concatenate([made.batch(step).images for step in range(2, 10)])
    expected = np.asarray(keras.Model(model.input, layer.input)(images)).mean(axis=(0, 1, 2))
    options = dataclasses.replace(OPTIONS, learning_rate=1e-9, weight_decay=0.0)
    training = Training(model, made, (images, np.zeros(1)), tmp_path, options, Progress())
    training.compile()

    def distance() -> float:
        return float(np.abs(np.asarray(layer.moving_mean) - expected).max())

    before, momentum = distance(), layer.momentum
    with quick_batch_norms(model, made.steps):
        for step in range(10):
            training.step(made.batch(step))
    assert distance() < 0.2 * before
    assert layer.momentum == momentum


def test_the_rate_rises_over_an_epoch_and_falls_to_nothing():
    rates = [rate_at(step, 10, 5, 0.1) for step in range(50)]
    assert rates[9] == max(rates) == 0.1
    assert rates[0] == pytest.approx(0.01)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] < 0.001


def test_balanced_weights_make_all_classes_count_alike():
    labels = np.array([0] * 6 + [1] * 2)
    weights = sample_weights(labels, 2, True)
    assert weights[:6].sum() == pytest.approx(weights[6:].sum())
    assert weights.mean() == pytest.approx(1)


def test_a_head_finds_what_a_line_separates():
    random = np.random.default_rng(3)
    centers = random.normal(0, 1, (3, 20))
    labels = np.arange(300) % 3
    x = (centers[labels] + random.normal(0, 0.5, (300, 20))).astype(np.float32)
    head = fit_head((x[:200], labels[:200]), (x[200:], labels[200:]), 3)
    loss, accuracy = score(x[200:] @ head.kernel + head.bias, labels[200:])
    assert accuracy == head.accuracy > 0.95
    assert loss < 0.2


def test_a_step_changes_a_typical_kernel_by_a_twentieth_or_less_without_batch_norms() -> None:
    model = modelzoo.load("resnet9_cifar10", include_top=False)
    kernels = [np.asarray(weight) for weight in model.trainable_variables if len(weight.shape) > 1]
    assert rate_for(model) == pytest.approx(0.05 * typical_size(kernels))
    assert 5e-4 < rate_for(model) < 5e-3
    before = rate_for(model)
    for weight in model.trainable_variables:
        if len(weight.shape) > 1:
            weight.assign(weight * 3)
    assert rate_for(model) == pytest.approx(3 * before)
    modelzoo.freeze(model)
    modelzoo.unfreeze(model, batch_norm=False)
    assert rate_for(model) == pytest.approx(0.3 * before)


def test_the_typical_size_is_of_the_kernel_that_the_median_value_is_in() -> None:
    assert typical_size([np.full((2, 2), 9.0), np.full((5, 5), -2.0), np.full((4, 4), 0.5)]) == 2.0
