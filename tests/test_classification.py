"""Images get the right labels, by the bundled model, and arrays of the wrong width get none."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

import modelzoo
from modelzoo import labels
from modelzoo.errors import ImageError, LabelsError, UnknownModel
from modelzoo.tasks import BATCH_SIZE, DEFAULT_MODEL
from tests.conftest import CAT, SHARED

CIFAR = SHARED / "data" / "cifar10_jpeg.npz"


@pytest.fixture(scope="module")
def classifier():
    return modelzoo.Classifier()


def test_the_bundled_model_sees_a_cat():
    [predictions] = modelzoo.classify(CAT)
    assert predictions[0].name == "cat"
    assert predictions[0].probability > 0.5


def test_predictions_come_best_first_and_add_up_to_one(classifier):
    [predictions] = classifier(CAT, top=10)
    probabilities = [prediction.probability for prediction in predictions]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)


def test_every_kind_of_image_gives_the_same_answer(classifier):
    image = Image.open(CAT)
    kinds = [CAT, str(CAT), CAT.read_bytes(), io.BytesIO(CAT.read_bytes()), image, np.asarray(image)]
    answers = classifier(kinds, top=1)
    assert len({answer[0].id for answer in answers}) == 1
    assert np.ptp([answer[0].probability for answer in answers]) < 1e-6


def test_a_batch_gives_what_single_images_give(classifier):
    images = [np.full((32, 32, 3), level, np.uint8) for level in range(0, 200, 5)]
    assert len(images) > BATCH_SIZE
    together = classifier.probabilities(images[:BATCH_SIZE])
    alone = np.concatenate([classifier.probabilities(image) for image in images[:BATCH_SIZE]])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert len(classifier(images)) == len(images)


def test_images_are_read_only_when_they_are_needed(classifier):
    read = []

    def images():
        for number in range(3 * BATCH_SIZE):
            read.append(number)
            yield CAT

    next(classifier.each(images()))
    assert len(read) == BATCH_SIZE


def test_an_image_that_cannot_be_read_is_named(classifier):
    with pytest.raises(ImageError, match=r"^Image 2 of 3 is not an image"):
        classifier([CAT, b"no image", CAT])
    with pytest.raises(ImageError, match=r"^Image 2 is not an image"):
        list(classifier.each(iter([CAT, b"no image"])))
    with pytest.raises(ImageError, match=r"^No such file: none\.jpg"):
        classifier([CAT, "none.jpg"])


@pytest.mark.skipif(not CIFAR.exists(), reason="../shared/data/cifar10_jpeg.npz is not there")
def test_the_registry_states_the_accuracy_that_is_measured(classifier):
    """On every tenth test image (they are sorted by class), within three standard errors."""
    with np.load(CIFAR) as data:
        stream, offsets, truth = data["test_jpeg"], data["test_offsets"], data["test_labels"][::10]
    jpegs = [stream[start:end].tobytes() for start, end in list(pairwise(offsets))[::10]]
    names = [label.name for label in labels.read("cifar10")]
    right = [
        answer[0].name == names[label] for answer, label in zip(classifier(jpegs, top=1), truth, strict=True)
    ]
    stated = classifier.entry.metric("top1") / 100
    assert np.mean(right) == pytest.approx(stated, abs=3 * np.sqrt(stated * (1 - stated) / len(right)))


def test_labels_are_found_by_their_set_or_by_a_model():
    row = np.eye(1000)[[7]]
    assert modelzoo.decode_predictions(row, "imagenet") == modelzoo.decode_predictions(row, "resnet50_v1d")
    assert modelzoo.decode_predictions(row, "imagenet", top=1)[0][0].name == "cock"


def test_ties_come_in_class_order():
    [predictions] = modelzoo.decode_predictions(np.zeros((1, 10)), "cifar10", top=3)
    assert [prediction.name for prediction in predictions] == ["airplane", "automobile", "bird"]


@pytest.mark.parametrize("shape", [(1, 1001), (1000,), (1, 1, 1000), (2, 999)])
def test_an_array_of_the_wrong_width_is_refused(shape):
    with pytest.raises(LabelsError, match=r"'imagenet': expected an array \(batch, 1000\), got"):
        modelzoo.decode_predictions(np.zeros(shape), "imagenet")


def test_a_top_below_one_is_refused():
    with pytest.raises(LabelsError, match="top must be at least 1, not 0"):
        modelzoo.decode_predictions(np.zeros((1, 10)), "cifar10", top=0)


def test_a_classifier_refuses_a_top_below_one_before_it_reads_images(classifier):
    with pytest.raises(LabelsError, match="top must be at least 1, not 0"):
        classifier("none.jpg", top=0)


def test_labels_of_nothing_known_are_refused():
    with pytest.raises(UnknownModel, match="no model 'birds'"):
        modelzoo.decode_predictions(np.zeros((1, 10)), "birds")


def test_no_images_are_refused(classifier):
    with pytest.raises(ImageError, match="at least one image"):
        classifier([])


def test_the_default_model_comes_with_the_package():
    assert modelzoo.weights_file(DEFAULT_MODEL).parent.name == "bundled"


def test_a_list_of_names_is_a_label_set():
    [[best]] = modelzoo.decode_predictions([[0.1, 0.9]], ["cat", "dog"], top=1)
    assert best == modelzoo.Prediction("dog", "dog", 0.9)
    with pytest.raises(
        LabelsError, match=r"Labels 'of the list': expected an array \(batch, 3\), got \(1, 2\)"
    ):
        modelzoo.decode_predictions([[0.1, 0.9]], ["cat", "dog", "cow"])
    for value in ([1, 2], {0: "cat", 1: "dog"}, None, 5, modelzoo.info(DEFAULT_MODEL)):
        with pytest.raises(LabelsError, match="Expected a label set, a model or a list of names, got "):
            modelzoo.decode_predictions([[0.1, 0.9]], value)


def test_a_model_of_ones_own_is_answered_with_what_to_write():
    own = modelzoo.load("resnet9_cifar10", weights=None)
    with pytest.raises(
        modelzoo.UnknownModel, match=r"got <Functional .* own Keras model, write decode_predictions\("
    ):
        modelzoo.Classifier(own)
