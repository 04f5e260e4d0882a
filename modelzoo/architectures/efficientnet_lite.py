"""EfficientNet-Lite 0 to 4: EfficientNet for phones, without squeeze-and-excitation, with ReLU6 throughout.

Sources: Tan and Le 2019, https://arxiv.org/abs/1905.11946; tensorflow/tpu, models/official/efficientnet/lite.
All convolutions pad as TensorFlow does, unevenly under stride.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelzoo.architectures.family import CHAINED_GAMMA, Family, NormOptions, Proof, Range, Tensor
from modelzoo.architectures.mobilenet import (
    InvertedResidual,
    Style,
    divisible,
    final,
    inverted_residual,
    stem,
)

if TYPE_CHECKING:
    from modelzoo.architectures.layers import Layers

NORM: NormOptions = {"epsilon": 1e-3, "momentum": 0.99}
STYLE = Style(NORM, "same")

STAGES = (  # expansion, width, blocks, stride of the first block, kernel: EfficientNet-B0's
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
STEM_WIDTH, LAST_WIDTH = 32, 1280  # of every variant: "fix_head_stem"


@dataclass(frozen=True)
class Variant:
    """The facts in which one EfficientNet-Lite differs from another."""

    width: float  # multiplies the stages' widths
    depth: float  # multiplies their blocks, but for the first and the last stage's


def backbone(nn: Layers, images: Tensor, variant: str) -> dict[str, Tensor]:
    """The feature maps by name: C1 has stride 2, C2 stride 4, and so on.

    C1 to C4 are the last blocks of each stride, narrow and linear; C5, which feeds the head, is the wide map
    after the last 1x1 convolution, its batch norm and ReLU6.
    """
    facts = VARIANTS[variant]
    x = stem(nn, images, STEM_WIDTH, STYLE)
    features, level, number = {"C1": x}, 1, 0
    for expansion, width, blocks, first_stride, kernel in STAGES:
        repeats = blocks if blocks == 1 else math.ceil(blocks * facts.depth)
        for stride in (first_stride, *[1] * (repeats - 1)):
            number += 1
            block = InvertedResidual(expansion, divisible(width * facts.width), stride, kernel)
            x = inverted_residual(nn, x, block, f"block{number}", STYLE)
            level += stride - 1
            features[f"C{level}"] = x
    features[f"C{level}"] = final(nn, x, LAST_WIDTH, STYLE)
    return features


VARIANTS = {
    "0": Variant(1.0, 1.0),
    "1": Variant(1.0, 1.1),
    "2": Variant(1.1, 1.2),
    "3": Variant(1.2, 1.4),
    "4": Variant(1.4, 1.8),
}

# Over the 24 and 30 blocks of Lite 3 and 4 MobileNet's CHAINED_GAMMA would let rounding grow to 3e-6 of C5.
DEEP_GAMMA: Range = (0.8, 1.4)
NARROWED = r"block\d+_depthwise_bn"

PROOF, DEEP = Proof(gammas={NARROWED: CHAINED_GAMMA}), Proof(gammas={NARROWED: DEEP_GAMMA})
FAMILY = Family(VARIANTS, backbone, proof=PROOF, other_proofs={"3": DEEP, "4": DEEP})
