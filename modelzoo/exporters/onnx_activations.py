"""Activations in ONNX: functions of single values, some of which take several of its operators."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from modelzoo.exporters.onnx_values import Site, Value, plain
from modelzoo.graph.elementwise import ELU, Activation, LeakyReLU, PReLU, ReLU


def activation(at: Site, op: Activation, x: Value) -> Value:
    return FUNCTIONS[op.function](at, op, x)


def _simple(kind: str) -> Callable[..., Value]:
    return lambda at, op, x: Value(at.emit(kind, [x.tensor]), x.order)


def _clip(at: Site, x: Value, limit: float) -> Value:
    if at.values.opset < 11:
        return Value(at.emit("Clip", [x.tensor], min=0.0, max=float(limit)), x.order)
    bounds = (at.numbers("least", np.zeros(())), at.numbers("most", np.array(limit, np.float64)))
    return Value(at.emit("Clip", [x.tensor, *bounds]), x.order)


def relu(at: Site, op: ReLU, x: Value) -> Value:
    return _simple("Relu")(at, op, x) if op.limit is None else _clip(at, x, op.limit)


def leaky_relu(at: Site, op: LeakyReLU, x: Value) -> Value:
    return Value(at.emit("LeakyRelu", [x.tensor], alpha=float(op.slope)), x.order)


def elu(at: Site, op: ELU, x: Value) -> Value:
    return Value(at.emit("Elu", [x.tensor], alpha=float(op.alpha)), x.order)


def prelu(at: Site, op: PReLU, x: Value) -> Value:
    order, shape = x.order, (1, *at.size("alpha"))
    arranged = [shape[axis] for axis in order]
    alpha = at.weight("alpha", arranged, lambda array: array[np.newaxis].transpose(order), order)
    return Value(at.emit("PRelu", [x.tensor, alpha]), order)


def _softmax(at: Site, op: Activation, x: Value) -> Value:
    if at.values.opset < 13:  # it took all axes from the given one on together
        x = Value(at.plain(x), plain(len(x.order)))
    return Value(at.emit("Softmax", [x.tensor], axis=x.order.index(len(x.order) - 1)), x.order)


def _gelu(at: Site, op: Activation, x: Value) -> Value:
    """x / 2 * (1 + erf(x / sqrt 2)), in the pattern that runtimes fuse into one operator."""
    root = at.numbers("root", np.array(math.sqrt(2)))
    erf = at.emit("Erf", [at.emit("Div", [x.tensor, root], "divided")], "erf")
    return _half_times(at, x, erf)


def _gelu_tanh(at: Site, op: Activation, x: Value) -> Value:
    """x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x ** 3)))."""
    cube = at.emit("Pow", [x.tensor, at.numbers("three", np.array(3.0))], "cube")
    part = at.emit("Mul", [cube, at.numbers("share", np.array(0.044715))], "part")
    total = at.emit("Add", [x.tensor, part], "total")
    scaled = at.emit("Mul", [total, at.numbers("factor", np.array(math.sqrt(2 / math.pi)))], "scaled")
    return _half_times(at, x, at.emit("Tanh", [scaled], "tanh"))


def _half_times(at: Site, x: Value, function: str) -> Value:
    more = at.emit("Add", [function, at.numbers("one", np.array(1.0))], "more")
    product = at.emit("Mul", [x.tensor, more], "product")
    return Value(at.emit("Mul", [product, at.numbers("half", np.array(0.5))]), x.order)


def _hard_sigmoid(at: Site, op: Activation, x: Value) -> Value:
    return Value(at.emit("HardSigmoid", [x.tensor], alpha=1 / 6, beta=0.5), x.order)


def _hard_silu(at: Site, op: Activation, x: Value) -> Value:
    if at.values.opset >= 14:
        return Value(at.emit("HardSwish", [x.tensor]), x.order)
    gate = at.emit("HardSigmoid", [x.tensor], "gate", alpha=1 / 6, beta=0.5)
    return Value(at.emit("Mul", [x.tensor, gate]), x.order)


def _silu(at: Site, op: Activation, x: Value) -> Value:
    return Value(at.emit("Mul", [x.tensor, at.emit("Sigmoid", [x.tensor], "sigmoid")]), x.order)


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "elu": lambda at, op, x: elu(at, ELU(1.0), x),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": _hard_silu,
    "linear": lambda at, op, x: x,
    "relu": _simple("Relu"),
    "relu6": lambda at, op, x: _clip(at, x, 6.0),
    "sigmoid": _simple("Sigmoid"),
    "silu": _silu,
    "softmax": _softmax,
    "softplus": _simple("Softplus"),
    "softsign": _simple("Softsign"),
    "tanh": _simple("Tanh"),
}
