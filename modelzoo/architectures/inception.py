"""Inception v1 to v4 as TF-slim built and trained them: blocks of branches that are concatenated.

A network is a table of named steps; the names are TF-slim's, so that `mixed_5b` is its Mixed_5b.

Sources: Szegedy et al. 2014, https://arxiv.org/abs/1409.4842 (v1); Ioffe and Szegedy 2015,
https://arxiv.org/abs/1502.03167 (v2, with batch norm); Szegedy et al. 2015, https://arxiv.org/abs/1512.00567
(v3), and 2016, https://arxiv.org/abs/1602.07261 (v4); tensorflow/models, research/slim/nets/inception_v*.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from modelzoo.architectures.family import Family, NormOptions, Tensor

if TYPE_CHECKING:
    from modelzoo.architectures.layers import Layers, Padding

NORM: NormOptions = {"epsilon": 1e-3, "momentum": 0.9997, "scale": False}


@dataclass(frozen=True)
class Conv:
    """A convolution with batch norm and ReLU."""

    filters: int
    kernel: int | tuple[int, int]  # a side, or (height, width)
    stride: int = 1
    padding: Padding = "same"


@dataclass(frozen=True)
class SeparableConv:
    """A convolution of each channel by itself to `multiplier` channels, a 1x1 convolution and ReLU."""

    filters: int
    kernel: int
    stride: int
    multiplier: int


@dataclass(frozen=True)
class Pool:
    """A pooling, "max" or "avg"; the average leaves padded pixels out."""

    kind: str
    stride: int = 1
    padding: Padding = "same"
    size: int = 3


@dataclass(frozen=True)
class Fork:
    """Convolutions of one and the same input, concatenated."""

    convs: tuple[Conv, ...]


Branch = tuple[Conv | Pool | Fork, ...]
Block = tuple[Branch, ...]
Step = Conv | SeparableConv | Pool | Block


def backbone(nn: Layers, images: Tensor, variant: str) -> dict[str, Tensor]:
    """The feature maps by name: C1 has stride 2, C2 stride 4, and so on; the last one feeds the head."""
    return follow(nn, images, VARIANTS[variant], apply)


def follow(
    nn: Layers, x: Tensor, steps: Mapping[str, Any], apply: Callable[..., Tensor]
) -> dict[str, Tensor]:
    """The feature maps after all steps: Cn is what the last step before the next halving gave."""
    features = {}
    halvings = 0
    for name, step in steps.items():
        x = apply(nn, x, step, name)
        halvings += halves(step)
        features[f"C{halvings}"] = x
    return features


def halves(step: Any) -> bool:
    """Whether the step has stride 2; the branches of a block all have the same."""
    layers = step[0] if isinstance(step, tuple) else (step,)
    return any(getattr(layer, "stride", 1) == 2 for layer in layers)


def apply(nn: Layers, x: Tensor, step: Step, name: str) -> Tensor:
    """One step of a network."""
    if isinstance(step, Conv):
        return conv_norm_relu(nn, x, step, name)
    if isinstance(step, SeparableConv):
        return separable_conv_relu(nn, x, step, name)
    if isinstance(step, Pool):
        return pool(nn, x, step, name)
    return nn.concat(branches(nn, x, step, name), name=name)


def branches(nn: Layers, x: Tensor, block: Block, name: str) -> list[Tensor]:
    """What each branch of the block makes of the input."""
    return [branch(nn, x, layers, f"{name}_branch{number}") for number, layers in enumerate(block, start=1)]


def branch(nn: Layers, x: Tensor, layers: Branch, name: str) -> Tensor:
    """The layers one after the other; their convolutions are counted from 1, those of a fork too."""
    number = count(1)
    for layer in layers:
        if isinstance(layer, Pool):
            x = pool(nn, x, layer, f"{name}_pool")
        elif isinstance(layer, Fork):
            tines = [conv_norm_relu(nn, x, conv, f"{name}_conv{next(number)}") for conv in layer.convs]
            x = nn.concat(tines, name=f"{name}_concat")
        else:
            x = conv_norm_relu(nn, x, layer, f"{name}_conv{next(number)}")
    return x


def conv_norm_relu(nn: Layers, x: Tensor, conv: Conv, name: str) -> Tensor:
    """Convolution, batch norm and ReLU, named conv_1a, bn_1a and relu_1a."""
    x = nn.conv(x, conv.filters, conv.kernel, stride=conv.stride, padding=conv.padding, name=name)
    x = nn.norm(x, name=name.replace("conv", "bn"), **NORM)
    return nn.relu(x, name=name.replace("conv", "relu"))


def separable_conv_relu(nn: Layers, x: Tensor, conv: SeparableConv, name: str) -> Tensor:
    """Depthwise and pointwise convolution and ReLU: a bias, no norm, as slim's scope norms conv2d alone."""
    x = nn.depthwise_conv(
        x,
        conv.kernel,
        stride=conv.stride,
        padding="same",
        multiplier=conv.multiplier,
        name=f"{name}_depthwise",
    )
    x = nn.conv(x, conv.filters, 1, bias=True, name=f"{name}_pointwise")
    return nn.relu(x, name=name.replace("conv", "relu"))


