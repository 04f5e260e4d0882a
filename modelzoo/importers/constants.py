"""What a network computes of constants, and of shapes: done here, with bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from modelzoo.formats.networks import Node, Tensor
from modelzoo.importers.values import Value

MOST_VALUES = 2**20  # of what is computed here, where no constant of the file is as large
BATCH = -(2**40)  # in place of the batch in a shape: a number that nothing else is
TYPES = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16, 11: np.float64}


def array_of(constant: Any) -> np.ndarray:
    """The values of a constant of the file, or of one that was computed."""
    return np.asarray(constant if isinstance(constant, np.ndarray | np.generic) else constant.array())


Folded = Mapping[str, Callable[..., Any]]


def folds(node: Node, known: Folded, constants: Mapping[str, Any], values: Mapping[str, Value]) -> bool:
    """Whether the operation is one on constants, or asks for a shape."""
    if node.kind == "Shape":
        return node.inputs[0] in values or node.inputs[0] in constants
    return node.kind in known and all(name in constants for name in node.inputs if name)


def folded(
    node: Node, known: Folded, constants: Mapping[str, Any], values: Mapping[str, Value], opset: int
) -> np.ndarray:
    """What the operation gives. Raises ValueError for more than a network needs."""
    if node.kind == "Shape" and node.inputs[0] in values:
        return _shape(node, values[node.inputs[0]])
    if node.kind == "Constant":
        return _constant(node)
    arrays = [array_of(constants[name]) if name else None for name in node.inputs]
    return np.asarray(known[node.kind](node, opset, *arrays))


def _shape(node: Node, value: Value) -> np.ndarray:
    sides = [BATCH, *value.shape[1:]]
    start, end = node.attributes.get("start", 0), node.attributes.get("end", len(sides))
    found = sides[start:end]
    if None in found:
        raise ValueError("it depends on the size of images, which is open: give the file fixed sides")
    return np.array(found, np.int64)


def _constant(node: Node) -> np.ndarray:
    for name, value in node.attributes.items():
        if name == "value" and isinstance(value, Tensor):
            return value.array()
        if name in ("value_float", "value_floats"):
            return np.array(value, np.float32)
        if name in ("value_int", "value_ints"):
            return np.array(value, np.int64)
    raise ValueError("it has no value")


def _bounded(*shapes: Sequence[int]) -> None:
    largest = max(math.prod(shape) for shape in shapes) if len(shapes) > 1 else 0
    if math.prod(np.broadcast_shapes(*map(tuple, shapes))) > max(MOST_VALUES, largest):
        raise ValueError(f"it has more than {MOST_VALUES:,} values")


def _two(compute: Callable[[Any, Any], Any]) -> Callable[..., np.ndarray]:
    def apply(node: Node, opset: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        _bounded(a.shape, b.shape)
        with np.errstate(all="ignore"):
            return compute(a, b)

    return apply


def _axes(node: Node, given: np.ndarray | None) -> tuple[int, ...] | None:
    found = node.attributes.get("axes") if given is None else given.reshape(-1).tolist()
    return None if found is None else tuple(found)


def _gather(node: Node, opset: int, a: np.ndarray, places: np.ndarray) -> np.ndarray:
    if places.size * a.size > MOST_VALUES * max(a.shape or (1,)):
        raise ValueError("it takes more values than a network needs")
    return np.take(a, places.astype(np.int64), axis=node.attributes.get("axis", 0))


def _unsqueeze(node: Node, opset: int, a: np.ndarray, axes: np.ndarray | None = None) -> np.ndarray:
    return np.expand_dims(a, _axes(node, axes) or ())


def _squeeze(node: Node, opset: int, a: np.ndarray, axes: np.ndarray | None = None) -> np.ndarray:
    return np.squeeze(a, _axes(node, axes))


def _concat(node: Node, opset: int, *arrays: np.ndarray) -> np.ndarray:
    return np.concatenate(arrays, node.attributes.get("axis", 0))


def _reshape(node: Node, opset: int, a: np.ndarray, target: np.ndarray) -> np.ndarray:
    sides = [a.shape[place] if side == 0 else int(side) for place, side in enumerate(target.reshape(-1))]
    return a.reshape(sides)


def _slice(node: Node, opset: int, a: np.ndarray, *given: np.ndarray) -> np.ndarray:
    if opset < 10:
        starts, ends = node.attributes["starts"], node.attributes["ends"]
        axes, steps = node.attributes.get("axes", range(len(starts))), (1,) * len(starts)
    else:
        starts, ends = (array.reshape(-1).tolist() for array in given[:2])
        axes = (
            given[2].reshape(-1).tolist() if len(given) > 2 and given[2] is not None else range(len(starts))
        )
        steps = given[3].reshape(-1).tolist() if len(given) > 3 else (1,) * len(starts)
    places = [slice(None)] * a.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        places[axis] = slice(start, end, step)
    return a[tuple(places)]


def _cast(node: Node, opset: int, a: np.ndarray) -> np.ndarray:
    return a.astype(TYPES[node.attributes["to"]])


def _full(node: Node, opset: int, shape: np.ndarray) -> np.ndarray:
    _bounded([int(side) for side in shape.reshape(-1)])
    value = node.attributes.get("value")
    filler = value.array().reshape(-1)[0] if isinstance(value, Tensor) else np.float32(0)
    return np.full([int(side) for side in shape.reshape(-1)], filler)


FOLDED: dict[str, Callable[..., Any]] = {
    "Constant": lambda node, opset: None,
    "ConstantOfShape": _full,
    "Identity": lambda node, opset, a: a,
    "Cast": _cast,
    "Gather": _gather,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Concat": _concat,
    "Reshape": _reshape,
    "Slice": _slice,
    "Shape": lambda node, opset, a: np.array(a.shape, np.int64),
    "Transpose": lambda node, opset, a: a.transpose(node.attributes.get("perm")),
    "Add": _two(np.add),
    "Sub": _two(np.subtract),
    "Mul": _two(np.multiply),
    "Div": _two(lambda a, b: a // b if a.dtype.kind == "i" else a / b),
    "Sqrt": lambda node, opset, a: np.sqrt(a),
    "Neg": lambda node, opset, a: -a,
    "Floor": lambda node, opset, a: np.floor(a),
}
