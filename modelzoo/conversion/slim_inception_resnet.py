"""Where TF-slim's Inception-ResNet v2 keeps our weights: named as nets/inception_resnet_v2.py does."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from modelzoo.conversion.matching import parts
from modelzoo.conversion.slim_inception import (
    IGNORED,
    IN_BRANCH,
    IN_STEM,
    STEMS,
    TAKES_AVERAGES,
    WEIGHTS,
    in_branch,
)

__all__ = ["IGNORED", "TAKES_AVERAGES", "upstream_names"]

STEM = STEMS["v3"] | {"7b": "1x1"}
BLOCKS = {  # as in slim_inception; "Conv2d_1x1" has neither number nor letter
    "mixed_5b": ("Conv2d_1x1", "0a_1x1 0b_5x5", "0a_1x1 0b_3x3 0c_3x3", "0b_1x1"),
    "mixed_6a": ("1a_3x3", "0a_1x1 0b_3x3 1a_3x3"),
    "mixed_7a": ("0a_1x1 1a_3x3", "0a_1x1 1a_3x3", "0a_1x1 0b_3x3 1a_3x3"),
    "block35": ("Conv2d_1x1", "0a_1x1 0b_3x3", "0a_1x1 0b_3x3 0c_3x3"),
    "block17": ("Conv2d_1x1", "0a_1x1 0b_1x7 0c_7x1"),
    "block8": ("Conv2d_1x1", "0a_1x1 0b_1x3 0c_3x1"),
}
REPEATS = {"block35": "Repeat", "block17": "Repeat_1", "block8": "Repeat_2"}
PROJECTION = re.compile(r"(block\d+_\d+)_conv")


def upstream_names(variant: str, upstream: Collection[str] = ()) -> Callable[[str], str]:
    """The function from our path to the upstream name; there is one variant."""
    return upstream_name


def upstream_name(path: str) -> str:
    """The name of the TensorFlow variable.

    >>> upstream_name("conv_7b/kernel")
    'InceptionResnetV2/Conv2d_7b_1x1/weights'
    >>> upstream_name("mixed_6a_branch2_bn3/beta")
    'InceptionResnetV2/Mixed_6a/Branch_1/Conv2d_1a_3x3/BatchNorm/beta'
    >>> upstream_name("block17_20_branch1_conv1/kernel")
    'InceptionResnetV2/Repeat_1/block17_20/Branch_0/Conv2d_1x1/weights'
    >>> upstream_name("block8_10_conv/bias")
    'InceptionResnetV2/Block8/Conv2d_1x1/biases'
    >>> upstream_name("logits/kernel")
    'InceptionResnetV2/Logits/Logits/weights'
    """
    layer, _, weight = path.rpartition("/")
    return f"InceptionResnetV2/{_scope(layer)}/{WEIGHTS[weight]}"


def _scope(layer: str) -> str:
    if layer == "logits":
        return "Logits/Logits"
    if stem := IN_STEM.fullmatch(layer):
        return f"Conv2d_{stem[1]}_{STEM[stem[1]]}"
    if projection := PROJECTION.fullmatch(layer):
        return f"{_block(projection[1])}/Conv2d_1x1"
    block, branch, number = parts(IN_BRANCH, layer)
    kind = block if block in BLOCKS else block.partition("_")[0]
    return f"{_block(block)}/{in_branch(BLOCKS[kind], branch, number)}"


def _block(block: str) -> str:
    """The last block, without activation, stands outside slim's repetitions."""
    if block == "block8_10":
        return "Block8"
    kind = block.partition("_")[0]
    return f"{REPEATS[kind]}/{block}" if kind in REPEATS else block.capitalize()
