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
FIX_BLOCK_2 = ("resnet50_mlimages", "C3")  # stem and two stages are frozen
FIT = """
import sys
import keras
import numpy as np
import modelzoo
from modelzoo.backends import keras_values

keras.utils.set_random_seed(1)
name, until, batch_norm = sys.argv[1], sys.argv[2], sys.argv[3] == "True"
model = modelzoo.load(name, weights="synthetic", classes=2, dropout=0.2, input_shape=(32, 32, 3))
frozen = modelzoo.freeze(model, until=until, batch_norm=batch_norm)
model.compile(keras.optimizers.AdamW(1e-2), "sparse_categorical_crossentropy")
before = {path: np.array(v) for path, v in keras_values.by_path(model)}
images = np.random.default_rng(1).normal(size=(8, 32, 32, 3)).astype("float32")
model.fit(images, np.arange(8) % 2, epochs=2, batch_size=4, verbose=0)
changed = [path for path, v in keras_values.by_path(model) if not np.array_equal(before[path], np.array(v))]
print("FROZEN", *frozen)
print("CHANGED", *changed)
"""


def fitted(backend: str, name: str, until: str, batch_norm: bool) -> tuple[set[str], set[str]]:
    """The layers that freeze() named, and the weights that two epochs changed, in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FIT, name, until, str(batch_norm)],
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


FROZEN = {  # the last layer of a few that are frozen, and the first weights that change after it
    ("resnet9_cifar10", "C2"): ("stage2_bn", "stage3_conv/kernel", "stage3_bn/moving_mean"),
    ("resnet18_v1b", "C4"): (
        "stage3_block2_bn2",
        "stage4_block1_conv1/kernel",
        "stage4_block1_bn1/moving_mean",
    ),
    FIX_BLOCK_2: ("stage2_block4_conv3", "stage3_block1_conv1/kernel", "final_bn/moving_mean"),
}


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
@pytest.mark.parametrize("case", FROZEN, ids=" until ".join)
def test_frozen_tensors_are_the_same_bits_after_two_epochs(case, backend):
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    frozen, changed = fitted(backend, *case, True)
    last, *first = FROZEN[case]
    assert {"stem_conv", last} <= frozen
    assert {path.partition("/")[0] for path in changed}.isdisjoint(frozen)
    assert {*first, "logits/kernel", "logits/bias"} <= changed


def test_batch_norms_that_are_left_out_follow_the_new_images():
    frozen, changed = fitted("tensorflow", NAME, "C2", False)
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
    name, until = FIX_BLOCK_2
    model = modelzoo.load(name, weights=None, classes=5, input_shape=(64, 64, 3))
    modelzoo.freeze(model, until=until)
    groups = {name.split("_")[0] for name in trainable(model)}
    assert groups == {"stage3", "stage4", "final", "logits"}


def of_each_family() -> dict[str, str]:
    """The smallest model of each family."""
    entries = [modelzoo.info(key) for key in modelzoo.list_models()]
    entries.sort(key=lambda entry: -entry.parameters)
    return {entry.graph.family: entry.key for entry in entries}


@pytest.mark.parametrize("key", of_each_family().values(), ids=str)
def test_every_level_of_every_family_can_be_frozen_and_unfrozen(key):
    model = modelzoo.load(key, weights=None, include_top=False)
    every, before = {layer.name for layer in model.layers if layer.weights}, set()
    for level in (info.name for info in modelzoo.feature_info(key)):
        model.trainable = False
        opened = set(modelzoo.unfreeze(model, from_=level, batch_norm=True))
        frozen = set(modelzoo.freeze(model, until=level))
        assert opened == every - before
        assert before <= frozen  # the last of VGG is a pooling
        before = frozen


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
