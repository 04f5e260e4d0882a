"""Sums, differences, products and quotients of a network's values and constants -> operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from modelzoo.graph import Operator
from modelzoo.graph.elementwise import Add, Multiply, Subtract
from modelzoo.graph.normalization import BatchNorm, ChannelScale, Rescale
from modelzoo.importers.constants import array_of
from modelzoo.importers.network import Site, Translate
from modelzoo.importers.values import Array, Value

FEW = 4  # channels of images, whose constants are numbers of the graph rather than weights
SUMS = ("Add", "AddV2", "BiasAdd")


def each(operator: Operator) -> Translate:
    """An operator on each value by itself."""
    return lambda at: Value(at.add(operator, at.value().tensor), at.value().order)


def arithmetic(kind: str) -> Translate:
    """A sum, difference, product or quotient of values, or of one with a constant."""

    def translate(at: Site) -> Value:
        fixed = [number for number in range(len(at.node.inputs)) if at.is_constant(number)]
        if not fixed:
            operators: dict[str, Callable[[], Operator]] = {"Add": Add, "Mul": Multiply, "Sub": Subtract}
            if kind not in operators:
                raise ValueError("no operator divides one value by another")
            tensors, order = at.reading.alike([at.value(n) for n in range(len(at.node.inputs))])
            if len(tensors) == 1:
                return at.value()
            return Value(at.add(operators[kind](), *tensors, arithmetic=True), order)
        if len(at.node.inputs) != 2:
            raise ValueError("expected two inputs")
        return _with_constant(at, kind, fixed[0])

    return translate


def _with_constant(at: Site, kind: str, number: int) -> Value:
    x, constant = at.value(1 - number), at.shape_of(number)
    axis = _axis(constant, x.rank)
    if axis is None:
        raise ValueError(f"no operator has a constant of shape {constant}, only one for each channel")
    if max(constant, default=1) > 1:
        x = at.reading.last(x, axis)
    values = at.array(number).astype(np.float64).reshape(-1)
    if len(values) not in (1, x.tensor.shape[-1]):
        raise ValueError(f"expected a constant for values of shape {x.shape}, got one of {constant}")
    if kind == "Mul" and len(values) > FEW:
        return _scaled(at, x, at.later(number), axis)
    operator = _rescaled(kind, values, first=number == 0)
    found = at.add(operator, x.tensor, arithmetic=len(values) == 1)
    return Value(found, x.order)


def _scaled(at: Site, x: Value, later: Array, axis: int) -> Value:
    """A product with weights, and the sum with others that may follow: a batch norm, as it is used."""
    name, channels = at.name, x.tensor.channels
    weights: dict[str, Array] = {"kernel": lambda: later().reshape(-1)}
    offset = added(at, axis, x.rank, channels)
    if offset is None:
        return Value(at.add(ChannelScale(), x.tensor, name=name, weights=weights), x.order)
    weights = {
        "gamma": weights["kernel"],
        "beta": offset,
        "moving_mean": lambda: np.zeros(channels, np.float32),
        "moving_variance": lambda: np.ones(channels, np.float32),
    }
    return Value(at.add(BatchNorm(epsilon=0.0), x.tensor, name=name, weights=weights), x.order)


def added(at: Site, axis: int, rank: int, channels: int) -> Array | None:
    """The constant for each channel that is added to the output, and to nothing else; it is taken over."""
    following = at.only_use(*SUMS)
    for name in following.inputs if following is not None else ():
        constant = at.constant_named(name)
        if constant is None or following is None:
            continue
        shape = tuple(constant.shape)
        along = rank - 1 if following.kind == "BiasAdd" else _axis(shape, rank)
        if along == axis and max(shape, default=1) == channels == np.prod(shape):
            at.takes_over(following)
            return lambda: np.asarray(array_of(constant), np.float32).reshape(-1)
    return None


def _axis(constant: tuple[int, ...], rank: int) -> int | None:
    """The axis along which a constant differs, the last one if it is one number; None if there are more."""
    shape = (1,) * (rank - len(constant)) + constant
    wide = [axis for axis, side in enumerate(shape) if side != 1]
    if len(shape) != rank or len(wide) > 1 or wide == [0]:
        return None
    return wide[0] if wide else rank - 1


def _rescaled(kind: str, values: np.ndarray, *, first: bool) -> Rescale:
    def numbers(found: np.ndarray) -> Any:
        if not np.isfinite(found).all():
            raise ValueError("a constant is not finite")
        return float(found[0]) if len(found) == 1 else tuple(found.tolist())

    if kind == "Add":
        return Rescale(1.0, numbers(values))
    if kind == "Sub":
        return Rescale(-1.0, numbers(values)) if first else Rescale(1.0, numbers(-values))
    if kind == "Mul":
        return Rescale(numbers(values))
    if first or (values == 0).any():
        raise ValueError("no operator divides by a value")
    return Rescale(numbers(1 / values))
