"""What each of ONNX's operations is in operators: one small function each."""

from __future__ import annotations

from collections.abc import Callable

from modelzoo.errors import quoted
from modelzoo.graph import Operator
from modelzoo.graph.elementwise import (
    ELU,
    Activation,
    Dropout,
    LeakyReLU,
    PReLU,
    ReLU,
)
from modelzoo.graph.normalization import BatchNorm, LayerNorm, Rescale
from modelzoo.graph.pooling import AveragePool, MaxPool
from modelzoo.importers import onnx_shaping as shaping
from modelzoo.importers import onnx_windows as windows
from modelzoo.importers.arithmetic import arithmetic, each
from modelzoo.importers.network import Site, Translate
from modelzoo.importers.values import Array, Value

SIXTH = 1 / 6
NEAR = 1e-4


def _batch_norm(at: Site) -> Value:
    at.expect("training_mode", 0)
    at.expect("spatial", 1)
    x = at.reading.last(at.value(), 1)
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    channels = x.tensor.channels
    for number in range(1, 5):
        if at.shape_of(number) != (channels,):
            raise ValueError(f"expected {channels} values, got {at.shape_of(number)}")
    weights = {name: at.later(number) for number, name in enumerate(names, start=1)}
    operator = BatchNorm(float(at.option("epsilon", 1e-5)), float(at.option("momentum", 0.9)))
    return Value(at.add(operator, x.tensor, name=at.layer(), weights=weights), x.order)


def _layer_norm(at: Site) -> Value:
    x = at.value()
    if at.option("axis", -1) not in (-1, x.rank - 1):
        raise ValueError(f"no operator has axis={quoted(at.option('axis'))}, only the last one")
    x = at.reading.last(x, -1)
    weights = {"gamma": at.later(1)} | ({"beta": at.later(2)} if at.given(2) else {})
    operator = LayerNorm(float(at.option("epsilon", 1e-5)), "beta" in weights)
    return Value(at.add(operator, x.tensor, name=at.layer(), weights=weights), x.order)


def _prelu(at: Site) -> Value:
    """The slopes, which ONNX broadcasts to the values."""
    x, shape = at.value(), at.shape_of(1)
    shape = (1,) * (x.rank - len(shape)) + shape
    if len(shape) != x.rank or shape[0] != 1:
        raise ValueError(f"expected slopes for values of shape {x.shape}, got {at.shape_of(1)}")
    own = [shape[x.order.index(axis)] for axis in range(x.rank)]
    axes = tuple(x.order.index(axis) for axis in range(x.rank))
    later = at.later(1)
    weights: dict[str, Array] = {"alpha": lambda: later().reshape(shape).transpose(axes)[0]}
    shared = tuple(axis for axis, side in enumerate(own) if axis and side == 1)
    return Value(at.add(PReLU(shared), x.tensor, name=at.layer(), weights=weights), x.order)


def _clip(at: Site) -> Value:
    least, most = (
        float(at.array(number).reshape(())) if at.given(number) else at.option(word)
        for number, word in ((1, "min"), (2, "max"))
    )
    if least != 0:
        raise ValueError(f"no operator has min={quoted(least)}")
    limit = None if most is None or most > 3e38 else float(most)
    return each(ReLU(limit))(at)


def _hard_sigmoid(at: Site) -> Value:
    alpha, beta = at.option("alpha", 0.2), at.option("beta", 0.5)
    if abs(alpha - SIXTH) < NEAR and beta == 0.5:
        return each(Activation("hard_sigmoid"))(at)
    x = at.value()
    scaled = at.add(Rescale(float(alpha), float(beta)), x.tensor, name=f"{at.name}_scale")
    return Value(at.add(ReLU(1.0), scaled), x.order)


def _softmax(at: Site) -> Value:
    x = at.value()
    axis = at.option("axis", -1 if at.opset >= 13 else 1)
    if at.opset < 13 and axis not in (-1, x.rank - 1):
        raise ValueError("before opset 13 a softmax of several axes is one, which no operator does")
    x = at.reading.last(x, axis)
    return Value(at.add(Activation("softmax"), x.tensor), x.order)


def _dropout(at: Site) -> Value:
    rate = float(at.array(1).reshape(())) if at.is_constant(1) else float(at.option("ratio", 0.5))
    return each(Dropout(rate) if 0 <= rate < 1 else Activation("linear"))(at)


def _gelu(at: Site) -> Value:
    tanh = at.option("approximate", "none") == "tanh"
    return each(Activation("gelu_tanh" if tanh else "gelu"))(at)


def _passed(at: Site) -> Value:
    return at.value()


def _real(name: str, default: float, make: Callable[[float], Operator]) -> Translate:
    """An operator with one number."""
    return lambda at: each(make(float(at.option(name, default))))(at)


OPERATIONS: dict[str, Translate] = {
    "Conv": windows.conv,
    "ConvTranspose": windows.transposed_conv,
    "Gemm": windows.gemm,
    "MatMul": windows.matmul,
    "MaxPool": windows.pool(MaxPool),
    "AveragePool": windows.pool(AveragePool),
    "GlobalAveragePool": windows.global_pool("avg"),
    "GlobalMaxPool": windows.global_pool("max"),
    "ReduceMean": windows.reduce("avg"),
    "ReduceMax": windows.reduce("max"),
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Relu": each(Activation("relu")),
    "Sigmoid": each(Activation("sigmoid")),
    "Tanh": each(Activation("tanh")),
    "Softplus": each(Activation("softplus")),
    "Softsign": each(Activation("softsign")),
    "HardSwish": each(Activation("hard_silu")),
    "HardSigmoid": _hard_sigmoid,
    "LeakyRelu": _real("alpha", 0.01, LeakyReLU),
    "Elu": _real("alpha", 1.0, ELU),
    "PRelu": _prelu,
    "Clip": _clip,
    "Softmax": _softmax,
    "Gelu": _gelu,
    "Dropout": _dropout,
    "Identity": _passed,
    "Cast": _passed,
    "Add": arithmetic("Add"),
    "Sum": arithmetic("Add"),
    "Sub": arithmetic("Sub"),
    "Mul": arithmetic("Mul"),
    "Div": arithmetic("Div"),
    "Concat": shaping.concat,
    "Flatten": shaping.flatten,
    "Reshape": shaping.reshape,
    "Squeeze": shaping.squeeze,
    "Unsqueeze": shaping.unsqueeze,
    "Transpose": shaping.transpose,
    "Pad": shaping.pad,
    "Slice": shaping.crop,
    "Resize": shaping.resize,
    "Upsample": shaping.resize,
}