def pool(nn: Layers, x: Tensor, layer: Pool, name: str) -> Tensor:
    pooling = {"max": nn.max_pool, "avg": nn.average_pool}[layer.kind]
    return pooling(x, layer.size, stride=layer.stride, padding=layer.padding, name=name)


def v1_block(one: int, two: tuple[int, int], three: tuple[int, int], pooled: int) -> Block:
    """Each argument holds the widths of one branch."""
    return (
        (Conv(one, 1),),
        (Conv(two[0], 1), Conv(two[1], 3)),
        (Conv(three[0], 1), Conv(three[1], 3)),  # the paper has 5x5; slim's weights are 3x3
        (Pool("max"), Conv(pooled, 1)),
    )


def v2_block(one: int, two: tuple[int, int], three: tuple[int, int], pooled: int, kind="avg") -> Block:
    """Two 3x3 convolutions in the place of v1's one of 5x5."""
    return (
        (Conv(one, 1),),
        (Conv(two[0], 1), Conv(two[1], 3)),
        (Conv(three[0], 1), Conv(three[1], 3), Conv(three[1], 3)),
        (Pool(kind), Conv(pooled, 1)),
    )


def v2_reduction(one: tuple[int, int], two: tuple[int, int]) -> Block:
    return (
        (Conv(one[0], 1), Conv(one[1], 3, 2)),
        (Conv(two[0], 1), Conv(two[1], 3), Conv(two[1], 3, 2)),
        (Pool("max", 2),),
    )


def v3_block_a(pooled: int) -> Block:
    return (
        (Conv(64, 1),),
        (Conv(48, 1), Conv(64, 5)),
        (Conv(64, 1), Conv(96, 3), Conv(96, 3)),
        (Pool("avg"), Conv(pooled, 1)),
    )


def v3_block_b(width: int) -> Block:
    """7x7 as 1x7 and 7x1."""
    return (
        (Conv(192, 1),),
        (Conv(width, 1), Conv(width, (1, 7)), Conv(192, (7, 1))),
        (
            Conv(width, 1),
            Conv(width, (7, 1)),
            Conv(width, (1, 7)),
            Conv(width, (7, 1)),
            Conv(192, (1, 7)),
        ),
        (Pool("avg"), Conv(192, 1)),
    )


V3_REDUCTION_A: Block = (
    (Conv(384, 3, 2, "valid"),),
    (Conv(64, 1), Conv(96, 3), Conv(96, 3, 2, "valid")),
    (Pool("max", 2, "valid"),),
)
V3_REDUCTION_B: Block = (
    (Conv(192, 1), Conv(320, 3, 2, "valid")),
    (Conv(192, 1), Conv(192, (1, 7)), Conv(192, (7, 1)), Conv(192, 3, 2, "valid")),
    (Pool("max", 2, "valid"),),
)
V3_BLOCK_C: Block = (
    (Conv(320, 1),),
    (Conv(384, 1), Fork((Conv(384, (1, 3)), Conv(384, (3, 1))))),
    (Conv(448, 1), Conv(384, 3), Fork((Conv(384, (1, 3)), Conv(384, (3, 1))))),
    (Pool("avg"), Conv(192, 1)),
)

V4_BLOCK_A: Block = (
    (Conv(96, 1),),
    (Conv(64, 1), Conv(96, 3)),
    (Conv(64, 1), Conv(96, 3), Conv(96, 3)),
    (Pool("avg"), Conv(96, 1)),
)
V4_REDUCTION_A: Block = (
    (Conv(384, 3, 2, "valid"),),
    (Conv(192, 1), Conv(224, 3), Conv(256, 3, 2, "valid")),
    (Pool("max", 2, "valid"),),
)
V4_BLOCK_B: Block = (
    (Conv(384, 1),),
    (Conv(192, 1), Conv(224, (1, 7)), Conv(256, (7, 1))),
    (Conv(192, 1), Conv(192, (7, 1)), Conv(224, (1, 7)), Conv(224, (7, 1)), Conv(256, (1, 7))),
    (Pool("avg"), Conv(128, 1)),
)
V4_REDUCTION_B: Block = (
    (Conv(192, 1), Conv(192, 3, 2, "valid")),
    (Conv(256, 1), Conv(256, (1, 7)), Conv(320, (7, 1)), Conv(320, 3, 2, "valid")),
    (Pool("max", 2, "valid"),),
)
V4_BLOCK_C: Block = (
    (Conv(256, 1),),
    (Conv(384, 1), Fork((Conv(256, (1, 3)), Conv(256, (3, 1))))),
    (
        Conv(384, 1),
        Conv(448, (3, 1)),
        Conv(512, (1, 3)),
        Fork((Conv(256, (1, 3)), Conv(256, (3, 1)))),
    ),
    (Pool("avg"), Conv(256, 1)),
)

