"""Where timm keeps the weights of EfficientNets.

Sources: timm/models/efficientnet.py and timm/models/_efficientnet_blocks.py of pytorch-image-models.
Its blocks are counted stage by stage; what comes first in a block is called by what it does there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from modelzoo.architectures.efficientnet_lite import STAGES, VARIANTS
from modelzoo.conversion.matching import parts
from modelzoo.conversion.torchvision import TORCH_WEIGHTS

LITE_BLOCK = re.compile(r"block(\d+)_(expand|depthwise|project)(_bn)?")
KERAS_BLOCK = re.compile(r"block(\d+)([a-z])_(expand_|project_|se_|dw)?(conv|bn|reduce|expand)2?")
ENDS = {"stem_conv": "conv_stem", "stem_bn": "bn1", "logits": "classifier"}
ENDS |= {"final_conv": "conv_head", "final_bn": "bn2", "top_conv": "conv_head", "top_bn": "bn2"}
# By what a block does first: a convolution of each channel, one of 1x1 that expands, one of 3x3 that does
# both, or one of 3x3 alone.
SEPARABLE = {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")}
INVERTED = {"expand": ("conv_pw", "bn1"), "depthwise": ("conv_dw", "bn2"), "project": ("conv_pwl", "bn3")}
FUSED = {"expand": ("conv_exp", "bn1"), "project": ("conv_pwl", "bn2")}
PLAIN = {"project": ("conv", "bn1")}


def lite_names(variant: str) -> Callable[[str], str]:
    """The function from our path in EfficientNet-Lite to timm's name.

    >>> lite_names("0")("block1_project_bn/gamma")
    'blocks.0.0.bn2.weight'
    >>> lite_names("0")("block3_depthwise/kernel")
    'blocks.1.1.conv_dw.weight'
    """
    places = [
        (stage, block)
        for stage, (_, _, blocks, _, _) in enumerate(STAGES)
        for block in range(blocks if blocks == 1 else math.ceil(blocks * VARIANTS[variant].depth))
    ]

    def name_of(path: str) -> str:
        layer, _, weight = path.rpartition("/")
        if layer in ENDS:
            return f"{ENDS[layer]}.{TORCH_WEIGHTS[weight]}"
        number, part, norm = parts(LITE_BLOCK, layer)
        stage, block = places[int(number) - 1]
        kind = INVERTED if stage else SEPARABLE
        return f"blocks.{stage}.{block}.{kind[part][norm is not None]}.{TORCH_WEIGHTS[weight]}"

    return name_of


def keras_names(variant: str) -> Callable[[str], str]:
    """The function from our path in a network of keras.applications to timm's name.

    >>> keras_names("efficientnet_b0")("block1a_bn/beta")
    'blocks.0.0.bn1.bias'
    >>> keras_names("efficientnet_b0")("block2b_se_reduce/kernel")
    'blocks.1.1.se.conv_reduce.weight'
    >>> keras_names("efficientnet_v2_s")("block2a_expand_conv/kernel")
    'blocks.1.0.conv_exp.weight'
    """
    second = "_v2_" in variant

    def name_of(path: str) -> str:
        layer, _, weight = path.rpartition("/")
        if layer in ENDS:
            return f"{ENDS[layer]}.{TORCH_WEIGHTS[weight]}"
        stage, letter, part, last = parts(KERAS_BLOCK, layer)
        place = f"blocks.{int(stage) - 1}.{ord(letter) - ord('a')}"
        if part == "se_":
            return f"{place}.se.conv_{last}.{TORCH_WEIGHTS[weight]}"
        kind = _kind(int(stage), second)
        word = {"expand_": "expand", "project_": "project"}.get(part or "", "depthwise")
        return f"{place}.{kind[word][last == 'bn']}.{TORCH_WEIGHTS[weight]}"

    return name_of


def _kind(stage: int, second: bool) -> dict[str, tuple[str, str]]:
    if not second:
        return SEPARABLE if stage == 1 else INVERTED
    return PLAIN if stage == 1 else FUSED if stage <= 3 else INVERTED
