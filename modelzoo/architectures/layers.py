"""The vocabulary of the architectures: named Keras layers, and the one place that decides padding.

Every convolution and pooling here pads symmetrically, as Caffe, MXNet and PyTorch do. Keras' own
"same" pads unevenly under stride (nothing before, one pixel after), which shifts every feature map
of a ResNet by half a pixel per stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

HE_NORMAL = {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"}


@dataclass(frozen=True)
class Layers:
    """Applies layers to symbolic tensors of shape (batch, height, width, channels).

    `dtype` is a Keras dtype or dtype policy; None means Keras' global one. With `initialise=False`
    the weights start as zeros, at no cost, because the caller is about to load them; the layers
    still remember their real initialisers, so that a clone of the model starts from those.
    """

    dtype: str | None = None
    initialise: bool = True

    def conv(self, x, filters: int, kernel: int, *, name: str, stride: int = 1):
        """A convolution without bias, padded by (kernel - 1) / 2 pixels on every side."""
        padding = "same"  # at stride 1 and odd kernels, the same as padding by hand, and faster
        if stride > 1:
            x, padding = self._pad(x, (kernel - 1) // 2, name), "valid"
        layer = keras.layers.Conv2D(
            filters,
            kernel,
            strides=stride,
            padding=padding,
            use_bias=False,
            kernel_initializer=keras.initializers.VarianceScaling(**HE_NORMAL),
            data_format="channels_last",
            dtype=self.dtype,
            name=name,
        )
        return self._apply(layer, x)

    def norm(self, x, *, name: str, epsilon: float, momentum: float):
        """A batch normalisation over the channels."""
        layer = keras.layers.BatchNormalization(
            axis=-1, epsilon=epsilon, momentum=momentum, dtype=self.dtype, name=name
        )
        return layer(x)

    def relu(self, x, *, name: str):
        return keras.layers.ReLU(dtype=self.dtype, name=name)(x)

    def add(self, branches: Sequence[Any], *, name: str):
        return keras.layers.Add(dtype=self.dtype, name=name)(branches)

    def max_pool(self, x, size: int, *, stride: int, name: str):
        """A max pooling padded by (size - 1) / 2 zeros: its input must come from a ReLU."""
        x = self._pad(x, (size - 1) // 2, name)
        return keras.layers.MaxPooling2D(
            size, stride, "valid", data_format="channels_last", dtype=self.dtype, name=name
        )(x)

    def average_pool(self, x, size: int, *, name: str):
        """An average pooling of stride `size`; a partial window at the edge averages what it has."""
        return keras.layers.AveragePooling2D(
            size, size, "same", data_format="channels_last", dtype=self.dtype, name=name
        )(x)

    def global_pool(self, x, kind: str, *, name: str):
        """The average ("avg") or maximum ("max") over height and width: (batch, channels)."""
        layer = {
            "avg": keras.layers.GlobalAveragePooling2D,
            "max": keras.layers.GlobalMaxPooling2D,
        }[kind]
        return layer(data_format="channels_last", dtype=self.dtype, name=name)(x)

    def dense(self, x, units: int, *, name: str):
        return self._apply(keras.layers.Dense(units, dtype=self.dtype, name=name), x)

    def activation(self, x, function: str, *, name: str):
        """An output activation, in float32 whatever the compute dtype: softmax needs the range."""
        dtype = "float32" if keras.dtype_policies.get(self.dtype).name.startswith("mixed") else self.dtype
        return keras.layers.Activation(function, dtype=dtype, name=name)(x)

    def _pad(self, x, pixels: int, name: str):
        if pixels == 0:
            return x
        return keras.layers.ZeroPadding2D(
            pixels, data_format="channels_last", dtype=self.dtype, name=f"{name}_pad"
        )(x)

    def _apply(self, layer, x):
        if self.initialise:
            return layer(x)
        initialiser, layer.kernel_initializer = layer.kernel_initializer, keras.initializers.Zeros()
        x = layer(x)
        layer.kernel_initializer = initialiser
        return x
