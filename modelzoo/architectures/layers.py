"""The vocabulary of the architectures: named Keras layers, and the one place that decides padding.

There are three paddings. SYMMETRIC, the default, puts (kernel - 1) / 2 zeros on every side, as Caffe, MXNet
and PyTorch do. "same" is TensorFlow's: under stride it pads unevenly (nothing before and one pixel after an
even side), which is right for networks that were trained so and shifts the feature maps of all others.
"valid" pads nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from modelzoo.architectures.family import Tensor

SYMMETRIC = "symmetric"
Initializer = Any  # an object or a name; Keras' own signatures say only str


def he_normal() -> Initializer:
    """Of convolutions' kernels: keeps the variance backwards through a ReLU (He et al. 2015)."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


@dataclass(frozen=True)
class Layers:
    """Applies layers to symbolic tensors of shape (batch, height, width, channels).

    `dtype` is a Keras dtype or dtype policy; None means Keras' global one, which each thread has its own of.
    Under a mixed policy layers with `output` compute in the dtype of the weights, float32: losses, softmax
    and distances of embeddings need its precision and range. Feature maps stay in the compute dtype.
    """

    dtype: str | keras.DTypePolicy | None = None

    def conv(
        self,
        x: Tensor,
        filters: int,
        kernel: int | tuple[int, int],
        *,
        name: str,
        stride: int = 1,
        padding: str = SYMMETRIC,
        bias: bool = False,
        output: bool = False,
    ) -> Tensor:
        """A convolution; `kernel` is a side or (height, width), odd where the padding is symmetric."""
        x, padding = self._padded(x, kernel, stride, padding, name)
        layer = keras.layers.Conv2D(
            filters,
            kernel,
            strides=stride,
            padding=padding,
            use_bias=bias,
            kernel_initializer=he_normal(),
            data_format="channels_last",
            dtype=self._dtype(output),
            name=name,
        )
        return layer(x)

    def depthwise_conv(
        self,
        x: Tensor,
        kernel: int,
        *,
        name: str,
        stride: int = 1,
        padding: str = SYMMETRIC,
        multiplier: int = 1,
    ) -> Tensor:
        """A convolution of each channel by itself to `multiplier` channels; `name` must say "depthwise"."""
        x, padding = self._padded(x, kernel, stride, padding, name)
        layer = keras.layers.DepthwiseConv2D(
            kernel,
            strides=stride,
            padding=padding,
            depth_multiplier=multiplier,
            use_bias=False,
            depthwise_initializer=he_normal(),
            data_format="channels_last",
            dtype=self.dtype,
            name=name,
        )
        return layer(x)

    def norm(self, x: Tensor, *, name: str, epsilon: float, momentum: float, scale: bool = True) -> Tensor:
        """A batch normalization over the channels; without `scale` there is no gamma."""
        layer = keras.layers.BatchNormalization(
            axis=-1, epsilon=epsilon, momentum=momentum, scale=scale, dtype=self.dtype, name=name
        )
        return layer(x)

    def layer_norm(self, x: Tensor, *, name: str, epsilon: float) -> Tensor:
        """A normalization of each position over its channels."""
        return keras.layers.LayerNormalization(epsilon=epsilon, dtype=self.dtype, name=name)(x)

    def relu(self, x: Tensor, *, name: str, limit: float | None = None) -> Tensor:
        """max(x, 0), or min(max(x, 0), limit): a limit of 6 makes ReLU6."""
        return keras.layers.ReLU(limit, dtype=self.dtype, name=name)(x)

    def leaky_relu(self, x: Tensor, slope: float, *, name: str) -> Tensor:
        """x where it is positive, and slope * x below zero."""
        return keras.layers.LeakyReLU(slope, dtype=self.dtype, name=name)(x)

    def add(self, branches: Sequence[Tensor], *, name: str) -> Tensor:
        return keras.layers.Add(dtype=self.dtype, name=name)(branches)

    def scale(self, x: Tensor, factor: float, *, name: str) -> Tensor:
        """The input times a constant."""
        return keras.layers.Rescaling(factor, dtype=self.dtype, name=name)(x)

    def concat(self, branches: Sequence[Tensor], *, name: str) -> Tensor:
        """The branches one after the other along the channels."""
        return keras.layers.Concatenate(axis=-1, dtype=self.dtype, name=name)(branches)

    def reshape(self, x: Tensor, shape: tuple[int, ...], *, name: str) -> Tensor:
        """The same values in the same order; `shape` is without the batch."""
        return keras.layers.Reshape(shape, dtype=self.dtype, name=name)(x)

    def permute(self, x: Tensor, axes: tuple[int, ...], *, name: str) -> Tensor:
        """The axes in this order, counted from 1: the batch stays first."""
        return keras.layers.Permute(axes, dtype=self.dtype, name=name)(x)

    def max_pool(self, x: Tensor, size: int, *, stride: int, name: str, padding: str = SYMMETRIC) -> Tensor:
        """A max pooling; symmetric padding is with zeros, so its input must come from a ReLU."""
        if padding == SYMMETRIC:
            x, padding = self._pad(x, size, name), "valid"
        layer = keras.layers.MaxPooling2D(
            size, stride, padding, data_format="channels_last", dtype=self.dtype, name=name
        )
        return layer(x)

    def average_pool(
        self, x: Tensor, size: int, *, name: str, stride: int | None = None, padding: str = "same"
    ) -> Tensor:
        """An average pooling, of stride `size` unless given; a window at the edge averages what it has."""
        layer = keras.layers.AveragePooling2D(
            size, stride or size, padding, data_format="channels_last", dtype=self.dtype, name=name
        )
        return layer(x)

    def shift(self, x: Tensor, *, name: str) -> Tensor:
        """The map moved by one pixel up and to the left; its last row and column become zeros."""
        pad = keras.layers.ZeroPadding2D(
            ((0, 1), (0, 1)), data_format="channels_last", dtype=self.dtype, name=f"{name}_pad"
        )
        crop = keras.layers.Cropping2D(
            ((1, 0), (1, 0)), data_format="channels_last", dtype=self.dtype, name=name
        )
        return crop(pad(x))

    def global_pool(self, x: Tensor, kind: str, *, name: str, output: bool = False) -> Tensor:
        """The average ("avg") or maximum ("max") over height and width: (batch, channels)."""
        layer = {
            "avg": keras.layers.GlobalAveragePooling2D,
            "max": keras.layers.GlobalMaxPooling2D,
        }[kind]
        return layer(data_format="channels_last", dtype=self._dtype(output), name=name)(x)

    def dense(self, x: Tensor, units: int, *, name: str, output: bool = False) -> Tensor:
        return keras.layers.Dense(units, dtype=self._dtype(output), name=name)(x)

    def activation(self, x: Tensor, function: str, *, name: str, output: bool = False) -> Tensor:
        """An activation, by its name in Keras."""
        return keras.layers.Activation(function, dtype=self._dtype(output), name=name)(x)

    def _dtype(self, output: bool) -> str | keras.DTypePolicy | None:
        """The dtype or policy of a layer, which is the network's output or not."""
        policy: Any = keras.dtype_policies.get(self.dtype)
        mixed = policy.compute_dtype != policy.variable_dtype
        return policy.variable_dtype if output and mixed else self.dtype

    def _padded(
        self, x: Tensor, kernel: int | tuple[int, int], stride: int, padding: str, name: str
    ) -> tuple[Tensor, str]:
        """The input and Keras' word for what remains to be padded."""
        if padding != SYMMETRIC:
            return x, padding
        if stride == 1:
            return x, "same"  # at stride 1 and odd kernels the same as padding by hand, and faster
        return self._pad(x, kernel, name), "valid"

    def _pad(self, x: Tensor, kernel: int | tuple[int, int], name: str) -> Tensor:
        """Zeros on every side, half a kernel wide."""
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        margins = ((height - 1) // 2, (width - 1) // 2)
        if margins == (0, 0):
            return x
        layer = keras.layers.ZeroPadding2D(
            margins, data_format="channels_last", dtype=self.dtype, name=f"{name}_pad"
        )
        return layer(x)
