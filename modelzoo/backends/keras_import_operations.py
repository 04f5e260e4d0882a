"""What an operation in a functional keras.Model that is no layer, such as `x + y`, is in operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from modelzoo.backends.keras_import_options import FUNCTIONS, as_tuple, is_kerass_own, refusal
from modelzoo.errors import quoted
from modelzoo.graph import Operator, Tensor
from modelzoo.graph.elementwise import ELU, Activation, Add, LeakyReLU, Multiply, Subtract
from modelzoo.graph.normalization import Normalization, Rescale
from modelzoo.graph.pooling import GlobalPool
from modelzoo.graph.shaping import Concat, Permute, Reshape

Value = Tensor | np.ndarray  # an input of an operation: a value of the graph, or a constant


@dataclass(frozen=True)
class Applied:
    """An operation, the inputs of one call of it, and its options."""

    operation: keras.Operation
    inputs: tuple[Value, ...]
    options: Mapping[str, Any]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(x for x in self.inputs if isinstance(x, Tensor))

    def refusal(self, what: str) -> ValueError:
        return refusal(self.operation, what)

    def last_axis(self, default: Any = -1) -> None:
        axis = self.options.get("axis", default)
        if axis not in (-1, len(self.tensors[0].shape) - 1):
            raise self.refusal(f"no operator has axis={quoted(axis)}, only the last one")


def operator_of(
    operation: keras.Operation, inputs: Sequence[Value], options: Mapping[str, Any]
) -> tuple[Operator, tuple[Tensor, ...], bool]:
    """The operator, its inputs, and whether it is plain arithmetic, for which no layer is needed.

    `options` are the call's by name; the operation's own configuration is read here. Raises ValueError, which
    names the operation and its class, for one that operators cannot express.
    """
    translate = OPERATIONS.get(type(operation).__name__) if is_kerass_own(operation) else None
    if translate is None:
        raise refusal(operation, "no operator does what this operation does")
    own = {name: value for name, value in operation.get_config().items() if name != "name"}
    applied = Applied(operation, tuple(inputs), {**own, **options})
    operator = translate(applied)
    scalar = isinstance(operator, Rescale) and not any(
        isinstance(x, tuple) for x in (operator.scale, operator.offset)
    )
    return operator, applied.tensors, scalar or isinstance(operator, (Add, Multiply, Subtract))


def _constant(applied: Applied) -> tuple[float | tuple[float, ...] | None, bool]:
    """The constant of two inputs, a number or one for each channel, and whether it comes first."""
    if len(applied.inputs) != 2 or not applied.tensors:
        raise applied.refusal(f"expected two inputs, got {len(applied.inputs)}")
    first = isinstance(applied.inputs[0], np.ndarray)
    constant = applied.inputs[0 if first else 1]
    if isinstance(constant, Tensor):
        return None, False
    shape = applied.tensors[0].shape
    if constant.size == 1 and constant.ndim <= len(shape):
        return float(constant.reshape(())), first
    if constant.ndim > len(shape) or constant.shape != (*(1,) * (constant.ndim - 1), shape[-1]):
        raise applied.refusal(
            f"no operator has a constant of shape {constant.shape}, only one for each channel"
        )
    return tuple(constant.reshape(-1).tolist()), first


def _negative(constant: float | tuple[float, ...]) -> float | tuple[float, ...]:
    return tuple(-x for x in constant) if isinstance(constant, tuple) else -constant


def _add(applied: Applied) -> Operator:
    constant, _ = _constant(applied)
    return Add() if constant is None else Rescale(1.0, constant)


def _subtract(applied: Applied) -> Operator:
    constant, first = _constant(applied)
    if constant is None:
        return Subtract()
    return Rescale(-1.0, constant) if first else Rescale(1.0, _negative(constant))


def _multiply(applied: Applied) -> Operator:
    constant, _ = _constant(applied)
    return Multiply() if constant is None else Rescale(constant)


def _divide(applied: Applied) -> Operator:
    """A product where that rounds to the same, or else a normalization, which divides."""
    constant, first = _constant(applied)
    if constant is None or first:
        raise applied.refusal("no operator divides by a value")
    channels = applied.tensors[0].shape[-1]
    each = np.asarray(constant, np.float32)
    if (np.abs(np.frexp(each)[0]) == 0.5).all():  # powers of two
        inverse = 1 / each
        return Rescale(tuple(inverse.tolist()) if isinstance(constant, tuple) else float(inverse))
    squares = each * each
    if channels is None or (each <= 0).any() or (np.sqrt(squares) != each).any():
        raise applied.refusal(f"no operator divides by {quoted(constant)}; multiply by its inverse instead")
    return Normalization((0.0,) * channels, tuple(np.broadcast_to(squares, (channels,)).tolist()))


def _gelu(applied: Applied) -> Operator:
    return Activation("gelu_tanh" if applied.options.get("approximate", True) else "gelu")


def _softmax(applied: Applied) -> Operator:
    applied.last_axis()
    return Activation("softmax")


def _concatenate(applied: Applied) -> Operator:
    axis = applied.options.get("axis", 0)
    rank = len(applied.tensors[0].shape)
    if axis is None or axis % rank == 0 or len(applied.tensors) != len(applied.inputs):
        raise applied.refusal(f"no operator has axis={quoted(axis)}, or joins constants")
    return Concat(-1 if axis % rank == rank - 1 else axis)


def _reduce(reduction: Any) -> Callable[[Applied], Operator]:
    def translate(applied: Applied) -> Operator:
        axis, rank = applied.options.get("axis"), len(applied.tensors[0].shape)
        axes: tuple[Any, ...] = as_tuple(axis) if isinstance(axis, (list, tuple)) else (axis,)
        if rank != 4 or None in axes or sorted(number % rank for number in axes) != [1, 2]:
            raise applied.refusal(f"no operator has axis={quoted(axis)}, only height and width")
        if applied.options.get("initial") is not None:
            raise applied.refusal(f"no operator has initial={quoted(applied.options['initial'])}")
        return GlobalPool(reduction, bool(applied.options.get("keepdims", False)))

    return translate


def _reshape(applied: Applied) -> Operator:
    target, shape = as_tuple(applied.options.get("newshape")), applied.tensors[0].shape
    if not isinstance(target, tuple) or not target or target[0] not in (-1, None) or -1 in target[1:]:
        raise applied.refusal(
            f"no operator has newshape={quoted(target)}: the batch must be -1, and no other side"
        )
    if None in shape[1:]:
        raise applied.refusal(f"no operator reshapes batches of {shape}, whose sides are unknown")
    return Reshape(target[1:])


def _transpose(applied: Applied) -> Operator:
    axes = as_tuple(applied.options.get("axes"))
    if not isinstance(axes, tuple) or axes[0] != 0:
        raise applied.refusal(f"no operator has axes={quoted(axes)}: the batch must stay first")
    return Permute(axes[1:])


def _leaky_relu(applied: Applied) -> Operator:
    return LeakyReLU(float(applied.options.get("negative_slope", 0.2)))


def _elu(applied: Applied) -> Operator:
    return ELU(float(applied.options.get("alpha", 1.0)))


OPERATIONS: dict[str, Callable[[Applied], Operator]] = {
    "Add": _add,
    "Subtract": _subtract,
    "Multiply": _multiply,
    "Divide": _divide,
    "TrueDivide": _divide,
    "Negative": lambda applied: Rescale(-1.0),
    "Relu": lambda applied: FUNCTIONS["relu"],
    "Relu6": lambda applied: FUNCTIONS["relu6"],
    "Sigmoid": lambda applied: FUNCTIONS["sigmoid"],
    "Silu": lambda applied: FUNCTIONS["silu"],
    "HardSigmoid": lambda applied: FUNCTIONS["hard_sigmoid"],
    "HardSilu": lambda applied: FUNCTIONS["hard_silu"],
    "Softplus": lambda applied: FUNCTIONS["softplus"],
    "Softsign": lambda applied: FUNCTIONS["softsign"],
    "Tanh": lambda applied: FUNCTIONS["tanh"],
    "Gelu": _gelu,
    "Softmax": _softmax,
    "LeakyRelu": _leaky_relu,
    "Elu": _elu,
    "Concatenate": _concatenate,
    "Mean": _reduce("avg"),
    "Max": _reduce("max"),
    "Reshape": _reshape,
    "Transpose": _transpose,
}
