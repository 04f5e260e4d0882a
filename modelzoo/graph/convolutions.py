"""Operators with a kernel, which lies as Keras keeps it: convolutions of all kinds, and the dense layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelzoo.graph.operator import (
    GLOROT_UNIFORM,
    ZEROS,
    Dimension,
    Initializer,
    Operator,
    Shape,
    Weight,
    channels_of,
    check_map,
    positions,
    times,
)
from modelzoo.graph.windows import Padding, Pair, extent, output_sides

ONE: Pair = (1, 1)
BIAS = "bias"


class Product(Operator):
    """The base of operators whose kernels meet every place of the output."""

    def multiply_adds(self, inputs: Sequence[Shape], output: Shape) -> int | None:
        kernels = [weight for weight in self.weights(*inputs) if weight.name != BIAS]
        return times(positions(output), sum(kernel.size for kernel in kernels))


@dataclass(frozen=True)
class Conv(Product):
    """A convolution. kernel: (height, width, channels / groups, filters)."""

    filters: int
    kernel: Pair
    stride: Pair = ONE
    padding: Padding = "valid"
    dilation: Pair = ONE
    groups: int = 1
    bias: bool = True
    initializer: Initializer = GLOROT_UNIFORM

    def shape(self, *inputs: Shape) -> Shape:
        sides = output_sides(inputs[0], extent(self.kernel, self.dilation), self.stride, self.padding)
        return inputs[0][0], *sides, self.filters

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        channels = channels_of(inputs[0])
        if channels % self.groups or self.filters % self.groups:
            raise ValueError(
                f"Expected channels and filters that {self.groups} groups divide, "
                f"got {channels} and {self.filters}."
            )
        kernel = Weight("kernel", (*self.kernel, channels // self.groups, self.filters), self.initializer)
        return kernel, *_bias(self.bias, self.filters)


@dataclass(frozen=True)
class DepthwiseConv(Product):
    """A convolution of each channel by itself. kernel: (height, width, channels, multiplier).

    A channel's outputs lie side by side.
    """

    kernel: Pair
    stride: Pair = ONE
    padding: Padding = "valid"
    dilation: Pair = ONE
    multiplier: int = 1
    bias: bool = True
    initializer: Initializer = GLOROT_UNIFORM

    def shape(self, *inputs: Shape) -> Shape:
        sides = output_sides(inputs[0], extent(self.kernel, self.dilation), self.stride, self.padding)
        return inputs[0][0], *sides, channels_of(inputs[0]) * self.multiplier

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        channels = channels_of(inputs[0])
        kernel = Weight("kernel", (*self.kernel, channels, self.multiplier), self.initializer)
        return kernel, *_bias(self.bias, channels * self.multiplier)


@dataclass(frozen=True)
class SeparableConv(Product):
    """A depthwise convolution and one of 1x1 after it.

    depthwise_kernel: (height, width, channels, multiplier); pointwise_kernel: (1, 1, channels * multiplier,
    filters).
    """

    filters: int
    kernel: Pair
    stride: Pair = ONE
    padding: Padding = "valid"
    dilation: Pair = ONE
    multiplier: int = 1
    bias: bool = True
    initializer: Initializer = GLOROT_UNIFORM

    def shape(self, *inputs: Shape) -> Shape:
        sides = output_sides(inputs[0], extent(self.kernel, self.dilation), self.stride, self.padding)
        return inputs[0][0], *sides, self.filters

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        channels = channels_of(inputs[0])
        return (
            Weight("depthwise_kernel", (*self.kernel, channels, self.multiplier), self.initializer),
            Weight("pointwise_kernel", (1, 1, channels * self.multiplier, self.filters), self.initializer),
            *_bias(self.bias, self.filters),
        )


@dataclass(frozen=True)
class TransposedConv(Operator):
    """The gradient of a convolution by its input, which makes a map larger by the stride.

    kernel: (height, width, filters, channels). "valid" and "same" are those of the convolution whose gradient
    it is: with "same" the sides are the input's times the stride.
    """

    filters: int
    kernel: Pair
    stride: Pair = ONE
    padding: Padding = "valid"
    bias: bool = True
    initializer: Initializer = GLOROT_UNIFORM

    def shape(self, *inputs: Shape) -> Shape:
        check_map(inputs[0])
        height, width = (self._side(side, axis) for axis, side in enumerate(inputs[0][1:3]))
        return inputs[0][0], height, width, self.filters

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        kernel = Weight("kernel", (*self.kernel, self.filters, channels_of(inputs[0])), self.initializer)
        return kernel, *_bias(self.bias, self.filters)

    def multiply_adds(self, inputs: Sequence[Shape], output: Shape) -> int | None:
        return times(positions(inputs[0]), self.weights(*inputs)[0].size)

    def _side(self, side: Dimension, axis: int) -> Dimension:
        if side is None:
            return None
        if self.padding == "same":
            return side * self.stride[axis]
        if self.padding == "valid":
            return side * self.stride[axis] + max(self.kernel[axis] - self.stride[axis], 0)
        found = (side - 1) * self.stride[axis] + self.kernel[axis] - sum(self.padding[axis])
        if found < 1:
            raise ValueError(f"Expected margins smaller than the map, got {self.padding}.")
        return found


@dataclass(frozen=True)
class Dense(Product):
    """A product with a matrix, at each place of the input. kernel: (channels, units)."""

    units: int
    bias: bool = True
    initializer: Initializer = GLOROT_UNIFORM

    def shape(self, *inputs: Shape) -> Shape:
        return *inputs[0][:-1], self.units

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        kernel = Weight("kernel", (channels_of(inputs[0]), self.units), self.initializer)
        return kernel, *_bias(self.bias, self.units)


def _bias(present: bool, size: int) -> tuple[Weight, ...]:
    return (Weight(BIAS, (size,), ZEROS),) if present else ()
