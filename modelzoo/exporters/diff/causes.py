"""What a converter may have done otherwise: for some nodes of a graph, the same nodes with one thing changed.

Each is a guess: whoever computes the nodes so and meets the value of the other side knows the cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from modelzoo.exporters.diff.kernels import changed_kernels
from modelzoo.graph import Graph, Node, Operator
from modelzoo.graph.blocks import blocks
from modelzoo.graph.convolutions import Conv, DepthwiseConv, SeparableConv
from modelzoo.graph.elementwise import ELU, FUNCTIONS, Activation, LeakyReLU, ReLU
from modelzoo.graph.normalization import BatchNorm, LayerNorm, Normalization, Rescale
from modelzoo.graph.pooling import AveragePool, MaxPool
from modelzoo.graph.shaping import SamePadding, ZeroPadding
from modelzoo.graph.windows import Margins, Pair, extent, margins, same_margin

EPSILON, PADDING, STRIDE, CHANNELS = "epsilon", "padding side", "stride side", "channel order"
KERNEL, STATISTICS, ACTIVATION = (
    "transposed or flipped kernel",
    "missing batch-norm statistics",
    "activation",
)
CAUSES = (EPSILON, PADDING, STRIDE, CHANNELS, KERNEL, STATISTICS, ACTIVATION)
EPSILONS = (1e-3, 1e-5, 1.001e-5, 1e-4, 2e-5, 1e-6, 1e-7, 1e-8, 1e-12)  # that programs take by default
SLOPES = (0.01, 0.1, 0.2, 0.3)  # of leaky ReLUs: PyTorch's, Darknet's, TensorFlow's and Keras' default
COLORS = 3  # channels of an image
REVERSED = "the channels of the images in reverse (BGR in place of RGB)"
Windowed = Conv | DepthwiseConv | SeparableConv | MaxPool | AveragePool
Shapes = Mapping[str, tuple[int, ...]]  # of the values, by name
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Part:
    """Some nodes of a graph in its order, its weights, and the shapes of its values."""

    graph: Graph
    nodes: tuple[Node, ...]
    arrays: Arrays
    shapes: Shapes


@dataclass(frozen=True)
class Guess:
    """A cause, the node that it changes, what it has instead, in words, and how it is computed then.

    reversed_inputs: the names of values whose channels come in reverse.
    """

    cause: str
    node: str
    words: str
    nodes: Mapping[str, Node] = field(default_factory=dict[str, Node])
    arrays: Arrays = field(default_factory=dict[str, np.ndarray])
    reversed_inputs: tuple[str, ...] = ()


def guesses(part: Part) -> Iterator[Guess]:
    """All guesses about some nodes, one at a time: their arrays may be large."""
    for node in part.nodes:
        for find in FINDERS:
            yield from find(part, node)


def _changed(cause: str, node: Node, operator: Operator, words: str) -> Guess:
    return Guess(cause, node.name, words, {node.name: replace(node, operator=operator)})


def _epsilons(part: Part, node: Node) -> Iterator[Guess]:
    operator = node.operator
    if isinstance(operator, BatchNorm | LayerNorm):
        for epsilon in EPSILONS:
            if epsilon != operator.epsilon:
                words = f"epsilon {epsilon:g} in place of {operator.epsilon:g}"
                yield _changed(EPSILON, node, replace(operator, epsilon=epsilon), words)


def _statistics(part: Part, node: Node) -> Iterator[Guess]:
    """Those of a file that has none: a mean of 0 and a variance of 1."""
    if not isinstance(node.operator, BatchNorm):
        return
    defaults = {"moving_mean": 0.0, "moving_variance": 1.0}
    for names in (tuple(defaults), *((name,) for name in defaults)):
        paths = {node.paths[name]: defaults[name] for name in names}
        arrays = {path: np.full(np.shape(part.arrays[path]), value) for path, value in paths.items()}
        words = " and ".join(f"{name} of {defaults[name]:g}" for name in names)
        yield Guess(STATISTICS, node.name, words, arrays=arrays)


def _activations(part: Part, node: Node) -> Iterator[Guess]:
    if not isinstance(node.operator, Activation | ReLU | LeakyReLU | ELU):
        return
    others = (*map(Activation, FUNCTIONS), *map(LeakyReLU, SLOPES), ReLU(), ReLU(6.0), ELU())
    for operator in others:
        if operator != node.operator:
            words = f"{_activation(operator)} in place of {_activation(node.operator)}"
            yield _changed(ACTIVATION, node, operator, words)


def _activation(operator: Operator) -> str:
    """An activation in a word."""
    if isinstance(operator, Activation):
        return operator.function if operator.function != "linear" else "no activation"
    if isinstance(operator, ReLU):
        return "relu" if operator.limit is None else f"relu{operator.limit:g}"
    if isinstance(operator, LeakyReLU):
        return f"leaky relu of slope {operator.slope:g}"
    return "elu"


def _kernels(part: Part, node: Node) -> Iterator[Guess]:
    for path, words, kernel in changed_kernels(part.graph, node, part.arrays):
        yield Guess(KERNEL, node.name, words, arrays={path: kernel})


def _channels(part: Part, node: Node) -> Iterator[Guess]:
    """Blue, green and red in place of red, green and blue, in the images or in constants for each channel."""
    operator, colors = node.operator, [name for name in node.inputs if part.shapes[name][-1] == COLORS]
    images = tuple(name for name in colors if name in part.graph.inputs)
    if images:
        yield Guess(CHANNELS, node.name, REVERSED, reversed_inputs=images)
    if colors and not images and isinstance(operator, Conv):
        path = node.paths["kernel"]
        yield Guess(CHANNELS, node.name, REVERSED, arrays={path: np.asarray(part.arrays[path])[:, :, ::-1]})
    if isinstance(operator, Normalization | Rescale):
        facts: dict[str, Any] = {
            name: value[::-1] for name, value in vars(operator).items() if isinstance(value, tuple)
        }
        if facts:
            yield _changed(
                CHANNELS, node, replace(operator, **facts), f"{' and '.join(facts)} in reverse order"
            )


def _strides(part: Part, node: Node) -> Iterator[Guess]:
    """Windows that step otherwise; what pads before them does so for that stride, or evenly."""
    operator = node.operator
    if not isinstance(operator, Windowed | SamePadding):
        return
    stride = (1, 1) if operator.stride != (1, 1) else (2, 2)
    changed = {node.name: replace(node, operator=replace(operator, stride=stride))}
    words = f"stride {stride[0]} in place of {operator.stride[0]}{_partner(part, node)}"
    before = next((each for each in part.nodes if each.name == node.inputs[0]), None)
    if before is None or not isinstance(before.operator, SamePadding | ZeroPadding):
        yield Guess(STRIDE, node.name, words, changed)
        return
    paddings: list[Operator] = [before.operator]
    if isinstance(before.operator, SamePadding):
        paddings.append(replace(before.operator, stride=stride))
    if not isinstance(operator, SamePadding):
        high, wide = _window(operator)
        paddings.append(ZeroPadding((_even(high), _even(wide))))
    for padding in paddings:
        padded = {before.name: replace(before, operator=padding)}
        yield Guess(STRIDE, node.name, words, changed | padded)


def _partner(part: Part, node: Node) -> str:
    """Which other convolution of its block may stride instead."""
    own = getattr(node.operator, "stride")  # noqa: B009 (of all that are asked about)
    block = next(block for block in blocks(part.graph) if node in block.nodes)
    others = [
        each.name
        for each in block.nodes
        if isinstance(each.operator, Windowed)
        and each.name != node.name
        and (each.operator.stride == (1, 1)) == (own != (1, 1))
    ]
    if not others:
        return ""
    return f" ({', '.join(others[:2])} of {block.title} may stride instead)"


def _paddings(part: Part, node: Node) -> Iterator[Guess]:
    """Another padding of a map before windows move over it."""
    operator = node.operator
    sides = part.shapes[node.inputs[0]][1:3]
    if isinstance(operator, Windowed):
        size, stride = _window(operator), operator.stride
        own = margins(operator.padding, sides, size, stride)
    elif isinstance(operator, ZeroPadding | SamePadding):
        after = [each for each in part.graph.nodes if node.name in each.inputs]
        window = next((each.operator for each in after if isinstance(each.operator, Windowed)), None)
        own = operator.margins if isinstance(operator, ZeroPadding) else operator.margins(_open(sides))
        size, stride = ((3, 3), (2, 2)) if window is None else (_window(window), window.stride)
    else:
        return
    if own is None:
        return
    for other in dict.fromkeys(_margins(own, sides, size, stride)):
        if other != own:
            changed: Operator = (
                replace(operator, padding=other) if isinstance(operator, Windowed) else ZeroPadding(other)
            )
            yield _changed(PADDING, node, changed, f"padding {_shown(other)} in place of {_shown(own)}")


def _margins(own: Margins, sides: Sequence[int], size: Pair, stride: Pair) -> Iterator[Margins]:
    """Other margins for windows of this size: the other way round, TensorFlow's, PyTorch's, uneven, none."""
    same = (same_margin(sides[0], size[0], stride[0]), same_margin(sides[1], size[1], stride[1]))
    yield _reversed(own)
    yield same
    yield _reversed(same)
    yield _even(size[0]), _even(size[1])
    yield (0, size[0] - 1), (0, size[1] - 1)
    yield (size[0] - 1, 0), (size[1] - 1, 0)
    yield (0, 0), (0, 0)


def _reversed(both: Margins) -> Margins:
    (top, bottom), (left, right) = both
    return (bottom, top), (right, left)


def _even(window: int) -> Pair:
    """As many pixels before as after."""
    return (window - 1) // 2, (window - 1) // 2


def _shown(both: Margins) -> str:
    """Margins in words."""
    (top, bottom), (left, right) = both
    return f"top {top}, bottom {bottom}, left {left}, right {right}"


def _open(sides: Sequence[int]) -> tuple[int | None, ...]:
    return None, *sides, COLORS


def _window(operator: Windowed) -> Pair:
    """The height and width that a window covers."""
    if isinstance(operator, MaxPool | AveragePool):
        return operator.size
    return extent(operator.kernel, operator.dilation)


FINDERS: tuple[Callable[[Part, Node], Iterator[Guess]], ...] = (
    _epsilons,
    _statistics,
    _activations,
    _kernels,
    _channels,
    _strides,
    _paddings,
)
