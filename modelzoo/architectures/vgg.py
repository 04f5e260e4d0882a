"""VGG-16 and VGG-19: stacks of 3x3 convolutions with biases, and three fully connected layers.

Sources: Simonyan and Zisserman 2014, https://arxiv.org/abs/1409.1556; tensorflow/models,
research/slim/nets/vgg.py, which makes convolutions of the fully connected layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelzoo.architectures.family import Family, Proof, Tensor

if TYPE_CHECKING:
    from modelzoo.architectures.layers import Layers, Padding


@dataclass(frozen=True)
class Variant:
    """The number of convolutions in each stage, and their widths."""

    convolutions: tuple[int, ...]
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)


def backbone(nn: Layers, images: Tensor, variant: str) -> dict[str, Tensor]:
    """The feature maps by name: C1 to C4 come before the pooling that halves them, C5 is the last pooling."""
    facts = VARIANTS[variant]
    x = images
    features = {}
    for stage, (convolutions, width) in enumerate(
        zip(facts.convolutions, facts.widths, strict=True), start=1
    ):
        for convolution in range(1, convolutions + 1):
            x = conv_relu(nn, x, width, 3, f"conv{stage}_{convolution}")
        if stage > 1:
            features[f"C{stage - 1}"] = x
        x = nn.max_pool(x, 2, stride=2, padding="valid", name=f"pool{stage}")
    return features | {"C5": x}


def top(nn: Layers, x: Tensor, variant: str) -> Tensor:
    """The two hidden fully connected layers; images larger than 224x224 have many, and their average.

    A smaller image does not fill the 7x7 pixels of the first.
    """
    x = conv_relu(nn, x, 4096, FC6_SIDE, "fc6", padding="valid")
    x = conv_relu(nn, x, 4096, 1, "fc7")
    return nn.global_pool(x, "avg", name="pool")


def conv_relu(nn: Layers, x: Tensor, filters: int, side: int, name: str, padding: Padding = "same") -> Tensor:
    """A convolution with bias and its ReLU, named conv1_1 and relu1_1, or fc6 and relu6."""
    x = nn.conv(x, filters, side, padding=padding, bias=True, name=name)
    return nn.relu(x, name=name.replace("conv", "relu").replace("fc", "relu"))


FC6_SIDE = 7  # pixels of C5 that one unit of fc6 sees: all of them, at 224x224

VARIANTS = {
    "16": Variant((2, 2, 3, 3, 3)),
    "19": Variant((2, 2, 4, 4, 4)),
}

PROOF = Proof(
    odd_size=(257, 289),  # the top needs 224 pixels
    # It sums 4,608 products and more without a norm: another order of them, by another CPU's, shows.
    limit=5e-6,
)
FAMILY = Family(VARIANTS, backbone, top, proof=PROOF)
