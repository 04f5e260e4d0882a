"""The preprocessing as a layer: near the original program's, in a pipeline, in a model, saved."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

import modelzoo
from modelzoo import registry
from modelzoo.images import read_image
from tests.conftest import CAT, ROOT

LEVELS = {  # by which a level of examples/cat.jpg is off at most, on average over all pixels
    "pillow_nearest": 0.2,
    "darknet_linear": 4,
    "opencv_linear": 6,
    "pillow_bilinear": 6,
    "pillow_bicubic": 14,
    "tf1_bilinear": 9,
    "tf1_bicubic": 12,
}


def preprocessings() -> dict[str, str]:
    """A model of each way to prepare images, sizes aside."""
    seen: dict[object, str] = {}
    for key in modelzoo.list_models():
        preprocessing = registry.info(key).preprocessing
        seen.setdefault(replace(preprocessing, crop_size=1), key)
    return list(seen.values())


def levels_off(key: str, found: np.ndarray, expected: np.ndarray) -> float:
    preprocessing = registry.info(key).preprocessing
    std = np.array(preprocessing.std)[:: -1 if preprocessing.channels == "BGR" else 1]
    return float(np.mean(np.abs(found - expected) * std * 255 / preprocessing.max_value))


@pytest.mark.parametrize("key", preprocessings())
def test_the_layer_is_as_near_to_preprocess_as_is_said(key):
    found = np.asarray(modelzoo.preprocessing_layer(key)(read_image(CAT)))
    expected = modelzoo.preprocess(CAT, key)[0]
    assert (found.shape, found.dtype) == (expected.shape, np.float32)
    assert levels_off(key, found, expected) <= LEVELS[registry.info(key).preprocessing.interpolation]


@pytest.mark.parametrize("key", preprocessings())
def test_without_a_resize_every_value_is_the_same(key):
    size = registry.info(key).preprocessing.crop_size
    pixels = np.random.default_rng(2).integers(0, 256, (2, size, size, 3), np.uint8)
    unresized = replace(
        registry.info(key).preprocessing, resize_size=None, crop_padding=None, central_fraction=1.0
    )
    expected = modelzoo.preprocess(pixels, unresized)
    found = np.asarray(modelzoo.preprocessing_layer(key, resize=False)(pixels))
    np.testing.assert_allclose(found, expected, rtol=3e-6, atol=3e-6 * np.abs(expected).max())


def test_it_runs_in_a_tensorflow_pipeline_on_images_of_all_sizes():
    import tensorflow as tf

    layer = modelzoo.preprocessing_layer("vgg16.keras")
    images = [np.random.default_rng(n).integers(0, 256, (50 + n, 80, 3), np.uint8) for n in range(3)]
    data = tf.data.Dataset.from_generator(
        lambda: images, output_signature=tf.TensorSpec((None, None, 3), tf.uint8)
    )
    batches = list(data.map(layer).batch(3))
    assert batches[0].shape == (3, 224, 224, 3)
    assert np.array_equal(batches[0][1], layer(images[1]))


@pytest.mark.parametrize("key", ["resnet9_cifar10", "vgg16.keras", "mobilenet_v1_0.25_128.slim"])
def test_a_network_with_its_preprocessing_takes_images_as_they_are(key):
    form = {"weights": "synthetic", "include_top": False, "pooling": "avg"}
    inside = modelzoo.load(key, include_preprocessing=True, **form)
    assert inside.input.dtype == "uint8"
    assert inside.input_shape == (None, None, None, 3)
    plain, pixels = modelzoo.load(key, **form), read_image(CAT)[None]
    expected = np.asarray(plain(modelzoo.preprocessing_layer(key)(pixels)))
    for found in (inside(pixels), inside(pixels, training=False), inside.predict_on_batch(pixels)):
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-4, atol=1e-5)
    assert len(inside.trainable_variables) == len(plain.trainable_variables)


def test_a_network_with_its_preprocessing_is_trained_as_one_without():
    model = modelzoo.load("resnet9_cifar10", weights="synthetic", classes=2, include_preprocessing=True)
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = np.array(model.get_layer("stem_bn").moving_mean)
    model.fit(
        np.random.default_rng(2).integers(0, 256, (4, 50, 40, 3), np.uint8), np.arange(4) % 2, verbose=0
    )
    assert not np.array_equal(before, np.array(model.get_layer("stem_bn").moving_mean))


def test_of_another_size_an_image_shows_as_much():
    layers = (
        modelzoo.load(
            "resnet18_v1b",
            weights=None,
            include_top=False,
            include_preprocessing=True,
            input_shape=(112, 56, 3),
        )
        .get_layer("preprocessing")
        .layers
    )
    sizes = [(layer.height, layer.width) for layer in layers if hasattr(layer, "height")]
    assert sizes == [(128, 64), (112, 56)]


def test_feature_maps_of_images_of_any_size_need_no_resize():
    model = modelzoo.load(
        "resnet18_v1b", weights=None, features="C3", include_preprocessing=True, input_shape=(None, None, 3)
    )
    assert model(np.zeros((1, 65, 97, 3), np.uint8))["C3"].shape == (1, 9, 13, 128)
    with pytest.raises(ValueError, match="at least"):
        modelzoo.load(
            "vgg16.keras",
            weights=None,
            include_top=False,
            include_preprocessing=True,
            input_shape=(None, None, 3),
        )(np.zeros((1, 31, 40, 3), np.uint8))


OPEN = """
import sys
import keras
import numpy as np
sys.modules["modelzoo"] = None
model = keras.saving.load_model(sys.argv[1])
np.save(sys.argv[2], keras.ops.convert_to_numpy(model(np.load(sys.argv[3]))))
"""


@pytest.mark.parametrize("key", ["resnet9_cifar10", "mobilenet_0.25_128.keras", "resnet50.keras"])
def test_a_saved_model_opens_without_modelzoo_and_gives_the_same(key, tmp_path):
    model = modelzoo.load(
        key, weights="synthetic", include_top=False, pooling="avg", include_preprocessing=True
    )
    pixels = np.random.default_rng(2).integers(0, 256, (2, 90, 70, 3), np.uint8)
    model.save(tmp_path / "a.keras")
    np.save(tmp_path / "in.npy", pixels)
    arguments = [tmp_path / name for name in ("a.keras", "out.npy", "in.npy")]
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OPEN, *arguments], cwd=tmp_path, check=True, env=os.environ
    )
    assert np.array_equal(np.load(tmp_path / "out.npy"), np.asarray(model(pixels)))


def test_a_layer_is_saved_as_keras_own(tmp_path):
    for key in ("resnet50.keras", "resnet50_v1d", "yolo2"):
        layer = modelzoo.preprocessing_layer(key)
        config = keras.saving.serialize_keras_object(layer)
        modules = {part["module"] for part in walk(config) if "module" in part}
        assert {name.partition(".")[0] for name in modules} == {"keras"}
        again = keras.saving.deserialize_keras_object(config)
        pixels = read_image(CAT)
        assert np.array_equal(np.asarray(again(pixels)), np.asarray(layer(pixels)))


def walk(config):
    if isinstance(config, dict):
        yield config
    for part in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        yield from walk(part)


def test_another_backend_prepares_alike():
    pytest.importorskip("jax", reason="jax is not installed")
    code = (
        "import modelzoo, numpy; from modelzoo.images import read_image; "
        "x = numpy.asarray(modelzoo.preprocessing_layer('vgg16.keras')(read_image('examples/cat.jpg'))); "
        "y = modelzoo.preprocess('examples/cat.jpg', 'vgg16.keras')[0]; print(abs(x - y).mean())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(run.stdout.split()[-1]) < 0.2
