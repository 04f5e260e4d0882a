"""MobileNet v1 and v2 as TF-slim trained them, v2 also as torchvision did: depthwise and pointwise layers.

Sources: Howard et al. 2017, https://arxiv.org/abs/1704.04861; Sandler et al. 2018,
https://arxiv.org/abs/1801.04381; tensorflow/models, research/slim/nets/mobilenet_v1.py and
nets/mobilenet/; torchvision/models/mobilenetv2.py. slim's convolutions pad as TensorFlow does, unevenly under
stride; every ReLU is a ReLU6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelzoo.architectures.family import CHAINED_GAMMA, Family, NormOptions, Proof, Tensor

if TYPE_CHECKING:
    from modelzoo.architectures.layers import Layers, Padding

# Both arg scopes leave slim's epsilon as it is; their decays differ.
V1_NORM: NormOptions = {"epsilon": 1e-3, "momentum": 0.9997}
V2_NORM: NormOptions = {"epsilon": 1e-3, "momentum": 0.997}
TORCH_NORM: NormOptions = {
    "epsilon": 1e-5,
    "momentum": 0.9,
}  # PyTorch's defaults; it calls 1 - 0.9 the momentum

V1_BLOCKS = (  # width, stride
    (64, 1),
    *((128, 2), (128, 1)),
    *((256, 2), (256, 1)),
    *((512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1)),
    *((1024, 2), (1024, 1)),
)
V2_STAGES = (  # expansion, width, blocks, stride of the first block: table 2 of the paper
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
V2_LAST_WIDTH = 1280
MIN_WIDTH = 8  # of v1 under a multiplier
DIVISOR = 8  # of every width of v2


@dataclass(frozen=True)
class Style:
    """What a training program decides for a whole network."""

    norm: NormOptions
    padding: Padding


V1, V2, TORCH = Style(V1_NORM, "same"), Style(V2_NORM, "same"), Style(TORCH_NORM, "symmetric")


@dataclass(frozen=True)
class Variant:
    """The facts in which one MobileNet differs from another."""

    graph: Callable[[Layers, Tensor, float, Style], dict[str, Tensor]]
    multiplier: float  # of all widths; the originals call it the depth multiplier
    style: Style


def backbone(nn: Layers, images: Tensor, variant: str) -> dict[str, Tensor]:
    """The feature maps by name: C1 has stride 2, C2 stride 4, and so on; the last one feeds the head."""
    facts = VARIANTS[variant]
    return facts.graph(nn, images, facts.multiplier, facts.style)


def v1(nn: Layers, x: Tensor, multiplier: float, style: Style) -> dict[str, Tensor]:
    """MobileNet v1; C1 to C5 are the last blocks of each stride, after their ReLU6."""

    def thinned(width: int) -> int:
        return max(int(width * multiplier), MIN_WIDTH)

    x = stem(nn, x, thinned(32), style)
    features, level = {"C1": x}, 1
    for block, (width, stride) in enumerate(V1_BLOCKS, start=1):
        x = separable_block(nn, x, thinned(width), stride, f"block{block}", style)
        level += stride - 1
        features[f"C{level}"] = x
    return features


def stem(nn: Layers, x: Tensor, width: int, style: Style) -> Tensor:
    """The first convolution, 3x3 with stride 2, with batch norm and ReLU6."""
    x = nn.conv(x, width, 3, stride=2, padding=style.padding, name="stem_conv")
    return norm_relu6(nn, x, "stem", style.norm)


def separable_block(nn: Layers, x: Tensor, width: int, stride: int, name: str, style: Style) -> Tensor:
    """A 3x3 depthwise and a pointwise convolution, each with batch norm and ReLU6."""
    x = nn.depthwise_conv(x, 3, stride=stride, padding=style.padding, name=f"{name}_depthwise")
    x = norm_relu6(nn, x, f"{name}_depthwise", style.norm)
    x = nn.conv(x, width, 1, name=f"{name}_pointwise")
    return norm_relu6(nn, x, f"{name}_pointwise", style.norm)


def v2(nn: Layers, x: Tensor, multiplier: float, style: Style) -> dict[str, Tensor]:
    """MobileNet v2.

    C1 to C4 are the last blocks of each stride, narrow and linear; C5 is the wide map after the
    last 1x1 convolution (`Conv_1` of the original), its batch norm and ReLU6.
    """

    def thinned(width: int) -> int:
        return divisible(width * multiplier)

    x = stem(nn, x, thinned(32), style)
    features, level, number = {"C1": x}, 1, 0
    for expansion, width, blocks, first_stride in V2_STAGES:
        for stride in (first_stride, *[1] * (blocks - 1)):
            number += 1
            block = InvertedResidual(expansion, thinned(width), stride)
            x = inverted_residual(nn, x, block, f"block{number}", style)
            level += stride - 1
            features[f"C{level}"] = x
    # A multiplier under 1 leaves the last layer wide: section 6.1 of the paper.
    features[f"C{level}"] = final(nn, x, divisible(V2_LAST_WIDTH * max(multiplier, 1.0)), style)
    return features


@dataclass(frozen=True)
class InvertedResidual:
    """The facts in which one such block differs from another."""

    expansion: int
    width: int
    stride: int
    kernel: int = 3


def inverted_residual(nn: Layers, x: Tensor, block: InvertedResidual, name: str, style: Style) -> Tensor:
    """Widen, convolve each channel, and narrow again without an activation; a shortcut where shapes allow."""
    shortcut, padding = x, style.padding
    if block.expansion > 1:
        x = nn.conv(x, block.expansion * x.channels, 1, name=f"{name}_expand")
        x = norm_relu6(nn, x, f"{name}_expand", style.norm)
    x = nn.depthwise_conv(x, block.kernel, stride=block.stride, padding=padding, name=f"{name}_depthwise")
    x = norm_relu6(nn, x, f"{name}_depthwise", style.norm)
    x = nn.conv(x, block.width, 1, name=f"{name}_project")
    x = nn.norm(x, name=f"{name}_project_bn", **style.norm)
    if block.stride == 1 and shortcut.channels == block.width:
        x = nn.add([x, shortcut], name=f"{name}_add")
    return x


def final(nn: Layers, x: Tensor, width: int, style: Style) -> Tensor:
    """The wide 1x1 convolution before the head, with batch norm and ReLU6."""
    return norm_relu6(nn, nn.conv(x, width, 1, name="final_conv"), "final", style.norm)


def norm_relu6(nn: Layers, x: Tensor, name: str, norm: NormOptions) -> Tensor:
    x = nn.norm(x, name=f"{name}_bn", **norm)
    return nn.relu(x, limit=6.0, name=f"{name}_relu")


def divisible(width: float) -> int:
    """The multiple of DIVISOR nearest to `width`, but at least one, and not 10 % or more below it."""
    rounded = max(DIVISOR, int(width + DIVISOR / 2) // DIVISOR * DIVISOR)
    return rounded + DIVISOR if rounded < 0.9 * width else rounded


VARIANTS = {
    "v1_1.0": Variant(v1, 1.0, V1),
    "v1_0.5": Variant(v1, 0.5, V1),
    "v1_0.25": Variant(v1, 0.25, V1),
    "v2_1.0": Variant(v2, 1.0, V2),
    "v2_1.4": Variant(v2, 1.4, V2),
    "v2_1.0_torchvision": Variant(v2, 1.0, TORCH),
}

PROOF = Proof(gammas={r"block\d+_depthwise_bn": CHAINED_GAMMA})
FAMILY = Family(VARIANTS, backbone, proof=PROOF)
