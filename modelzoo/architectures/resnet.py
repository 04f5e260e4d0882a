"""Residual networks: Tencent's ML-Images v2, GluonCV's v1b to v1d and v1s, TF-slim's v1 and v2, a ResNet-9.

Sources: He et al. 2015, https://arxiv.org/abs/1512.03385, and 2016, https://arxiv.org/abs/1603.05027;
Tencent/tencent-ml-images, models/resnet.py; dmlc/gluon-cv, gluoncv/model_zoo/resnetv1b.py and
He et al. 2018, "Bag of Tricks", https://arxiv.org/abs/1812.01187; tensorflow/models,
research/slim/nets/resnet_v1.py, resnet_v2.py and resnet_utils.py; David Page, "How to Train Your
ResNet", 2018, for the ResNet-9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelzoo.architectures.family import Family, NormOptions, Tensor

if TYPE_CHECKING:
    from modelzoo.architectures.layers import Layers

# The flags say 1e-5; TensorFlow's fused batch norm, which the original runs, raises that to 1.001e-5.
TENCENT_NORM: NormOptions = {"epsilon": 1.001e-5, "momentum": 0.997}
# TensorFlow 2.21, which the proof runs, leaves 1e-5 alone; TensorFlow 1 raised it here too.
SLIM_NORM: NormOptions = {"epsilon": 1e-5, "momentum": 0.997}
GLUON_NORM: NormOptions = {"epsilon": 1e-5, "momentum": 0.9}
RESNET9_NORM: NormOptions = {"epsilon": 1e-3, "momentum": 0.9}


@dataclass(frozen=True)
class Variant:
    """The facts in which one residual network differs from another."""

    graph: Callable[[Layers, Tensor, Variant], dict[str, Tensor]]
    blocks: tuple[int, ...]
    widths: tuple[int, ...] = (64, 128, 256, 512)
    bottleneck: bool = True
    deep_stem: int | None = None  # three 3x3 convolutions of this width instead of one 7x7
    average_shortcut: bool = False  # the shortcut halves by averaging, not by skipping pixels


def backbone(nn: Layers, images: Tensor, variant: str) -> dict[str, Tensor]:
    """The feature maps by name: C1 has stride 2, C2 stride 4, and so on; the last one feeds the head."""
    facts = VARIANTS[variant]
    return facts.graph(nn, images, facts)


def tencent(nn: Layers, x: Tensor, facts: Variant) -> dict[str, Tensor]:
    """ResNet v2 without the max-pool after the stem: stage 1 strides instead.

    C1 to C4 are sums of the residual branch and the shortcut, before any activation; C5 has
    passed the last batch norm and ReLU.
    """
    x = nn.conv(x, 64, 7, stride=2, name="stem_conv")
    features = {"C1": x}
    for stage, (blocks, width) in enumerate(zip(facts.blocks, facts.widths, strict=True), start=1):
        for block in range(1, blocks + 1):
            stride = 2 if block == 1 else 1
            x = preactivated_bottleneck(nn, x, width, stride, block == 1, f"stage{stage}_block{block}")
        features[f"C{stage + 1}"] = x
    x = nn.norm(x, name="final_bn", **TENCENT_NORM)
    features["C5"] = nn.relu(x, name="final_relu")
    return features


def preactivated_bottleneck(
    nn: Layers, x: Tensor, width: int, stride: int, project: bool, name: str
) -> Tensor:
    """Norm before each convolution; a projected shortcut has a norm of its own on the same input."""

    def norm_relu_conv(x: Tensor, filters: int, kernel: int, stride: int, bn: str, conv: str) -> Tensor:
        x = nn.norm(x, name=f"{name}_{bn}", **TENCENT_NORM)
        x = nn.relu(x, name=f"{name}_{bn.replace('bn', 'relu')}")
        return nn.conv(x, filters, kernel, stride=stride, name=f"{name}_{conv}")

    shortcut = x
    if project:
        shortcut = norm_relu_conv(x, 4 * width, 1, stride, "shortcut_bn", "shortcut_conv")
    x = norm_relu_conv(x, width, 1, 1, "bn1", "conv1")
    x = norm_relu_conv(x, width, 3, stride, "bn2", "conv2")
    x = norm_relu_conv(x, 4 * width, 1, 1, "bn3", "conv3")
    return nn.add([x, shortcut], name=f"{name}_add")


def gluon(nn: Layers, x: Tensor, facts: Variant) -> dict[str, Tensor]:
    """ResNet v1b: the bottleneck strides in its 3x3 convolution. v1c, v1d, v1s vary stem and shortcut."""
    if facts.deep_stem is None:
        x = conv_norm_relu(nn, x, 64, 7, 2, "stem_conv")
    else:
        x = conv_norm_relu(nn, x, facts.deep_stem, 3, 2, "stem_conv1")
        x = conv_norm_relu(nn, x, facts.deep_stem, 3, 1, "stem_conv2")
        x = conv_norm_relu(nn, x, 2 * facts.deep_stem, 3, 1, "stem_conv3")
    features = {"C1": x}
    x = nn.max_pool(x, 3, stride=2, name="stem_pool")
    for stage, (blocks, width) in enumerate(zip(facts.blocks, facts.widths, strict=True), start=1):
        for block in range(1, blocks + 1):
            stride = 2 if block == 1 and stage > 1 else 1
            x = postactivated_block(nn, x, width, stride, facts, f"stage{stage}_block{block}")
        features[f"C{stage + 1}"] = x
    return features


def postactivated_block(nn: Layers, x: Tensor, width: int, stride: int, facts: Variant, name: str) -> Tensor:
    """A basic or bottleneck block with the ReLU after the sum."""
    channels = 4 * width if facts.bottleneck else width
    shortcut = x
    if stride > 1 or x.channels != channels:
        if facts.average_shortcut and stride > 1:
            shortcut = nn.average_pool(shortcut, stride, name=f"{name}_shortcut_pool")
            shortcut = nn.conv(shortcut, channels, 1, name=f"{name}_shortcut_conv")
        else:
            shortcut = nn.conv(shortcut, channels, 1, stride=stride, name=f"{name}_shortcut_conv")
        shortcut = nn.norm(shortcut, name=f"{name}_shortcut_bn", **GLUON_NORM)
    if facts.bottleneck:
        x = conv_norm_relu(nn, x, width, 1, 1, f"{name}_conv1")
        x = conv_norm_relu(nn, x, width, 3, stride, f"{name}_conv2")
        x = nn.conv(x, channels, 1, name=f"{name}_conv3")
        x = nn.norm(x, name=f"{name}_bn3", **GLUON_NORM)
    else:
        x = conv_norm_relu(nn, x, width, 3, stride, f"{name}_conv1")
        x = nn.conv(x, channels, 3, name=f"{name}_conv2")
        x = nn.norm(x, name=f"{name}_bn2", **GLUON_NORM)
    x = nn.add([x, shortcut], name=f"{name}_add")
    return nn.relu(x, name=f"{name}_relu")


def slim_v1(nn: Layers, x: Tensor, facts: Variant) -> dict[str, Tensor]:
    """ResNet v1 whose stages stride in their last block, all but the last stage."""
    x = conv_norm_relu(nn, x, 64, 7, 2, "stem_conv", norm=SLIM_NORM)
    features = {"C1": x}
    x = nn.max_pool(x, 3, stride=2, padding="same", name="stem_pool")
    x, finer = slim_stages(nn, x, facts, slim_v1_block)
    return features | finer | {"C5": x}


def slim_v2(nn: Layers, x: Tensor, facts: Variant) -> dict[str, Tensor]:
    """ResNet v2 whose stages stride in their last block, all but the last stage.

    C1 to C4 are as they come, before any norm and activation; C5 has passed the last ones.
    """
    x = nn.conv(x, 64, 7, stride=2, bias=True, name="stem_conv")
    features = {"C1": x}
    x = nn.max_pool(x, 3, stride=2, padding="same", name="stem_pool")
    x, finer = slim_stages(nn, x, facts, slim_v2_block)
    x = nn.norm(x, name="final_bn", **SLIM_NORM)
    return features | finer | {"C5": nn.relu(x, name="final_relu")}


def slim_stages(
    nn: Layers, x: Tensor, facts: Variant, block_function: Callable[..., Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The output of the last stage, and C2 to C4: what the striding blocks, the last of a stage, get."""
    features = {}
    stages = len(facts.blocks)
    for stage, (blocks, width) in enumerate(zip(facts.blocks, facts.widths, strict=True), start=1):
        for block in range(1, blocks + 1):
            stride = 2 if block == blocks and stage < stages else 1
            if stride == 2:
                features[f"C{stage + 1}"] = x
            x = block_function(nn, x, width, stride, f"stage{stage}_block{block}")
    return x, features


