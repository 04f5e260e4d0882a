"""freeze() and unfreeze(): what is frozen stays bit for bit, and the rest learns."""

from __future__ import annotations

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import modelzoo
from tests.conftest import ROOT

NAME = "resnet9_cifar10"
FIT = """
import sys
import keras
import numpy as np
import modelzoo
from modelzoo.backends import keras_values

keras.utils.set_random_seed(1)
model = modelzoo.load("resnet9_cifar10", weights="synthetic", classes=2, dropout=0.2)
until, batch_norm = sys.argv[1], sys.argv[2] == "True"
frozen = modelzoo.freeze(model, until=until, batch_norm=batch_norm)
model.compile(keras.optimizers.AdamW(1e-2), "sparse_categorical_crossentropy")
before = {path: np.array(v) for path, v in keras_values.by_path(model)}
images = np.random.default_rng(1).normal(size=(8, 32, 32, 3)).astype("float32")
model.fit(images, np.arange(8) % 2, epochs=2, batch_size=4, verbose=0)
changed = [path for path, v in keras_values.by_path(model) if not np.array_equal(before[path], np.array(v))]
print("FROZEN", *frozen)
print("CHANGED", *changed)
"""


def fitted(backend: str, until: str, batch_norm: bool) -> tuple[set[str], set[str]]:
    """The layers that freeze() named, and the weights that two epochs changed, in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FIT, until, str(batch_norm)],
        env=os.environ | {"KERAS_BACKEND": backend},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = dict(
        line.split(" ", 1) for line in run.stdout.splitlines() if line.startswith(("FROZEN", "CHANGED"))
    )
    return set(lines["FROZEN"].split()), set(lines["CHANGED"].split())


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_frozen_tensors_are_the_same_bits_after_two_epochs(backend):
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    frozen, changed = fitted(backend, "C2", True)
    assert {"stem_conv", "stem_bn", "stage1_block1_bn2", "stage2_conv", "stage2_bn"} <= frozen
    assert {path.partition("/")[0] for path in changed}.isdisjoint(frozen)
    assert {"stage3_conv/kernel", "stage3_bn/moving_mean", "logits/kernel", "logits/bias"} <= changed


def test_batch_norms_that_are_left_out_follow_the_new_images():
    frozen, changed = fitted("tensorflow", "C2", False)
    assert "stem_bn" not in frozen
    assert {"stem_bn/gamma", "stem_bn/moving_mean"} <= changed
    assert {path.partition("/")[0] for path in changed}.isdisjoint(frozen)


def trainable(model: keras.Model) -> set[str]:
    """The layers whose weights would be trained."""
    return {variable.path.split("/")[-2] for variable in model.trainable_variables}


def test_the_whole_backbone_is_frozen_unless_a_level_is_named():
    model = modelzoo.load(NAME, weights=None)
    modelzoo.freeze(model)
    assert trainable(model) == {"logits"}


def test_unfreezing_from_a_level_begins_after_the_level_before_and_spares_batch_norms():
    model = modelzoo.load(NAME, weights=None)
    modelzoo.freeze(model)
    opened = modelzoo.unfreeze(model, from_="C3")
    assert trainable(model) == {"stage3_conv", "stage3_block1_conv1", "stage3_block1_conv2", "logits"}
    assert set(opened) == trainable(model)
    assert not model.get_layer("stage3_bn").trainable
    modelzoo.unfreeze(model, batch_norm=True)
    assert trainable(model) == {layer.name for layer in model.layers if layer.weights}


def test_a_model_that_was_frozen_as_a_whole_can_be_trained_in_part():
    model = modelzoo.load(NAME, weights=None)
    model.trainable = False
    model.get_layer("logits").trainable = True
    assert not model.trainable_variables  # the trap
    modelzoo.freeze(model)
    assert trainable(model) == {"logits"}


def test_fix_block_2_of_ml_images_freezes_stem_and_two_stages():
    """finetune.py --FixBlock2 trains stages_2, stages_3, the last batch norm and the logits."""
    model = modelzoo.load("resnet50_mlimages", weights=None, classes=5, input_shape=(64, 64, 3))
    modelzoo.freeze(model, until="C3")
    groups = {name.split("_")[0] for name in trainable(model)}
    assert groups == {"stage3", "stage4", "final", "logits"}


def test_a_model_inside_another_and_one_of_keras_own_are_frozen_too():
    backbone = modelzoo.load(NAME, weights=None, include_top=False, pooling="avg", name="mine")
    model = keras.Sequential([keras.Input((32, 32, 3)), backbone, keras.layers.Dense(2, name="mine_logits")])
    modelzoo.freeze(model, until="C2")
    assert "stem_conv" not in trainable(model)
    assert {"stage3_conv", "mine_logits"} <= trainable(model)
    own = keras.applications.MobileNet(weights=None, alpha=0.25, input_shape=(64, 64, 3))
    modelzoo.freeze(own, until="C4")
    assert "conv1" not in trainable(own)
    assert "conv_pw_13" in trainable(own)


def test_a_saved_model_still_has_its_levels(tmp_path):
    modelzoo.load(NAME, weights=None, name="other").save(tmp_path / "a.keras")
    model = keras.saving.load_model(tmp_path / "a.keras")
    modelzoo.freeze(model, until="C1")
    assert "stage1_block1_conv2" not in trainable(model)
    assert "stage2_conv" in trainable(model)


def test_the_layers_that_prepare_images_never_learn():
    model = modelzoo.load(
        "vgg16.keras", weights=None, include_top=False, include_preprocessing=True, input_shape=(32, 32, 3)
    )
    before = len(model.trainable_variables)
    model.trainable = True
    modelzoo.unfreeze(model, batch_norm=True)
    assert len(model.trainable_variables) == before == 26


@pytest.mark.parametrize(
    ("level", "message"),
    [
        ("C7", r"has no level or layer 'C7': choose one of C1, C2, C3, or a layer's name"),
        ("stem", "has no level or layer 'stem'"),
    ],
)
def test_an_unknown_level_is_answered_with_the_known_ones(level, message):
    model = modelzoo.load(NAME, weights=None)
    for change in (modelzoo.freeze, modelzoo.unfreeze):
        with pytest.raises(ValueError, match=message):
            change(model, level)


def test_a_network_of_ones_own_needs_a_layers_name():
    images = keras.Input((8,))
    middle = keras.layers.Dense(4, name="middle")(keras.layers.Dense(4, name="first")(images))
    model = keras.Model(images, keras.layers.Dense(1, name="last")(middle))
    with pytest.raises(ValueError, match="name a layer: it has no feature levels"):
        modelzoo.freeze(model)
    assert modelzoo.freeze(model, until="middle") == ["first", "middle"]
    assert modelzoo.unfreeze(model, from_="middle") == ["middle", "last"]


def test_the_global_seed_and_other_flags_stay(tmp_path):
    model = modelzoo.load(NAME, weights=None)
    model.get_layer("logits").trainable = False
    modelzoo.freeze(model, until="C1")
    assert not model.get_layer("logits").trainable
    assert np.all([layer.trainable for layer in model.layers if layer.name.startswith("stage3")])
