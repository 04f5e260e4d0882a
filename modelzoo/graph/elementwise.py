"""Operators on single values: sums and products of maps, and activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from modelzoo.graph.operator import ZEROS, Dimension, Initializer, Operator, Shape, Weight

Function = Literal[
    "elu",
    "gelu",
    "gelu_tanh",
    "hard_sigmoid",
    "hard_silu",
    "linear",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
]
FUNCTIONS: tuple[Function, ...] = get_args(Function)


@dataclass(frozen=True)
class Broadcasting(Operator):
    """The base of operators on several maps; a side of 1 is repeated as often as the others need."""

    arity = (2, None)

    def shape(self, *inputs: Shape) -> Shape:
        if len({len(shape) for shape in inputs}) != 1:
            raise ValueError(f"Expected maps of one rank, got {', '.join(map(str, inputs))}.")
        return tuple(_common(inputs, axis) for axis in range(len(inputs[0])))


@dataclass(frozen=True)
class Add(Broadcasting):
    """The sum of the inputs."""


@dataclass(frozen=True)
class Multiply(Broadcasting):
    """The product of the inputs."""


@dataclass(frozen=True)
class Subtract(Broadcasting):
    """The first input less the second."""

    arity = (2, 2)


@dataclass(frozen=True)
class Activation(Operator):
    """A function of each value, or with "softmax" of each place's channels.

    "gelu" has the error function, "gelu_tanh" its approximation; "hard_sigmoid" is relu6(x + 3) / 6 and
    "hard_silu" x times that; "elu" is exp(x) - 1 below zero; "linear" is the value itself.
    """

    function: Function

    def __post_init__(self) -> None:
        if self.function not in FUNCTIONS:
            raise ValueError(f"Expected an activation among {', '.join(FUNCTIONS)}, got {self.function!r}.")


@dataclass(frozen=True)
class ReLU(Operator):
    """max(x, 0), and not above `limit`: one of 6 makes ReLU6."""

    limit: float | None = None


@dataclass(frozen=True)
class LeakyReLU(Operator):
    """x where it is positive, and slope * x below zero."""

    slope: float = 0.3


@dataclass(frozen=True)
class ELU(Operator):
    """x where it is positive, and alpha * (exp(x) - 1) below zero."""

    alpha: float = 1.0


@dataclass(frozen=True)
class PReLU(Operator):
    """x where it is positive, and alpha * x below zero. alpha: the input's shape, 1 along `shared_axes`.

    The axes count from 1, the batch being 0.
    """

    shared_axes: tuple[int, ...] = ()
    initializer: Initializer = ZEROS

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        shape: list[int] = []
        for axis, side in enumerate(inputs[0][1:], start=1):
            if axis not in self.shared_axes and side is None:
                raise ValueError(f"Expected a known side along axis {axis} of PReLU, got {inputs[0]}.")
            shape.append(1 if axis in self.shared_axes or side is None else side)
        return (Weight("alpha", tuple(shape), self.initializer),)


@dataclass(frozen=True)
class Dropout(Operator):
    """In training, sets values to zero, `rate` of them, and scales up the others; otherwise the value itself.

    shape_of_noise: 1 along the axes that are kept or dropped as a whole; None for a side of the input's.
    """

    rate: float
    shape_of_noise: Shape | None = None


def _common(inputs: tuple[Shape, ...], axis: int) -> Dimension:
    """The dimension of the output; raises ValueError if two differ and neither is 1."""
    sides = {shape[axis] for shape in inputs} - {1}
    known = sides - {None}
    if len(known) > 1:
        raise ValueError(f"Expected maps of one shape, got {', '.join(map(str, inputs))}.")
    return next(iter(known or sides), 1)