def slim_v1_block(nn: Layers, x: Tensor, width: int, stride: int, name: str) -> Tensor:
    """A bottleneck with the ReLU after the sum; where it strides, its shortcut skips pixels."""
    if x.channels != 4 * width:
        shortcut = nn.conv(x, 4 * width, 1, stride=stride, name=f"{name}_shortcut_conv")
        shortcut = nn.norm(shortcut, name=f"{name}_shortcut_bn", **SLIM_NORM)
    else:
        shortcut = skip_pixels(nn, x, stride, f"{name}_shortcut_pool")
    x = conv_norm_relu(nn, x, width, 1, 1, f"{name}_conv1", norm=SLIM_NORM)
    x = conv_norm_relu(nn, x, width, 3, stride, f"{name}_conv2", norm=SLIM_NORM)
    x = nn.conv(x, 4 * width, 1, name=f"{name}_conv3")
    x = nn.norm(x, name=f"{name}_bn3", **SLIM_NORM)
    x = nn.add([x, shortcut], name=f"{name}_add")
    return nn.relu(x, name=f"{name}_relu")


def slim_v2_block(nn: Layers, x: Tensor, width: int, stride: int, name: str) -> Tensor:
    """Norm before each convolution; a projected shortcut shares the first. What is summed has a bias."""
    preactivated = nn.norm(x, name=f"{name}_bn1", **SLIM_NORM)
    preactivated = nn.relu(preactivated, name=f"{name}_relu1")
    if x.channels != 4 * width:
        shortcut = nn.conv(preactivated, 4 * width, 1, stride=stride, bias=True, name=f"{name}_shortcut_conv")
    else:
        shortcut = skip_pixels(nn, x, stride, f"{name}_shortcut_pool")
    x = nn.conv(preactivated, width, 1, name=f"{name}_conv1")
    x = nn.norm(x, name=f"{name}_bn2", **SLIM_NORM)
    x = nn.relu(x, name=f"{name}_relu2")
    x = nn.conv(x, width, 3, stride=stride, name=f"{name}_conv2")
    x = nn.norm(x, name=f"{name}_bn3", **SLIM_NORM)
    x = nn.relu(x, name=f"{name}_relu3")
    x = nn.conv(x, 4 * width, 1, bias=True, name=f"{name}_conv3")
    return nn.add([x, shortcut], name=f"{name}_add")


