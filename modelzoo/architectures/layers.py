"""The vocabulary of the architectures: named layers, and the one place that decides padding.

There are three paddings. SYMMETRIC, the default, puts (kernel - 1) / 2 zeros on every side, as Caffe, MXNet
and PyTorch do. "same" is TensorFlow's: under stride it pads unevenly (nothing before and one pixel after an
even side), which is right for networks that were trained so and shifts the feature maps of all others.
"valid" pads nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

from modelzoo.graph import Builder, Operator, Tensor
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv
from modelzoo.graph.elementwise import Activation, Add, Function, LeakyReLU, ReLU
from modelzoo.graph.normalization import BatchNorm, LayerNorm, Rescale
from modelzoo.graph.operator import HE_NORMAL
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool, Reduction
from modelzoo.graph.shaping import Concat, Cropping, Permute, Reshape, ZeroPadding

SYMMETRIC = "symmetric"
Padding = Literal["symmetric", "same", "valid"]
OTHER_NAMES = {"swish": "silu", "hard_swish": "hard_silu"}


class Layers(Builder):
    """Applies layers to tensors of shape (batch, height, width, channels), and takes them down as a graph.

    Layers with `output` need float32 where the network computes in less: losses, softmax and distances of
    embeddings need its precision and range.
    """

    def conv(
        self,
        x: Tensor,
        filters: int,
        kernel: int | tuple[int, int],
        *,
        name: str,
        stride: int = 1,
        padding: Padding = SYMMETRIC,
        bias: bool = False,
        output: bool = False,
    ) -> Tensor:
        """A convolution; `kernel` is a side or (height, width), odd where the padding is symmetric."""
        size = (kernel, kernel) if isinstance(kernel, int) else kernel
        x, word = self._padded(x, size, stride, padding, name)
        operator = Conv(filters, size, (stride, stride), word, bias=bias, initializer=HE_NORMAL)
        return self._layer(operator, x, name=name, output=output)

    def depthwise_conv(
        self,
        x: Tensor,
        kernel: int,
        *,
        name: str,
        stride: int = 1,
        padding: Padding = SYMMETRIC,
        multiplier: int = 1,
    ) -> Tensor:
        """A convolution of each channel by itself to `multiplier` channels; `name` must say "depthwise"."""
        size = (kernel, kernel)
        x, word = self._padded(x, size, stride, padding, name)
        operator = DepthwiseConv(
            size, (stride, stride), word, multiplier=multiplier, bias=False, initializer=HE_NORMAL
        )
        return self._layer(operator, x, name=name)

    def norm(self, x: Tensor, *, name: str, epsilon: float, momentum: float, scale: bool = True) -> Tensor:
        """A batch normalization over the channels; without `scale` there is no gamma."""
        return self._layer(BatchNorm(epsilon, momentum, scale=scale), x, name=name)

    def layer_norm(self, x: Tensor, *, name: str, epsilon: float) -> Tensor:
        """A normalization of each position over its channels."""
        return self._layer(LayerNorm(epsilon), x, name=name)

    def relu(self, x: Tensor, *, name: str, limit: float | None = None) -> Tensor:
        """max(x, 0), or min(max(x, 0), limit): a limit of 6 makes ReLU6."""
        return self._layer(ReLU(limit), x, name=name)

    def leaky_relu(self, x: Tensor, slope: float, *, name: str) -> Tensor:
        """x where it is positive, and slope * x below zero."""
        return self._layer(LeakyReLU(slope), x, name=name)

    def add(self, branches: Sequence[Tensor], *, name: str) -> Tensor:
        return self._layer(Add(), *branches, name=name)

    def scale(self, x: Tensor, factor: float, *, name: str) -> Tensor:
        """The input times a constant."""
        return self._layer(Rescale(factor), x, name=name)

    def concat(self, branches: Sequence[Tensor], *, name: str) -> Tensor:
        """The branches one after the other along the channels."""
        return self._layer(Concat(), *branches, name=name)

    def reshape(self, x: Tensor, shape: tuple[int, ...], *, name: str) -> Tensor:
        """The same values in the same order; `shape` is without the batch."""
        return self._layer(Reshape(shape), x, name=name)

    def permute(self, x: Tensor, axes: tuple[int, ...], *, name: str) -> Tensor:
        """The axes in this order, counted from 1: the batch stays first."""
        return self._layer(Permute(axes), x, name=name)

    def max_pool(
        self, x: Tensor, size: int, *, stride: int, name: str, padding: Padding = SYMMETRIC
    ) -> Tensor:
        """A max pooling; symmetric padding is with zeros, so its input must come from a ReLU."""
        window = (size, size)
        x, word = (self._pad(x, window, name), "valid") if padding == SYMMETRIC else (x, padding)
        return self._layer(MaxPool(window, (stride, stride), word), x, name=name)

    def average_pool(
        self,
        x: Tensor,
        size: int,
        *,
        name: str,
        stride: int | None = None,
        padding: Literal["same", "valid"] = "same",
    ) -> Tensor:
        """An average pooling, of stride `size` unless given; a window at the edge averages what it has."""
        step = stride or size
        return self._layer(AveragePool((size, size), (step, step), padding), x, name=name)

    def shift(self, x: Tensor, *, name: str) -> Tensor:
        """The map moved by one pixel up and to the left; its last row and column become zeros."""
        x = self._layer(ZeroPadding(((0, 1), (0, 1))), x, name=f"{name}_pad")
        return self._layer(Cropping(((1, 0), (1, 0))), x, name=name)

    def global_pool(self, x: Tensor, kind: Reduction, *, name: str, output: bool = False) -> Tensor:
        """The average ("avg") or maximum ("max") over height and width: (batch, channels)."""
        return self._layer(GlobalPool(kind), x, name=name, output=output)

    def dense(self, x: Tensor, units: int, *, name: str, output: bool = False) -> Tensor:
        return self._layer(Dense(units), x, name=name, output=output)

    def activation(self, x: Tensor, function: str, *, name: str, output: bool = False) -> Tensor:
        """An activation, by its name in graph.elementwise or in Keras. Raises ValueError for others."""
        operator = Activation(cast(Function, OTHER_NAMES.get(function, function)))
        return self._layer(operator, x, name=name, output=output)

    def _layer(self, operator: Operator, *inputs: Tensor, name: str, output: bool = False) -> Tensor:
        return self.add_node(operator, *inputs, name=name, layer=name, precise=output)

    def _padded(
        self, x: Tensor, kernel: tuple[int, int], stride: int, padding: Padding, name: str
    ) -> tuple[Tensor, Literal["same", "valid"]]:
        """The input, and the word for what remains to be padded."""
        if padding != SYMMETRIC:
            return x, padding
        if stride == 1:
            return x, "same"  # at stride 1 and odd kernels the same as padding by hand, and faster
        return self._pad(x, kernel, name), "valid"

    def _pad(self, x: Tensor, kernel: tuple[int, int], name: str) -> Tensor:
        """Zeros on every side, half a kernel wide."""
        height, width = ((side - 1) // 2 for side in kernel)
        if (height, width) == (0, 0):
            return x
        return self._layer(ZeroPadding(((height, height), (width, width))), x, name=f"{name}_pad")
