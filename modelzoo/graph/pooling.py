"""Operators that reduce a map: poolings by windows, and over the whole map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from modelzoo.graph.operator import Operator, Shape, channels_of, check_map
from modelzoo.graph.windows import Padding, Pair, output_sides

Reduction = Literal["avg", "max"]


@dataclass(frozen=True)
class MaxPool(Operator):
    """The maximum in each window; what is padded does not count."""

    size: Pair
    stride: Pair
    padding: Padding = "valid"

    def shape(self, *inputs: Shape) -> Shape:
        sides = output_sides(inputs[0], self.size, self.stride, self.padding)
        return inputs[0][0], *sides, channels_of(inputs[0])


@dataclass(frozen=True)
class AveragePool(Operator):
    """The mean of each window; a window at the edge averages what it has."""

    size: Pair
    stride: Pair
    padding: Padding = "valid"

    def shape(self, *inputs: Shape) -> Shape:
        sides = output_sides(inputs[0], self.size, self.stride, self.padding)
        return inputs[0][0], *sides, channels_of(inputs[0])


@dataclass(frozen=True)
class GlobalPool(Operator):
    """The mean ("avg") or maximum ("max") over height and width: (batch, channels).

    Where the sides are kept it is (batch, 1, 1, channels).
    """

    reduction: Reduction = "avg"
    keep_sides: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        check_map(inputs[0])
        batch, channels = inputs[0][0], channels_of(inputs[0])
        return (batch, 1, 1, channels) if self.keep_sides else (batch, channels)
