"""Where torchvision keeps the weights of DenseNet. Source: torchvision/models/densenet.py."""

from __future__ import annotations

import re

from modelzoo.conversion.matching import parts
from modelzoo.conversion.torchvision import TORCH_WEIGHTS

EPSILON = 1e-5  # of its batch norms; Keras' have 1.001e-5
ENDS = {"conv1_conv": "features.conv0", "conv1_bn": "features.norm0", "bn": "features.norm5"}
ENDS |= {"logits": "classifier"}
LAYER = re.compile(r"conv(\d)_block(\d+)_(\d)_(conv|bn)")
BETWEEN = re.compile(r"pool(\d)_(conv|bn)")
PARTS = {"0bn": "norm1", "1conv": "conv1", "1bn": "norm2", "2conv": "conv2"}


def torchvision_name(path: str) -> str:
    """The name in torchvision's state dict; a block is counted from 1 there, and in Keras from 2.

    >>> torchvision_name("conv2_block1_1_bn/gamma")
    'features.denseblock1.denselayer1.norm2.weight'
    >>> torchvision_name("pool2_conv/kernel")
    'features.transition1.conv.weight'
    """
    layer, _, weight = path.rpartition("/")
    name = TORCH_WEIGHTS[weight]
    if layer in ENDS:
        return f"{ENDS[layer]}.{name}"
    if match := BETWEEN.fullmatch(layer):
        return f"features.transition{int(match[1]) - 1}.{'conv' if match[2] == 'conv' else 'norm'}.{name}"
    block, number, place, kind = parts(LAYER, layer)
    return f"features.denseblock{int(block) - 1}.denselayer{number}.{PARTS[place + kind]}.{name}"
