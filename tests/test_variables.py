"""Keras' variables get their values late, and each once; a Keras that cannot wait still loads networks."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest

import modelzoo
from modelzoo import variables
from modelzoo.architectures import synthetic
from modelzoo.errors import ModelZooError, UnsupportedKeras
from tests.conftest import ROOT
from tests.networks import built, initialized

PRIVATE = re.compile(r"keras\.src|\b\w+\._(value|initializer|deferred_initialize)\b")


def build(variant: str, **options) -> keras.Model:
    return built("keras_applications", variant, input_shape=(96, 96, 3), **options)


@pytest.fixture
def fresh_answer():
    """What Keras can do is found out anew, in the test and after it."""
    variables.can_wait.cache_clear()
    yield
    variables.can_wait.cache_clear()


@pytest.mark.parametrize("variant", ["mobilenet_0.25", "mobilenet_v2_0.35"])
def test_weights_are_initialized_when_they_are_needed_and_not_before(variant, monkeypatch):
    calls, initialize = [], keras.initializers.VarianceScaling.__call__

    def count(initializer, shape, dtype=None):
        calls.append(shape)
        return initialize(initializer, shape, dtype)

    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", count)
    model = build(variant, classes=3)
    kernels = [weight for weight in model.weights if weight.name == "kernel"]
    variables.set_value(kernels[0], np.ones(kernels[0].shape, np.float32))
    assert calls == []
    variables.initialize(model)
    assert calls == [tuple(kernel.shape) for kernel in kernels[1:]]
    assert np.all(kernels[0] == 1)
    variables.initialize(model)
    assert len(calls) == len(kernels) - 1


def test_without_weights_they_are_random():
    kernels = [
        layer.kernel for layer in initialized(build("mobilenet_0.25")).layers if hasattr(layer, "kernel")
    ]
    assert all(np.any(kernel) for kernel in kernels)


def test_a_network_leaves_nothing_for_keras_to_initialize():
    from keras.src.backend.common import global_state

    before = list(global_state.get_global_attribute("uninitialized_variables") or ())
    build("mobilenet_0.25")
    assert list(global_state.get_global_attribute("uninitialized_variables") or ()) == before


# A Keras with other private names


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("resnet9_cifar10.modelzoo", {}),
        ("mobilenet_0.25_128.keras", {"weights": "synthetic"}),
        ("mobilenet_v2_0.35_96.keras", {"weights": "synthetic"}),
        ("mobilenet_0.25_128.keras", {"weights": "synthetic", "include_top": False, "pooling": "avg"}),
    ],
)
def test_a_keras_that_cannot_wait_loads_the_same_network(key, options, monkeypatch):
    height, width, _ = modelzoo.info(key).graph.input_shape
    images = synthetic.images(height, width)
    model = modelzoo.load(key, **options)
    expected = np.asarray(model(images, training=False))
    monkeypatch.setattr(variables, "can_wait", lambda: False)
    again = modelzoo.load(key, **options)
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert np.array_equal(np.asarray(again(images, training=False)), expected)


def test_a_keras_that_cannot_wait_gives_random_weights_and_new_heads(monkeypatch):
    monkeypatch.setattr(variables, "can_wait", lambda: False)
    model = modelzoo.load("resnet9_cifar10", classes=3)
    assert model.output_shape == (None, 3)
    assert np.any(model.get_layer("logits").kernel)
    assert np.any(modelzoo.load("resnet9_cifar10", weights=None).get_layer("stem_conv").kernel)


@pytest.mark.usefixtures("fresh_answer")
def test_todays_keras_can_wait():
    assert variables.can_wait()


@pytest.mark.usefixtures("fresh_answer")
def test_missing_private_names_are_found_out(monkeypatch):
    for kind in keras.Variable.__mro__:  # a backend's variable may have its own
        if "_deferred_initialize" in vars(kind):
            monkeypatch.delattr(kind, "_deferred_initialize")
    assert not variables.can_wait()


@pytest.mark.usefixtures("fresh_answer")
def test_a_keras_that_can_do_neither_is_named(monkeypatch):
    def refuse():
        raise AttributeError("no such thing")

    monkeypatch.setattr(variables, "_wait_once", refuse)
    monkeypatch.setattr(variables, "_overwrite_once", refuse)
    with pytest.raises(
        UnsupportedKeras, match=rf"Keras {keras.__version__} on \w+ refused both .*no such thing"
    ):
        build("mobilenet_0.25")
    assert issubclass(UnsupportedKeras, ModelZooError)  # the command line prints the sentence alone


@pytest.mark.parametrize(
    "path", sorted((ROOT / "modelzoo").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_private_names_of_keras_stand_in_one_file(path):
    if path.name == "variables.py":
        assert PRIVATE.search(path.read_text("utf-8"))
    else:
        found = PRIVATE.search(path.read_text("utf-8"))
        assert found is None, found[0]
