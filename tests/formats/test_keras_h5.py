"""Keras 1 and 2's .h5 files: what is written, and that Keras reads it."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from modelzoo.errors import ConversionError
from modelzoo.formats import read_keras_h5, write_keras_h5

DENSE = {"dense/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "dense/bias": np.float32([1, 2, 3])}


def test_keras_reads_what_is_written(tmp_path):
    import keras

    images = keras.Input((2,))
    model = keras.Model(images, keras.layers.Dense(3, name="dense")(images))
    write_keras_h5(tmp_path / "model.h5", DENSE)
    model.load_weights(tmp_path / "model.h5", by_name=True)
    for found, array in zip(model.get_weights(), DENSE.values(), strict=True):
        np.testing.assert_array_equal(found, array, strict=True)


def test_the_names_that_keras_2_wrote_are_read_as_layer_and_weight(tmp_path):
    """A group for each layer, in which the weight's own name holds the layer, or that of a layer in it."""
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["layer_names"] = np.array(["dense", "base", "relu"], "S")
        weights = {
            "dense": ["dense/kernel:0", "dense/bias:0"],
            "base": ["a/kernel:0", "b/kernel:0"],
            "relu": [],
        }
        for layer, names in weights.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = np.array(names, "S")
            for number, name in enumerate(names):
                group[name] = np.float32([number])
    with read_keras_h5(tmp_path / "model.h5") as tensors:
        assert list(tensors) == ["dense/kernel", "dense/bias", "a/kernel", "b/kernel"]
        assert tensors.read("dense/bias") == 1
        assert tensors.backend == ""


def test_names_that_are_too_long_for_one_attribute_are_split_as_keras_does(tmp_path):
    arrays = {f"layer{number:04}_{'x' * 50}/kernel": np.float32([number]) for number in range(2000)}
    write_keras_h5(tmp_path / "model.h5", arrays)
    with h5py.File(tmp_path / "model.h5") as file:
        assert [name for name in file.attrs if name.startswith("layer_names")] == [
            "layer_names0",
            "layer_names1",
        ]
    with read_keras_h5(tmp_path / "model.h5") as tensors:
        assert list(tensors) == list(arrays)


def test_the_layers_of_a_file_keep_their_order(tmp_path):
    arrays = {"b/kernel": np.float32([1]), "a/kernel": np.float32([2]), "b/bias": np.float32([3])}
    write_keras_h5(tmp_path / "model.h5", arrays)
    with read_keras_h5(tmp_path / "model.h5") as tensors:
        assert list(tensors) == ["b/kernel", "b/bias", "a/kernel"]


def test_the_backend_is_tensorflow(tmp_path):
    write_keras_h5(tmp_path / "model.h5", DENSE)
    with read_keras_h5(tmp_path / "model.h5") as tensors:
        assert tensors.backend == "tensorflow"


@pytest.mark.parametrize(
    "names",
    [
        ["kernel"],
        ["/kernel"],
        ["dense/kernel:0"],
        ["a/./b"],
        ["a/b", "a/b/c"],
        ["model_weights/kernel"],
        ["a\0/kernel"],
    ],
    ids=[
        "no layer",
        "a nameless layer",
        "a suffix",
        "a dot",
        "a layer in a weight",
        "Keras' own group",
        "NUL",
    ],
)
def test_a_name_that_would_be_read_back_as_another_is_refused_and_nothing_written(names, tmp_path):
    with pytest.raises(ConversionError, match=r"^[^\n]*model\.h5 cannot be written as a Keras [^\n]*\.$"):
        write_keras_h5(tmp_path / "model.h5", dict.fromkeys(names, np.float32([1])))
    assert not list(tmp_path.iterdir())


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "model.h5").write_bytes(b"<!DOCTYPE html><html>")
    with pytest.raises(ConversionError, match=r"model\.h5 is not an HDF5 file\.$"):
        read_keras_h5(tmp_path / "model.h5")


def test_a_truncated_file_is_said_to_be_truncated(tmp_path):
    write_keras_h5(tmp_path / "model.h5", {"a/kernel": np.zeros(1000, np.float32)})
    content = (tmp_path / "model.h5").read_bytes()
    (tmp_path / "model.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(
        ConversionError, match="cannot be read: it is truncated or damaged; download it again"
    ):
        read_keras_h5(tmp_path / "model.h5")
