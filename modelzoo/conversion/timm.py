"""Where timm's files keep GluonCV's weights. Source: timm/models/resnet.py of pytorch-image-models.

timm kept the attributes of GluonCV's networks, so a weight has the name that `save_parameters` gives it
there; only the two that a batch norm learns are called as in PyTorch. The memory layouts are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from modelzoo.conversion import gluoncv

WEIGHTS = {"gamma": "weight", "beta": "bias"}


def upstream_names(variant: str, upstream: Collection[str] = ()) -> Callable[[str], str]:
    """The function from our path to timm's name."""
    return lambda path: timm_name(path, variant)


def timm_name(path: str, variant: str) -> str:
    """The name in timm's state_dict.

    >>> timm_name("stem_conv/kernel", "50_v1b")
    'conv1.weight'
    >>> timm_name("stem_conv3/kernel", "50_v1d")
    'conv1.6.weight'
    >>> timm_name("stem_bn2/gamma", "50_v1d")
    'conv1.4.weight'
    >>> timm_name("stem_bn3/beta", "50_v1d")
    'bn1.bias'
    >>> timm_name("stage1_block3_conv2/kernel", "50_v1b")
    'layer1.2.conv2.weight'
    >>> timm_name("stage2_block1_shortcut_bn/moving_variance", "50_v1b")
    'layer2.0.downsample.1.running_var'
    >>> timm_name("stage2_block1_shortcut_bn/moving_variance", "50_v1d")
    'layer2.0.downsample.2.running_var'
    >>> timm_name("logits/bias", "50_v1b")
    'fc.bias'
    """
    layer, _, weight = gluoncv.attribute_name(path, variant).rpartition(".")
    return f"{layer}.{WEIGHTS.get(weight, weight)}"
