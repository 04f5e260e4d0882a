"""NASNet-A and PNASNet-5: a cell that was found by search, written down as data and stacked.

Sources: Zoph et al. 2017, https://arxiv.org/abs/1707.07012, and Liu et al. 2017,
https://arxiv.org/abs/1712.00559; research/slim/nets/nasnet of tensorflow/models.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelzoo.architectures.family import Family, NormOptions, Tensor

if TYPE_CHECKING:
    from modelzoo.architectures.layers import Layers

NORM: NormOptions = {"epsilon": 1e-3, "momentum": 0.9997}
STAGES = 3  # of equal length, at strides 8, 16 and 32, each twice as wide as the one before


@dataclass(frozen=True)
class Cell:
    """Blocks that each add the results of two operations, and the states whose concatenation comes out.

    An operation is the number of a state and what is done with it. State 0 is the squeezed output of the
    cell before, state 1 the output of the cell before that, made to fit; the blocks' sums are 2 to 6.
    """

    blocks: tuple[tuple[tuple[int, str], tuple[int, str]], ...]
    outputs: tuple[int, ...]


NASNET_NORMAL = Cell(
    blocks=(
        ((0, "5x5"), (1, "3x3")),
        ((1, "5x5"), (1, "3x3")),
        ((0, "average_pool"), (1, "identity")),
        ((1, "average_pool"), (1, "average_pool")),
        ((0, "3x3"), (0, "identity")),
    ),
    outputs=(1, 2, 3, 4, 5, 6),
)
NASNET_REDUCTION = Cell(
    blocks=(
        ((0, "5x5"), (1, "7x7")),
        ((0, "max_pool"), (1, "7x7")),
        ((0, "average_pool"), (1, "5x5")),
        ((3, "identity"), (2, "average_pool")),
        ((2, "3x3"), (0, "max_pool")),
    ),
    outputs=(3, 4, 5, 6),
)
PNASNET = Cell(
    blocks=(
        ((1, "5x5"), (1, "max_pool")),
        ((0, "7x7"), (0, "max_pool")),
        ((0, "5x5"), (0, "3x3")),
        ((4, "3x3"), (0, "max_pool")),
        ((1, "3x3"), (0, "identity")),
    ),
    outputs=(2, 3, 4, 5, 6),
)


@dataclass(frozen=True)
class Variant:
    """The facts in which one network of the family differs from another."""

    normal: Cell
    reduction: Cell | None  # comes before stages 2 and 3; without, the stage's own first cell strides
    cells: int  # in a stage
    filters: int  # of each operation in stage 1
    stem_filters: int
    over_reductions: bool = False  # the cell after a reduction gets the same older map as the reduction


@dataclass(frozen=True)
class Step:
    """A cell in its place."""

    name: str
    cell: Cell
    filters: int
    stride: int = 1
    keep_older: bool = False  # for the next cell, instead of this cell's input


@dataclass(frozen=True)
class Map:
    """A feature map of stride 2**level."""

    x: Tensor
    level: int


def backbone(nn: Layers, images: Tensor, variant: str) -> dict[str, Tensor]:
    """The feature maps by name: Cn has stride 2**n; the last one feeds the head.

    C1 has passed the stem's batch norm, C2 to C4 are outputs of cells, all before any activation; C5
    has passed a ReLU.
    """
    facts = VARIANTS[variant]
    x = nn.conv(images, facts.stem_filters, 3, stride=2, padding="valid", name="stem_conv")
    x = nn.norm(x, name="stem_bn", **NORM)
    older, newer = None, Map(x, level=1)
    features = {"C1": x}
    for step in steps(facts):
        x = apply_cell(nn, newer, older, step)
        if not step.keep_older:
            older = newer
        newer = Map(x, newer.level + (step.stride > 1))
        features[f"C{newer.level}"] = x
    features["C5"] = nn.relu(x, name="final_relu")
    return features


def steps(facts: Variant) -> Iterator[Step]:
    """The cells in their order: two that stride, of a quarter and half the width, then the stages."""
    striding = facts.reduction or facts.normal
    yield Step("stem1", striding, facts.filters // 4, stride=2)
    yield Step("stem2", striding, facts.filters // 2, stride=2)
    for number in range(STAGES * facts.cells):
        stage, position = divmod(number, facts.cells)
        filters = facts.filters * 2**stage
        strides = stage > 0 and position == 0
        if strides and facts.reduction:
            yield Step(f"reduction{stage}", facts.reduction, filters, 2, facts.over_reductions)
            strides = False
        yield Step(f"cell{number + 1}", facts.normal, filters, stride=2 if strides else 1)


def apply_cell(nn: Layers, newer: Map, older: Map | None, step: Step) -> Tensor:
    """The cell on the outputs of the two cells before it; the first cell takes its one input twice."""
    fitted = newer.x if older is None else fit(nn, older, newer, step)
    states = [relu_conv_norm(nn, newer.x, step.filters, 1, f"{step.name}_squeeze"), fitted]
    for number, block in enumerate(step.cell.blocks, start=1):
        branches = []
        for side, (state, operation) in zip(("left", "right"), block, strict=True):
            stride = step.stride if state in (0, 1) else 1  # the others come from strided operations
            name = f"{step.name}_block{number}_{side}"
            branches.append(operate(nn, states[state], operation, step.filters, stride, name))
        states.append(nn.add(branches, name=f"{step.name}_block{number}_add"))
    return nn.concat([states[state] for state in step.cell.outputs], name=f"{step.name}_concat")


def fit(nn: Layers, older: Map, newer: Map, step: Step) -> Tensor:
    """The older map with the side of the newer and the step's channels."""
    if older.level < newer.level:
        return factorized_reduction(nn, older.x, step.filters, f"{step.name}_reduce")
    if older.x.channels != step.filters:
        return relu_conv_norm(nn, older.x, step.filters, 1, f"{step.name}_fit")
    return older.x