V1: dict[str, Step] = {
    "conv_1a": Conv(64, 7, 2),
    "pool_2a": Pool("max", 2),
    "conv_2b": Conv(64, 1),
    "conv_2c": Conv(192, 3),
    "pool_3a": Pool("max", 2),
    "mixed_3b": v1_block(64, (96, 128), (16, 32), 32),
    "mixed_3c": v1_block(128, (128, 192), (32, 96), 64),
    "pool_4a": Pool("max", 2),
    "mixed_4b": v1_block(192, (96, 208), (16, 48), 64),
    "mixed_4c": v1_block(160, (112, 224), (24, 64), 64),
    "mixed_4d": v1_block(128, (128, 256), (24, 64), 64),
    "mixed_4e": v1_block(112, (144, 288), (32, 64), 64),
    "mixed_4f": v1_block(256, (160, 320), (32, 128), 128),
    "pool_5a": Pool("max", 2, size=2),
    "mixed_5b": v1_block(256, (160, 320), (32, 128), 128),
    "mixed_5c": v1_block(384, (192, 384), (48, 128), 128),
}
V2: dict[str, Step] = {
    "conv_1a": SeparableConv(64, 7, 2, multiplier=8),
    "pool_2a": Pool("max", 2),
    "conv_2b": Conv(64, 1),
    "conv_2c": Conv(192, 3),
    "pool_3a": Pool("max", 2),
    "mixed_3b": v2_block(64, (64, 64), (64, 96), 32),
    "mixed_3c": v2_block(64, (64, 96), (64, 96), 64),
    "mixed_4a": v2_reduction((128, 160), (64, 96)),
    "mixed_4b": v2_block(224, (64, 96), (96, 128), 128),
    "mixed_4c": v2_block(192, (96, 128), (96, 128), 128),
    "mixed_4d": v2_block(160, (128, 160), (128, 160), 96),
    "mixed_4e": v2_block(96, (128, 192), (160, 192), 96),
    "mixed_5a": v2_reduction((128, 192), (192, 256)),
    "mixed_5b": v2_block(352, (192, 320), (160, 224), 128),
    "mixed_5c": v2_block(352, (192, 320), (192, 224), 128, "max"),
}
V3_STEM: dict[str, Step] = {
    "conv_1a": Conv(32, 3, 2, "valid"),
    "conv_2a": Conv(32, 3, 1, "valid"),
    "conv_2b": Conv(64, 3),
    "pool_3a": Pool("max", 2, "valid"),
    "conv_3b": Conv(80, 1),
    "conv_4a": Conv(192, 3, 1, "valid"),
    "pool_5a": Pool("max", 2, "valid"),
}
V3: dict[str, Step] = V3_STEM | {
    "mixed_5b": v3_block_a(32),
    "mixed_5c": v3_block_a(64),
    "mixed_5d": v3_block_a(64),
    "mixed_6a": V3_REDUCTION_A,
    "mixed_6b": v3_block_b(128),
    "mixed_6c": v3_block_b(160),
    "mixed_6d": v3_block_b(160),
    "mixed_6e": v3_block_b(192),
    "mixed_7a": V3_REDUCTION_B,
    "mixed_7b": V3_BLOCK_C,
    "mixed_7c": V3_BLOCK_C,
}
V4_STEM: dict[str, Step] = {
    "conv_1a": Conv(32, 3, 2, "valid"),
    "conv_2a": Conv(32, 3, 1, "valid"),
    "conv_2b": Conv(64, 3),
    "mixed_3a": ((Pool("max", 2, "valid"),), (Conv(96, 3, 2, "valid"),)),
    "mixed_4a": (
        (Conv(64, 1), Conv(96, 3, 1, "valid")),
        (Conv(64, 1), Conv(64, (1, 7)), Conv(64, (7, 1)), Conv(96, 3, 1, "valid")),
    ),
    "mixed_5a": ((Conv(192, 3, 2, "valid"),), (Pool("max", 2, "valid"),)),
}
V4: dict[str, Step] = (
    V4_STEM
    | {f"mixed_5{letter}": V4_BLOCK_A for letter in "bcde"}
    | {"mixed_6a": V4_REDUCTION_A}
    | {f"mixed_6{letter}": V4_BLOCK_B for letter in "bcdefgh"}
    | {"mixed_7a": V4_REDUCTION_B}
    | {f"mixed_7{letter}": V4_BLOCK_C for letter in "bcd"}
)

VARIANTS = {"v1": V1, "v2": V2, "v3": V3, "v4": V4}

FAMILY = Family(VARIANTS, backbone)
