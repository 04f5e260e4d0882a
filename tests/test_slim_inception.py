"""TF-slim's Inceptions: what their checkpoints hold beyond us, and the residual scale."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from modelzoo.architectures.inception_resnet import BLOCK_8, Residual, residual_block
from modelzoo.conversion import CONVERTERS
from modelzoo.formats import TensorInfo
from tests.networks import model_of

FLOATS = TensorInfo((3,), np.dtype(np.float32))  # no number alone, which is never a network's weight


@pytest.mark.parametrize(
    "name",
    [
        "global_step",
        "InceptionV3/AuxLogits/Conv2d_2a_5x5/BatchNorm/beta",
        "InceptionResnetV2/AuxLogits/Logits/weights",
        "InceptionV1/Conv2d_1a_7x7/weights/RMSProp_1",
    ],
)
def test_auxiliary_heads_and_optimizers_may_be_left_over(name):
    assert CONVERTERS["slim.inception"].is_ignored(name, FLOATS)


@pytest.mark.parametrize(
    "name", ["InceptionV1/Logits/Conv2d_0c_1x1/weights", "InceptionV1/Conv2d_1a_7x7/BatchNorm/gamma"]
)
def test_weights_may_not_be_left_over(name):
    assert not CONVERTERS["slim.inception"].is_ignored(name, FLOATS)


def test_a_residual_block_saves_and_loads(tmp_path):
    residual = Residual(BLOCK_8, 0.2)
    model = model_of(lambda nn, images: residual_block(nn, images, residual, "block8_1"), (5, 7, 16))
    model.save(tmp_path / "block.keras")
    again = keras.models.load_model(tmp_path / "block.keras")
    x = np.ones((1, 5, 7, 16), np.float32)
    np.testing.assert_array_equal(again(x), model(x))
