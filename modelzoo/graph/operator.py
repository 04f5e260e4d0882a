"""What every operator states: the shape of its output, the weights that it has, and what it costs.

Shapes begin with the batch, and channels come last. A dimension that is not known before the images are is
None: the batch always, height and width often, a channel never.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Dimension = int | None
Shape = tuple[Dimension, ...]
Fan = Literal["fan_in", "fan_out", "fan_avg"]
Distribution = Literal["constant", "uniform", "normal", "truncated_normal", "untruncated_normal"]


@dataclass(frozen=True)
class Initializer:
    """The values that a weight begins with where a network is trained from scratch.

    Of a "constant" `scale` is the value. With a `fan` it is that of variance scaling (He et al. 2015,
    https://arxiv.org/abs/1502.01852), the variance times the fan; without, the standard deviation, or half
    the width of a uniform distribution. All others have a mean of 0.
    """

    distribution: Distribution
    scale: float = 1.0
    fan: Fan | None = None


ZEROS = Initializer("constant", 0.0)
ONES = Initializer("constant", 1.0)
GLOROT_UNIFORM = Initializer("uniform", 1.0, "fan_avg")  # Glorot and Bengio 2010
HE_NORMAL = Initializer("untruncated_normal", 2.0, "fan_out")  # keeps the variance backwards through a ReLU


@dataclass(frozen=True)
class Weight:
    """A weight of an operator: its name there, which Keras' layers share, and its shape."""

    name: str
    shape: tuple[int, ...]
    initializer: Initializer = ZEROS
    trainable: bool = True

    @property
    def size(self) -> int:
        """The number of its values."""
        return math.prod(self.shape)


class Operator:
    """The base of all operators. Each is a frozen dataclass of its attributes: equal ones do the same."""

    arity: tuple[int, int | None] = (1, 1)  # the least and the largest number of inputs; None: any number

    def shape(self, *inputs: Shape) -> Shape:
        """The output's shape; raises ValueError for inputs that the operator cannot take."""
        return inputs[0]

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """The weights that the operator has for such inputs, in the order of Keras' layers."""
        return ()

    def multiply_adds(self, inputs: Sequence[Shape], output: Shape) -> int | None:
        """Multiplications, each with its addition, for one image; None where height or width is unknown.

        As is usual, only products of weights with the input count.
        """
        return 0


def positions(shape: Shape) -> int | None:
    """How many places a map has, its batch and channels aside; None if that is not known."""
    known = [side for side in shape[1:-1] if side is not None]
    return math.prod(known) if len(known) == len(shape) - 2 else None


def times(positions: int | None, each: int) -> int | None:
    """The product, unknown where the positions are."""
    return None if positions is None else positions * each


def channels_of(shape: Shape) -> int:
    """The last dimension; raises ValueError where it is not known."""
    if not shape or shape[-1] is None:
        raise ValueError(f"Expected a known number of channels, got the shape {shape}.")
    return shape[-1]


def check_map(shape: Shape) -> None:
    """Raises ValueError unless this is the shape of images or a feature map."""
    if len(shape) != 4:
        raise ValueError(f"Expected (batch, height, width, channels), got the shape {shape}.")
