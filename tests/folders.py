"""A small classifier of the tests' own, and model folders of it."""

from __future__ import annotations

from typing import Any

import numpy as np

SIDE, CLASSES = 32, 4
NAMES = ["coat", "hat", "shoe", "t-shirt"]
BASE = "resnet9_cifar10"  # its preprocessing is for images of this side


def small_model(seed: int = 1, **options: Any):
    """A plain Keras classifier with weights that are not the initial ones, so that its batch norm matters."""
    import keras

    keras.utils.set_random_seed(seed)
    layers = keras.layers
    images = keras.Input((SIDE, SIDE, 3), name="photo")
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="conv1")(images)
    x = layers.BatchNormalization(name="norm1")(x)
    x = layers.ReLU(6.0, name="relu1")(x)
    y = layers.SeparableConv2D(8, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.Add(name="sum")([x, y])
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="conv3")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dropout(0.3, name="drop")(x)
    model = keras.Model(
        images, layers.Dense(CLASSES, activation="softmax", name="classes")(x), name="clothes"
    )
    random = np.random.default_rng(seed)
    for variable in model.weights:
        if "float" in variable.dtype:
            values = random.uniform(0.5, 1.5, variable.shape) if "variance" in variable.name else None
            variable.assign(random.normal(0, 0.4, variable.shape) if values is None else values)
    return model


def photos(count: int = 3) -> list[np.ndarray]:
    """Images that no two tests share, uint8."""
    random = np.random.default_rng(7)
    return [random.integers(0, 256, (40 + 3 * n, 50 + n, 3), np.uint8) for n in range(count)]
