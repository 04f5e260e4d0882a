"""Where torchvision keeps the weights of VGG. Source: torchvision/models/vgg.py."""

from __future__ import annotations

import re
from collections.abc import Callable

from modelzoo.conversion.matching import parts

CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}  # of each block
LAYER = re.compile(r"block(\d)_conv(\d)")
HEAD = {"fc1": "classifier.0", "fc2": "classifier.3", "logits": "classifier.6"}
WEIGHTS = {"kernel": "weight", "bias": "bias"}


def names(variant: str) -> Callable[[str], str]:
    """The function from our path to the name: its Sequential counts activations and poolings, too.

    >>> names("vgg16")("block2_conv1/kernel")
    'features.5.weight'
    >>> names("vgg16")("fc2/bias")
    'classifier.3.bias'
    """

    def name_of(path: str) -> str:
        layer, _, weight = path.rpartition("/")
        if layer in HEAD:
            return f"{HEAD[layer]}.{WEIGHTS[weight]}"
        block, number = map(int, parts(LAYER, layer))
        before = sum(2 * count + 1 for count in CONVOLUTIONS[variant][: block - 1])
        return f"features.{before + 2 * (number - 1)}.{WEIGHTS[weight]}"

    return name_of