def factorized_reduction(nn: Layers, x: Tensor, filters: int, name: str) -> Tensor:
    """Half the side: of the even pixels one half of the channels is made, of the odd ones the other."""
    x = nn.relu(x, name=f"{name}_relu")
    even = nn.average_pool(x, 1, stride=2, padding="valid", name=f"{name}_even_pool")
    even = nn.conv(even, filters // 2, 1, name=f"{name}_even_conv")
    odd = nn.shift(x, name=f"{name}_odd_shift")
    odd = nn.average_pool(odd, 1, stride=2, padding="valid", name=f"{name}_odd_pool")
    odd = nn.conv(odd, filters - filters // 2, 1, name=f"{name}_odd_conv")
    return nn.norm(nn.concat([even, odd], name=f"{name}_concat"), name=f"{name}_bn", **NORM)


def operate(nn: Layers, x: Tensor, operation: str, filters: int, stride: int, name: str) -> Tensor:
    """One operation of a block; pooling and identity get a 1x1 convolution where the map would not fit."""
    if operation == "identity":
        fits = stride == 1 and x.channels == filters
        return x if fits else relu_conv_norm(nn, x, filters, stride, name)
    if operation.endswith("_pool"):
        pool = {"max_pool": nn.max_pool, "average_pool": nn.average_pool}[operation]
        x = pool(x, 3, stride=stride, padding="same", name=f"{name}_pool")
        return x if x.channels == filters else conv_norm(nn, x, filters, 1, name)
    kernel = int(operation[0])
    x = relu_separable_norm(nn, x, filters, kernel, stride, f"{name}_{operation}_1")
    return relu_separable_norm(nn, x, filters, kernel, 1, f"{name}_{operation}_2")


def relu_separable_norm(nn: Layers, x: Tensor, filters: int, kernel: int, stride: int, name: str) -> Tensor:
    """ReLU, a convolution of each channel by itself, one across the channels, and batch norm."""
    x = nn.relu(x, name=f"{name}_relu")
    x = nn.depthwise_conv(x, kernel, stride=stride, padding="same", name=f"{name}_depthwise")
    x = nn.conv(x, filters, 1, name=f"{name}_pointwise")
    return nn.norm(x, name=f"{name}_bn", **NORM)


def relu_conv_norm(nn: Layers, x: Tensor, filters: int, stride: int, name: str) -> Tensor:
    """ReLU, 1x1 convolution and batch norm."""
    return conv_norm(nn, nn.relu(x, name=f"{name}_relu"), filters, stride, name)


def conv_norm(nn: Layers, x: Tensor, filters: int, stride: int, name: str) -> Tensor:
    """1x1 convolution and batch norm."""
    x = nn.conv(x, filters, 1, stride=stride, name=f"{name}_conv")
    return nn.norm(x, name=f"{name}_bn", **NORM)


VARIANTS = {
    "nasnet_mobile": Variant(NASNET_NORMAL, NASNET_REDUCTION, 4, 44, 32),
    "nasnet_large": Variant(NASNET_NORMAL, NASNET_REDUCTION, 6, 168, 96, over_reductions=True),
    "pnasnet_mobile": Variant(PNASNET, None, 3, 54, 32),
    "pnasnet_large": Variant(PNASNET, None, 4, 216, 96),
}

FAMILY = Family(VARIANTS, backbone)
