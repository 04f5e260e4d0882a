"""Operators that move values and compute none: padding, cropping, joining, reshaping, enlarging."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from modelzoo.graph.operator import Dimension, Operator, Shape, channels_of, check_map
from modelzoo.graph.windows import Margins, Pair, margins


@dataclass(frozen=True)
class ZeroPadding(Operator):
    """Zeros around a map: ((top, bottom), (left, right)) pixels of them."""

    margins: Margins

    def shape(self, *inputs: Shape) -> Shape:
        return _wider(inputs[0], self.margins)


@dataclass(frozen=True)
class SamePadding(Operator):
    """The zeros that TensorFlow's "same" puts around a map for windows of this size and stride."""

    size: Pair
    stride: Pair

    def shape(self, *inputs: Shape) -> Shape:
        found = self.margins(inputs[0])
        if found is None:
            batch, _, _, channels = inputs[0]
            return batch, None, None, channels
        return _wider(inputs[0], found)

    def margins(self, shape: Shape) -> Margins | None:
        """The pixels that are padded around a map of this shape; None if they depend on an unknown side."""
        check_map(shape)
        return margins("same", shape[1:3], self.size, self.stride)


@dataclass(frozen=True)
class Cropping(Operator):
    """A map without ((top, bottom), (left, right)) pixels at its edges."""

    margins: Margins

    def shape(self, *inputs: Shape) -> Shape:
        (top, bottom), (left, right) = self.margins
        return _wider(inputs[0], ((-top, -bottom), (-left, -right)))


@dataclass(frozen=True)
class Concat(Operator):
    """The inputs one after the other along an axis, the last one being -1."""

    axis: int = -1
    arity = (1, None)

    def shape(self, *inputs: Shape) -> Shape:
        rank = len(inputs[0])
        if not -rank <= self.axis < rank:
            raise ValueError(f"Expected one of {rank} axes, got {self.axis}.")
        along = self.axis % rank
        rest = [[side for axis, side in enumerate(shape) if axis != along] for shape in inputs]
        if any(len(shape) != rank for shape in inputs) or not all(_equal(rest[0], other) for other in rest):
            raise ValueError(
                f"Expected maps that differ along axis {along}, got {', '.join(map(str, inputs))}."
            )
        sides = [shape[along] for shape in inputs]
        total = None if None in sides else sum(side for side in sides if side is not None)
        return *inputs[0][:along], total, *inputs[0][along + 1 :]


@dataclass(frozen=True)
class Reshape(Operator):
    """The same values in the same order. `target` is without the batch; one side of it may be -1."""

    target: tuple[int, ...]

    def shape(self, *inputs: Shape) -> Shape:
        if self.target.count(-1) > 1:
            raise ValueError(f"Expected at most one side of -1 to reshape to, got {self.target}.")
        sides, known = inputs[0][1:], math.prod(side for side in self.target if side != -1)
        if None in sides:
            return inputs[0][0], *(None if side == -1 else side for side in self.target)
        total = math.prod(side for side in sides if side is not None)
        rest = total // known if -1 in self.target and known else 1
        if known * rest != total:
            raise ValueError(f"Expected {known} values to reshape to {self.target}, got {total}.")
        return inputs[0][0], *(rest if side == -1 else side for side in self.target)


@dataclass(frozen=True)
class Flatten(Operator):
    """All values of an image in a row: (batch, values)."""

    def shape(self, *inputs: Shape) -> Shape:
        sides = inputs[0][1:]
        if None in sides:
            return inputs[0][0], None
        return inputs[0][0], math.prod(side for side in sides if side is not None)


@dataclass(frozen=True)
class Permute(Operator):
    """The axes in this order, counted from 1: the batch stays first."""

    axes: tuple[int, ...]

    def shape(self, *inputs: Shape) -> Shape:
        if sorted(self.axes) != list(range(1, len(inputs[0]))):
            raise ValueError(f"Expected an order of {len(inputs[0]) - 1} axes, got {self.axes}.")
        return inputs[0][0], *(inputs[0][axis] for axis in self.axes)


@dataclass(frozen=True)
class UpSampling(Operator):
    """A map `size` times as high and wide. Bilinear is with half-pixel centers, and repeats the edge."""

    size: Pair
    interpolation: Literal["nearest", "bilinear"] = "nearest"

    def shape(self, *inputs: Shape) -> Shape:
        check_map(inputs[0])
        batch, height, width, _ = inputs[0]
        rows = None if height is None else height * self.size[0]
        columns = None if width is None else width * self.size[1]
        return batch, rows, columns, channels_of(inputs[0])


def _wider(shape: Shape, margins: Margins) -> Shape:
    check_map(shape)
    sides = [
        None if side is None else side + sum(pair) for side, pair in zip(shape[1:3], margins, strict=True)
    ]
    if any(side is not None and side < 1 for side in sides):
        raise ValueError(f"Expected a map larger than what is cropped, got the shape {shape}.")
    return shape[0], *sides, shape[-1]


def _equal(sides: list[Dimension], others: list[Dimension]) -> bool:
    """Whether no two known sides differ."""
    return all(a is None or b is None or a == b for a, b in zip(sides, others, strict=True))
