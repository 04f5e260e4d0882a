"""Windows that move over maps, as other programs describe them: how many pixels they pad."""

from __future__ import annotations

from collections.abc import Sequence

from modelzoo.graph import Tensor
from modelzoo.graph.elementwise import Activation, Dropout, ReLU
from modelzoo.graph.pooling import AveragePool, MaxPool
from modelzoo.graph.shaping import Concat, Cropping, ZeroPadding
from modelzoo.graph.windows import Margins, Padding, Pair, same_margin
from modelzoo.importers.values import Reading

NONE: Margins = ((0, 0), (0, 0))
KEEPING = (
    MaxPool,
    AveragePool,
    Dropout,
    Concat,
    Cropping,
    ZeroPadding,
)  # give nothing negative of what is not
NOT_NEGATIVE = ("relu", "relu6", "sigmoid", "hard_sigmoid", "softmax", "softplus")


def pair(values: Sequence[int], what: str) -> Pair:
    """Two positive whole numbers. Raises ValueError for anything else."""
    match tuple(values):
        case (int(height), int(width)) if 0 < height < 2**31 and 0 < width < 2**31:
            return height, width
        case _:
            raise ValueError(f"expected two numbers for its {what}, got {tuple(values)}")


def padding_of(x: Tensor, margins: Margins, size: Pair, stride: Pair) -> Padding:
    """The padding by its name, where it has one for an input of these sides."""
    if margins == NONE:
        return "valid"
    sides = x.sides
    if stride == (1, 1) and None in sides:
        sides = (10**6, 10**6)
    if None in sides:
        return margins
    same = tuple(
        same_margin(side or 1, window, step) for side, window, step in zip(sides, size, stride, strict=True)
    )
    return "same" if margins == same else margins


def ceiled(x: Tensor, margins: Margins, size: Pair, stride: Pair) -> Margins:
    """The margins with which as many windows fit as where their number is rounded up.

    Raises ValueError where a side is not known.
    """
    found: list[Pair] = []
    for side, (before, after), window, step in zip(x.known_sides, margins, size, stride, strict=True):
        windows = -(-(side + before + after - window) // step) + 1
        if (windows - 1) * step >= side + before:  # the last one would begin in what is padded after the map
            windows -= 1
        needed = (windows - 1) * step + window - side - before
        found.append((before, max(after, needed)))
    return found[0], found[1]


def pooled(
    reading: Reading,
    operator: type[MaxPool | AveragePool],
    x: Tensor,
    name: str,
    window: tuple[Pair, Pair, Margins],
) -> Tensor:
    """A pooling of this size, stride and margins; an own padding before it where that changes nothing."""
    size, stride, margins = window
    padding = padding_of(x, margins, size, stride)
    if not isinstance(padding, str) and operator is MaxPool and not_negative(reading, x.name):
        x = reading.add(ZeroPadding(padding), x, name=f"{name}_pad")
        padding = "valid"
    return reading.add(operator(size, stride, padding), x, name=name)


def not_negative(reading: Reading, name: str) -> bool:
    """Whether no value of this node is negative, so that zeros around it never are a maximum."""
    waiting = [name]
    for _ in range(100):
        if not waiting:
            return True
        node = reading.builder.nodes.get(waiting.pop())
        if node is None:
            return False
        operator = node.operator
        if isinstance(operator, KEEPING):
            waiting += node.inputs
        elif not isinstance(operator, ReLU) and not (
            isinstance(operator, Activation) and operator.function in NOT_NEGATIVE
        ):
            return False
    return False
