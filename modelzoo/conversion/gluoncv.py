"""Where GluonCV's .params files keep our weights. Source: gluoncv/model_zoo/resnetv1b.py of dmlc/gluon-cv.

The same network is stored under two kinds of names: `save_parameters` follows the attributes
(layer1.0.conv1.weight), `export` and the older `save_params` count the layers of a name scope
(resnetv1b_layers1_conv0_weight).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from modelzoo.architectures.resnet import VARIANTS
from modelzoo.conversion.matching import parts

WEIGHTS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "gamma",
    "beta": "beta",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
BLOCK = re.compile(r"stage(\d+)_block(\d+)_(shortcut_)?(conv|bn)(\d*)")
STEM = re.compile(r"stem_(conv|bn)(\d*)")


def upstream_names(variant: str, upstream: Collection[str] = ()) -> Callable[[str], str]:
    """The function from our path to the upstream name, for the kind of names that `upstream` has."""
    if not upstream or any("." in name for name in upstream):
        return lambda path: attribute_name(path, variant)
    # v1c and v1d have the same layers: only the network's prefix tells them apart.
    network = f"resnet{variant.partition('_')[2]}_"
    prefix = network if any(name.startswith("resnet") for name in upstream) else ""
    return lambda path: prefix + scope_name(path, variant)


def attribute_name(path: str, variant: str) -> str:
    """The name by attributes.

    >>> attribute_name("stem_conv/kernel", "50_v1b")
    'conv1.weight'
    >>> attribute_name("stem_bn2/gamma", "50_v1d")
    'conv1.4.gamma'
    >>> attribute_name("stem_bn3/gamma", "50_v1d")
    'bn1.gamma'
    >>> attribute_name("stage1_block3_conv2/kernel", "50_v1b")
    'layer1.2.conv2.weight'
    >>> attribute_name("stage2_block1_shortcut_bn/moving_variance", "50_v1b")
    'layer2.0.downsample.1.running_var'
    >>> attribute_name("stage2_block1_shortcut_bn/moving_variance", "50_v1d")
    'layer2.0.downsample.2.running_var'
    """
    layer, _, weight = path.rpartition("/")
    suffix = WEIGHTS[weight]
    if layer == "logits":
        return f"fc.{suffix}"
    if match := STEM.fullmatch(layer):
        kind, number = match[1], int(match[2] or 0)
        if number == 0:
            return f"{kind}1.{suffix}"
        if (kind, number) == ("bn", 3):  # the last norm of the deep stem is outside its Sequential
            return f"bn1.{suffix}"
        position = 3 * (number - 1) + (kind == "bn")  # convolution, norm, activation, three times
        return f"conv1.{position}.{suffix}"
    stage, block, shortcut, kind, number = _block(layer)
    if shortcut:
        position = (kind == "bn") + variant.endswith("v1d")  # v1d's average pooling comes first
        return f"layer{stage}.{block - 1}.downsample.{position}.{suffix}"
    return f"layer{stage}.{block - 1}.{kind}{number}.{suffix}"


def scope_name(path: str, variant: str) -> str:
    """The name by counting, without the network's prefix.

    >>> scope_name("stem_bn3/gamma", "50_v1d")
    'batchnorm2_gamma'
    >>> scope_name("stage1_block3_conv2/kernel", "50_v1b")
    'layers1_conv7_weight'
    >>> scope_name("stage1_block3_conv2/kernel", "34_v1b")
    'layers1_conv5_weight'
    >>> scope_name("stage2_block1_shortcut_bn/moving_variance", "50_v1b")
    'down2_batchnorm0_running_var'
    """
    layer, _, weight = path.rpartition("/")
    suffix = WEIGHTS[weight]
    if layer == "logits":
        return f"dense0_{suffix}"
    if match := STEM.fullmatch(layer):
        return f"{_counted(match[1])}{int(match[2] or 1) - 1}_{suffix}"
    stage, block, shortcut, kind, number = _block(layer)
    if shortcut:
        return f"down{stage}_{_counted(kind)}0_{suffix}"
    convolutions = 3 if VARIANTS[variant].bottleneck else 2  # in each block
    return f"layers{stage}_{_counted(kind)}{(block - 1) * convolutions + number - 1}_{suffix}"


def _counted(kind: str) -> str:
    return {"conv": "conv", "bn": "batchnorm"}[kind]


def _block(layer: str) -> tuple[int, int, bool, str, int]:
    stage, block, shortcut, kind, number = parts(BLOCK, layer)
    return int(stage), int(block), shortcut is not None, kind, int(number or 0)
