"""What is peculiar to NASNet: a training checkpoint's extra tensors, and the shifted map of a reduction."""

from __future__ import annotations

import numpy as np
import pytest

from modelzoo.conversion import CONVERTERS
from modelzoo.formats import TensorInfo

FLOATS = TensorInfo((3,), np.dtype(np.float32))  # no number alone, which is never a network's weight

# Of a checkpoint that research/slim wrote while it trained nasnet_mobile.
BESIDE = [
    "global_step",
    "cell_3/comb_iter_0/left/separable_5x5_1/depthwise_weights/RMSProp",
    "cell_3/comb_iter_0/left/separable_5x5_1/depthwise_weights/RMSProp_1",
    "aux_7/aux_logits/proj/weights",
    "aux_7/aux_logits/aux_bn0/gamma/ExponentialMovingAverage",
    "aux_7/aux_logits/FC/biases",
]


@pytest.mark.parametrize("name", BESIDE)
def test_what_training_leaves_beside_the_network_is_ignored(name):
    assert CONVERTERS["slim.nasnet"].is_ignored(name, FLOATS)


@pytest.mark.parametrize("name", ["conv0/weights", "cell_11/prev_bn/gamma", "final_layer/FC/biases"])
def test_a_weight_of_the_network_is_not_ignored(name):
    assert not CONVERTERS["slim.nasnet"].is_ignored(name, FLOATS)


def test_a_shift_moves_the_map_by_one_pixel():
    from tests.networks import model_of

    model = model_of(lambda nn, images: nn.shift(images, name="shift"), (None, None, 1))
    shifted = np.asarray(model(np.arange(1.0, 7.0, dtype=np.float32).reshape(1, 2, 3, 1)))
    assert shifted[0, ..., 0].tolist() == [[5, 6, 0], [0, 0, 0]]


def test_a_network_with_shifts_loads_from_keras_own_format(tmp_path):
    import keras

    from modelzoo.architectures.nasnet import factorized_reduction
    from tests.networks import model_of

    model = model_of(lambda nn, images: factorized_reduction(nn, images, 5, "reduce"), (None, None, 4))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    noise = np.random.default_rng(0).normal(size=(1, 7, 6, 4)).astype(np.float32)
    assert again(noise).shape == (1, 4, 3, 5)
    assert np.array_equal(again(noise), model(noise))
