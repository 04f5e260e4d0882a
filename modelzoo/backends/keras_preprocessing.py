"""preprocessing_layer(): a model's preprocessing as a layer, made of Keras' own layers only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import keras

from modelzoo import registry
from modelzoo.registry import Preprocessing

NAME = "preprocessing"
LEVELS = 255  # the largest of an image's levels
REVERSED = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]  # the product that turns RGB into BGR
# Keras' nearest relative of each interpolation, and whether it takes the mean of what it makes smaller.
INTERPOLATIONS: dict[str, tuple[str, bool]] = {
    "darknet_linear": ("bilinear", False),
    "opencv_linear": ("bilinear", False),
    "pillow3_nearest": ("nearest", False),
    "pillow_bicubic": ("bicubic", True),
    "pillow_bilinear": ("bilinear", True),
    "pillow_nearest": ("nearest", False),
    "tf1_bicubic": ("bicubic", False),
    "tf1_bilinear": ("bilinear", False),
}
OPTIONS: dict[str, Any] = {"dtype": "float32", "trainable": False}  # whatever the network computes in
LAST = {"data_format": "channels_last"}


def preprocessing_layer(
    preprocessing: Preprocessing | str,
    /,
    *,
    resize: bool = True,
    size: tuple[int, int] | None = None,
    name: str = NAME,
) -> keras.layers.Pipeline:
    """A layer that turns images, levels of 0 to 255 in RGB, into the network's input, float32.

    It takes (height, width, 3) or (batch, height, width, 3), uint8 or float, in a tf.data or grain pipeline,
    by itself, or in a model, which opens without modelzoo: it is made of Keras' own layers. In a model write
    `layer(images, training=False)`: Keras' Resizing makes layers after it train unless told otherwise.
    preprocessing: a model's name, or what `modelzoo.info(name).preprocessing` gives.
    resize: False only scales the levels and orders the channels of images of any size.
    size: height and width of the result; default: the model's crop_size. Of another size the image shows as
        much as of that.

    `modelzoo.preprocess` computes every pixel as the original program did; this layer resizes as Keras does.
    On 20 photographs it was off by this many of 255 levels, on average over all pixels (of the worst image):
    pillow_nearest 0.1 (0.8), darknet_linear 1.6 (3.9), pillow_bilinear 2.5 (7.2), opencv_linear 2.7 (9.1),
    pillow_bicubic 3.4 (13.7), tf1_bilinear 4.6 (12.2), tf1_bicubic 5.6 (11.3): the last two have their grid
    half a pixel beside Keras'. `modelzoo.info(name).preprocessing.interpolation` says which a model has.
    For BGR networks it has a matrix that reverses the channels: leave that frozen, and in tf.data use
    TensorFlow. `load(..., include_preprocessing=True)` needs no such care. Raises UnknownModel.
    """
    if isinstance(preprocessing, str):
        preprocessing = registry.info(preprocessing).preprocessing
    reverse = preprocessing.channels == "BGR"
    # In this order the product is exact on every device: it sees whole numbers below 256.
    layers = [keras.layers.Rescaling(1.0, **OPTIONS), *([_reverse()] if reverse else [])]
    if resize:
        layers += _resize(preprocessing, size or (preprocessing.crop_size, preprocessing.crop_size))
    pairs = list(zip(preprocessing.mean, preprocessing.std, strict=True))[:: -1 if reverse else 1]
    scale = [preprocessing.max_value / LEVELS / std for _, std in pairs]
    offset = [-mean / std for mean, std in pairs]
    layers.append(keras.layers.Rescaling(scale, offset, **OPTIONS))
    found = keras.layers.Pipeline(layers, name=name)
    found.trainable = False
    return found


def image_input(
    preprocessing: Preprocessing, sides: tuple[int | None, int | None], name: str
) -> tuple[Any, Any]:
    """An input of uint8 images of any size, and what a network gets of them.

    Where a side is not known, they are not resized. The channels are ordered by an operation, which has no
    weights that training could change.
    """
    height, width = sides
    images = keras.Input((None, None, 3), name=name, dtype="uint8")
    known = None if height is None or width is None else (height, width)
    in_order = replace(preprocessing, channels="RGB")
    layer = preprocessing_layer(in_order, resize=known is not None, size=known)
    # Layers inherit from those before them whether they train, and the default of Resizing is that they do.
    values = layer(images, training=False)
    return images, values[..., ::-1] if preprocessing.channels == "BGR" else values


def _reverse() -> keras.layers.Layer:
    """The channels in reversed order."""
    initializer = keras.initializers.Constant(REVERSED)
    return keras.layers.Dense(3, use_bias=False, kernel_initializer=initializer, **OPTIONS)


def _resize(preprocessing: Preprocessing, size: tuple[int, int]) -> Iterator[keras.layers.Layer]:
    """A resize of all that is kept and what lies around it, and then its center."""
    kernel, antialias = INTERPOLATIONS[preprocessing.interpolation]
    margin = _margin(preprocessing)
    height, width = (round(side * margin) for side in size)
    options: dict[str, Any] = {"interpolation": kernel, **LAST, **OPTIONS}
    if antialias:
        options["antialias"] = True
    if preprocessing.pad_value is not None:
        options |= {"pad_to_aspect_ratio": True, "fill_value": preprocessing.pad_value}
    elif preprocessing.resize_size is not None or preprocessing.crop_padding is not None:
        options["crop_to_aspect_ratio"] = True
    yield keras.layers.Resizing(height, width, **options)
    if margin > 1:
        yield keras.layers.CenterCrop(*size, **LAST, **OPTIONS)


def _margin(preprocessing: Preprocessing) -> float:
    """How many times the network's side the resized image's shorter side is."""
    crop = preprocessing.crop_size
    if preprocessing.crop_padding is not None:
        return (crop + preprocessing.crop_padding) / crop
    return (preprocessing.resize_size or crop / preprocessing.central_fraction) / crop
