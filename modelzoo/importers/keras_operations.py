"""TensorFlow's functions that Keras 2 keeps as layers, such as `x * 2` -> operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelzoo.errors import quoted
from modelzoo.graph import Operator
from modelzoo.graph.elementwise import Activation, Add, Multiply, Subtract
from modelzoo.graph.normalization import Rescale
from modelzoo.graph.pooling import GlobalPool
from modelzoo.importers.keras_layers import Site
from modelzoo.importers.values import CHANNELS_LAST, Value, plain

OPERATIONS = ("TFOpLambda",)
ARITHMETIC = {  # operations of Keras 3, called as layers are, by the functions that they are
    "Add": "math.add",
    "Subtract": "math.subtract",
    "Multiply": "math.multiply",
    "Divide": "math.truediv",
    "TrueDivide": "math.truediv",
}
FUNCTIONS: dict[str, Operator] = {
    "nn.relu": Activation("relu"),
    "nn.relu6": Activation("relu6"),
    "nn.elu": Activation("elu"),
    "nn.silu": Activation("silu"),
    "nn.swish": Activation("silu"),
    "math.sigmoid": Activation("sigmoid"),
    "math.tanh": Activation("tanh"),
    "math.softplus": Activation("softplus"),
    "identity": Activation("linear"),
}
ADDED = ("__operators__.add", "math.add")
SUBTRACTED = ("math.subtract", "__operators__.sub")
MULTIPLIED = ("math.multiply", "__operators__.mul")
DIVIDED = ("math.truediv", "math.divide", "__operators__.truediv")


def operated(at: Site, inputs: Sequence[Any], options: Mapping[str, Any]) -> Value:
    """What a function gives; raises ValueError, with the layer's name and the function's, for another one."""
    function = ARITHMETIC.get(at.layer.kind) or at.layer.options.get("function")
    named = {name: value for name, value in options.items() if name != "name" and value is not None}
    if function in FUNCTIONS and len(inputs) == 1 and not named and isinstance(inputs[0], Value):
        x = inputs[0]
        return Value(at.add(FUNCTIONS[function], x.tensor), x.order)
    if function == "math.reduce_mean" and len(inputs) == 1 and isinstance(inputs[0], Value):
        return _mean(at, inputs[0], named)
    given = [*inputs, *([named.pop("y")] if "y" in named else [])]
    if len(given) == 2 and not named:
        if all(isinstance(x, Value) for x in given):
            return _of_two(at, function, given)
        return _with_number(at, function, given)
    raise at.refusal(f"no operator does what {quoted(function)} does here")


def _of_two(at: Site, function: object, values: list[Value]) -> Value:
    kinds: tuple[tuple[tuple[str, ...], Callable[[], Operator]], ...] = (
        (ADDED, Add),
        (MULTIPLIED, Multiply),
        (SUBTRACTED, Subtract),
    )
    for names, kind in kinds:
        if function in names:
            tensors, order = at.reading.alike(values)
            found = at.reading.add(kind(), *tensors, name=at.name, arithmetic=True)
            return Value(found, order)
    raise at.refusal(f"no operator does what {quoted(function)} does")


def _with_number(at: Site, function: object, given: list[Any]) -> Value:
    """Arithmetic with a number, which may come first."""
    first = not isinstance(given[0], Value)
    number, x = given if first else given[::-1]
    if type(number) not in (int, float) or not isinstance(x, Value):
        raise at.refusal(f"expected a number, got {quoted(number)}")
    operator = None
    if function in ADDED:
        operator = Rescale(1.0, float(number))
    elif function in MULTIPLIED:
        operator = Rescale(float(number))
    elif function in SUBTRACTED:
        operator = Rescale(-1.0, float(number)) if first else Rescale(1.0, -float(number))
    elif function in DIVIDED and not first and number:
        operator = Rescale(1 / float(number))
    if operator is None:
        raise at.refusal(f"no operator does what {quoted(function)} does here")
    return Value(at.reading.add(operator, x.tensor, name=at.name, arithmetic=True), x.order)


def _mean(at: Site, x: Value, options: dict[str, Any]) -> Value:
    axes, keep = options.get("axis"), bool(options.get("keepdims", False))
    if x.rank != 4 or not isinstance(axes, list) or sorted(a % 4 for a in axes if type(a) is int) != [1, 2]:
        raise at.refusal(f"no operator has axis={quoted(axes)}, only height and width")
    found = at.add(GlobalPool("avg", keep), at.reading.laid(x, CHANNELS_LAST).tensor)
    return Value(found, plain(len(found.shape)))
