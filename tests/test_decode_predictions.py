"""Labels are given to probabilities only: to nothing that is not finite, and not to logits."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import modelzoo
from modelzoo.errors import LabelsError


def row(*values: float, dtype: str = "float32") -> np.ndarray:
    """A row of CIFAR-10's ten classes that ends with these values."""
    return np.array([[0] * (10 - len(values)) + list(values)], dtype)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_is_not_finite_gets_no_label(value, dtype):
    batch = np.concatenate([row(1.0, dtype=dtype), row(0.5, value, dtype=dtype)])
    with pytest.raises(LabelsError, match="Expected probabilities, got NaN or infinity in row 1"):
        modelzoo.decode_predictions(batch, "cifar10")


@pytest.mark.parametrize(("value", "shown"), [(27.59, "27.59"), (-3.0, "-3"), (1.02, "1.02")])
def test_logits_get_no_label_and_the_advice_what_to_do(value, shown):
    message = (
        f"from 0 to 1, got {shown}: these look like logits. Apply softmax, or load .* classifier_activation"
    )
    with pytest.raises(LabelsError, match=message):
        modelzoo.decode_predictions(row(0.5, value), "cifar10")


def test_the_logits_of_a_model_are_refused():
    model = modelzoo.load("resnet9_cifar10", classifier_activation=None)
    logits = model(modelzoo.preprocess(np.zeros((32, 32, 3), np.uint8), "resnet9_cifar10"))
    with pytest.raises(LabelsError, match="these look like logits"):
        modelzoo.decode_predictions(logits, "resnet9_cifar10")


def test_sigmoids_which_add_up_to_more_than_one_and_rounding_are_fine():
    [predictions] = modelzoo.decode_predictions(row(0.9, 0.95, 1.004, -0.003), "cifar10", top=2)
    assert [prediction.name for prediction in predictions] == ["ship", "horse"]
    [predictions] = modelzoo.decode_predictions(row(), "cifar10", top=1)  # all sigmoids may be 0
    assert predictions[0].probability == 0


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "bool", "float16", "bfloat16"])
def test_one_hot_rows_of_every_dtype_get_their_label(dtype):
    [predictions] = modelzoo.decode_predictions(keras.ops.cast(row(1, 0, 0), dtype), "cifar10", top=2)
    assert [(p.name, p.probability) for p in predictions] == [("horse", 1.0), ("airplane", 0.0)]


@pytest.mark.parametrize("values", [[["a"] * 10], [[None] * 10], [[1j] * 10]])
def test_what_are_no_numbers_get_no_label(values):
    with pytest.raises(LabelsError, match="Expected probabilities, got an array of"):
        modelzoo.decode_predictions(values, "cifar10")
