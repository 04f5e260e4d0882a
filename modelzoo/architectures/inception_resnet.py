"""Inception-ResNet v2 as TF-slim built and trained it: the branches' sum is added, scaled down, to the input.

Source: Szegedy et al. 2016, https://arxiv.org/abs/1602.07261; tensorflow/models,
research/slim/nets/inception_resnet_v2.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelzoo.architectures import inception
from modelzoo.architectures.family import Family, Tensor
from modelzoo.architectures.inception import Block, Conv, Pool, Step

if TYPE_CHECKING:
    from modelzoo.architectures.layers import Layers


@dataclass(frozen=True)
class Residual:
    """Branches whose 1x1 projection, times `scale`, is added to the input."""

    block: Block
    scale: float = 1.0
    activate: bool = True


def backbone(nn: Layers, images: Tensor, variant: str) -> dict[str, Tensor]:
    """The feature maps by name: C1 has stride 2, C2 stride 4, and so on; the last one feeds the head."""
    return inception.follow(nn, images, VARIANTS[variant], apply)


def apply(nn: Layers, x: Tensor, step: Step | Residual, name: str) -> Tensor:
    """One step of a network."""
    if isinstance(step, Residual):
        return residual_block(nn, x, step, name)
    return inception.apply(nn, x, step, name)


def residual_block(nn: Layers, x: Tensor, step: Residual, name: str) -> Tensor:
    """The projection has a bias, but no norm and no activation before the sum."""
    residual = nn.concat(inception.branches(nn, x, step.block, name), name=f"{name}_concat")
    residual = nn.conv(residual, x.channels, 1, bias=True, name=f"{name}_conv")
    if step.scale != 1:
        residual = nn.scale(residual, step.scale, name=f"{name}_scale")
    x = nn.add([x, residual], name=f"{name}_add")
    return nn.relu(x, name=f"{name}_relu") if step.activate else x


BLOCK_35: Block = (
    (Conv(32, 1),),
    (Conv(32, 1), Conv(32, 3)),
    (Conv(32, 1), Conv(48, 3), Conv(64, 3)),
)
BLOCK_17: Block = (
    (Conv(192, 1),),
    (Conv(128, 1), Conv(160, (1, 7)), Conv(192, (7, 1))),
)
BLOCK_8: Block = (
    (Conv(192, 1),),
    (Conv(192, 1), Conv(224, (1, 3)), Conv(256, (3, 1))),
)

V2: dict[str, Step | Residual] = (
    inception.V3_STEM
    | {
        "mixed_5b": (
            (Conv(96, 1),),
            (Conv(48, 1), Conv(64, 5)),
            (Conv(64, 1), Conv(96, 3), Conv(96, 3)),
            (Pool("avg"), Conv(64, 1)),
        )
    }
    | {f"block35_{number}": Residual(BLOCK_35, 0.17) for number in range(1, 11)}
    | {
        "mixed_6a": (
            (Conv(384, 3, 2, "valid"),),
            (Conv(256, 1), Conv(256, 3), Conv(384, 3, 2, "valid")),
            (Pool("max", 2, "valid"),),
        )
    }
    | {f"block17_{number}": Residual(BLOCK_17, 0.10) for number in range(1, 21)}
    | {
        "mixed_7a": (
            (Conv(256, 1), Conv(384, 3, 2, "valid")),
            (Conv(256, 1), Conv(288, 3, 2, "valid")),
            (Conv(256, 1), Conv(288, 3), Conv(320, 3, 2, "valid")),
            (Pool("max", 2, "valid"),),
        )
    }
    | {f"block8_{number}": Residual(BLOCK_8, 0.20) for number in range(1, 10)}
    | {"block8_10": Residual(BLOCK_8, activate=False), "conv_7b": Conv(1536, 1)}
)

VARIANTS = {"v2": V2}

FAMILY = Family(VARIANTS, backbone)