def skip_pixels(nn: Layers, x: Tensor, stride: int, name: str) -> Tensor:
    """Every `stride`-th pixel of every `stride`-th row: a max pooling over single pixels."""
    return x if stride == 1 else nn.max_pool(x, 1, stride=stride, padding="valid", name=name)


def resnet9(nn: Layers, x: Tensor, facts: Variant) -> dict[str, Tensor]:
    """The small network for 32x32 images: three halvings, residual blocks after the first and third."""
    x = conv_norm_relu(nn, x, facts.widths[0], 3, 1, "stem_conv", norm=RESNET9_NORM)
    features = {}
    for stage, (blocks, width) in enumerate(zip(facts.blocks, facts.widths[1:], strict=True), start=1):
        x = conv_norm_relu(nn, x, width, 3, 1, f"stage{stage}_conv", norm=RESNET9_NORM)
        x = nn.max_pool(x, 2, stride=2, name=f"stage{stage}_pool")
        for block in range(1, blocks + 1):
            name = f"stage{stage}_block{block}"
            shortcut = x
            x = conv_norm_relu(nn, x, width, 3, 1, f"{name}_conv1", norm=RESNET9_NORM)
            x = conv_norm_relu(nn, x, width, 3, 1, f"{name}_conv2", norm=RESNET9_NORM)
            x = nn.add([x, shortcut], name=f"{name}_add")
        features[f"C{stage}"] = x
    return features


def conv_norm_relu(
    nn: Layers,
    x: Tensor,
    filters: int,
    kernel: int,
    stride: int,
    name: str,
    *,
    norm: NormOptions = GLUON_NORM,
) -> Tensor:
    """Convolution, batch norm and ReLU, named stem_conv1, stem_bn1 and stem_relu1."""
    x = nn.conv(x, filters, kernel, stride=stride, name=name)
    x = nn.norm(x, name=name.replace("conv", "bn"), **norm)
    return nn.relu(x, name=name.replace("conv", "relu"))


DEPTH_18 = (2, 2, 2, 2)
DEPTH_34 = DEPTH_50 = (3, 4, 6, 3)
DEPTH_101 = (3, 4, 23, 3)
DEPTH_152 = (3, 8, 36, 3)

VARIANTS = {
    "tencent_50": Variant(tencent, DEPTH_50),
    "tencent_101": Variant(tencent, DEPTH_101),
    "tencent_152": Variant(tencent, DEPTH_152),
    "18_v1b": Variant(gluon, DEPTH_18, bottleneck=False),
    "34_v1b": Variant(gluon, DEPTH_34, bottleneck=False),
    "50_v1b": Variant(gluon, DEPTH_50),
    "101_v1b": Variant(gluon, DEPTH_101),
    "152_v1b": Variant(gluon, DEPTH_152),
    "50_v1c": Variant(gluon, DEPTH_50, deep_stem=32),
    "101_v1c": Variant(gluon, DEPTH_101, deep_stem=32),
    "152_v1c": Variant(gluon, DEPTH_152, deep_stem=32),
    "50_v1d": Variant(gluon, DEPTH_50, deep_stem=32, average_shortcut=True),
    "101_v1d": Variant(gluon, DEPTH_101, deep_stem=32, average_shortcut=True),
    "152_v1d": Variant(gluon, DEPTH_152, deep_stem=32, average_shortcut=True),
    "50_v1s": Variant(gluon, DEPTH_50, deep_stem=64),
    "101_v1s": Variant(gluon, DEPTH_101, deep_stem=64),
    "152_v1s": Variant(gluon, DEPTH_152, deep_stem=64),
    "slim_v1_50": Variant(slim_v1, DEPTH_50),
    "slim_v1_101": Variant(slim_v1, DEPTH_101),
    "slim_v1_152": Variant(slim_v1, DEPTH_152),
    "slim_v2_50": Variant(slim_v2, DEPTH_50),
    "slim_v2_101": Variant(slim_v2, DEPTH_101),
    "slim_v2_152": Variant(slim_v2, DEPTH_152),
    "9": Variant(resnet9, (1, 0, 1), widths=(32, 64, 128, 192)),
}

FAMILY = Family(VARIANTS, backbone)
