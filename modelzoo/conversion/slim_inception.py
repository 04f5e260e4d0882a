"""Where TF-slim's Inception v1 to v4 keep our weights: named as nets/inception_v*.py of research/slim do."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import partial

from modelzoo.conversion.matching import parts

IGNORED = re.compile(r"[^/]+/AuxLogits/.*")
# slim's README evaluates its published checkpoints without eval_image_classifier's --moving_average_decay,
# and without it the raw weights are restored.
TAKES_AVERAGES = False

WEIGHTS = {
    "kernel": "weights",
    "bias": "biases",
    "beta": "BatchNorm/beta",
    "moving_mean": "BatchNorm/moving_mean",
    "moving_variance": "BatchNorm/moving_variance",
}
SEPARABLE = {
    "depthwise/kernel": "depthwise_weights",
    "pointwise/kernel": "pointwise_weights",
    "pointwise/bias": "biases",
}
SCOPES = {"v1": "InceptionV1", "v2": "InceptionV2", "v3": "InceptionV3", "v4": "InceptionV4"}
LOGITS = {"v1": "Conv2d_0c_1x1", "v2": "Conv2d_1c_1x1", "v3": "Conv2d_1c_1x1", "v4": "Logits"}
STEMS = {
    "v1": {"1a": "7x7", "2b": "1x1", "2c": "3x3"},
    "v2": {"1a": "7x7", "2b": "1x1", "2c": "3x3"},
    "v3": {"1a": "3x3", "2a": "3x3", "2b": "3x3", "3b": "1x1", "4a": "3x3"},
    "v4": {"1a": "3x3", "2a": "3x3", "2b": "3x3"},
}
# The convolutions of each branch, Branch_0 first; the first pattern that fits a block counts.
V1_BLOCK = ("0a_1x1", "0a_1x1 0b_3x3", "0a_1x1 0b_3x3", "0b_1x1")
V2_BLOCK = ("0a_1x1", "0a_1x1 0b_3x3", "0a_1x1 0b_3x3 0c_3x3", "0b_1x1")
B_BLOCK = ("0a_1x1", "0a_1x1 0b_1x7 0c_7x1", "0a_1x1 0b_7x1 0c_1x7 0d_7x1 0e_1x7", "0b_1x1")
B_REDUCTION = ("0a_1x1 1a_3x3", "0a_1x1 0b_1x7 0c_7x1 1a_3x3")
BLOCKS = {
    "v1": {
        "mixed_5b": ("0a_1x1", "0a_1x1 0b_3x3", "0a_1x1 0a_3x3", "0b_1x1"),  # "0a" twice: upstream's slip
        "mixed_..": V1_BLOCK,
    },
    "v2": {
        "mixed_.a": ("0a_1x1 1a_3x3", "0a_1x1 0b_3x3 1a_3x3"),
        "mixed_..": V2_BLOCK,
    },
    "v3": {
        "mixed_5c": ("0a_1x1", "0b_1x1 Conv_1_0c_5x5", "0a_1x1 0b_3x3 0c_3x3", "0b_1x1"),  # so upstream
        "mixed_5.": ("0a_1x1", "0a_1x1 0b_5x5", "0a_1x1 0b_3x3 0c_3x3", "0b_1x1"),
        "mixed_6a": ("1a_1x1", "0a_1x1 0b_3x3 1a_1x1"),  # the "1a" are 3x3, whatever their name
        "mixed_6.": B_BLOCK,
        "mixed_7a": B_REDUCTION,
        "mixed_7b": ("0a_1x1", "0a_1x1 0b_1x3 0b_3x1", "0a_1x1 0b_3x3 0c_1x3 0d_3x1", "0b_1x1"),
        "mixed_7c": ("0a_1x1", "0a_1x1 0b_1x3 0c_3x1", "0a_1x1 0b_3x3 0c_1x3 0d_3x1", "0b_1x1"),
    },
    "v4": {
        "mixed_3a": ("", "0a_3x3"),
        "mixed_4a": ("0a_1x1 1a_3x3", "0a_1x1 0b_1x7 0c_7x1 1a_3x3"),
        "mixed_5a": ("1a_3x3",),
        "mixed_5.": V2_BLOCK,
        "mixed_6a": ("1a_3x3", "0a_1x1 0b_3x3 1a_3x3"),
        "mixed_6.": B_BLOCK,
        "mixed_7a": B_REDUCTION,
        "mixed_7.": ("0a_1x1", "0a_1x1 0b_1x3 0c_3x1", "0a_1x1 0b_3x1 0c_1x3 0d_1x3 0e_3x1", "0b_1x1"),
    },
}
IN_BRANCH = re.compile(r"(\w+)_branch(\d)_(?:conv|bn)(\d)")
IN_STEM = re.compile(r"(?:conv|bn)_(\w\w)")


def upstream_names(variant: str, upstream: Collection[str] = ()) -> Callable[[str], str]:
    """The function from our path to the upstream name, for this variant."""
    return partial(upstream_name, variant)


def upstream_name(variant: str, path: str) -> str:
    """The name of the TensorFlow variable.

    >>> upstream_name("v1", "conv_1a/kernel")
    'InceptionV1/Conv2d_1a_7x7/weights'
    >>> upstream_name("v1", "mixed_5b_branch3_bn2/beta")
    'InceptionV1/Mixed_5b/Branch_2/Conv2d_0a_3x3/BatchNorm/beta'
    >>> upstream_name("v2", "conv_1a_depthwise/kernel")
    'InceptionV2/Conv2d_1a_7x7/depthwise_weights'
    >>> upstream_name("v3", "mixed_5c_branch2_conv2/kernel")
    'InceptionV3/Mixed_5c/Branch_1/Conv_1_0c_5x5/weights'
    >>> upstream_name("v4", "logits/bias")
    'InceptionV4/Logits/Logits/biases'
    """
    layer, _, weight = path.rpartition("/")
    scope = SCOPES[variant]
    if layer == "logits":
        return f"{scope}/Logits/{LOGITS[variant]}/{WEIGHTS[weight]}"
    if layer in ("conv_1a_depthwise", "conv_1a_pointwise"):
        return f"{scope}/Conv2d_1a_7x7/{SEPARABLE[path.removeprefix('conv_1a_')]}"
    if stem := IN_STEM.fullmatch(layer):
        return f"{scope}/Conv2d_{stem[1]}_{STEMS[variant][stem[1]]}/{WEIGHTS[weight]}"
    block, branch, number = parts(IN_BRANCH, layer)
    found = next(names for pattern, names in BLOCKS[variant].items() if re.fullmatch(pattern, block))
    return f"{scope}/{block.capitalize()}/{in_branch(found, branch, number)}/{WEIGHTS[weight]}"


def in_branch(branches: tuple[str, ...], branch: str, number: str) -> str:
    """The scope of a convolution within its block.

    >>> in_branch(("0a_1x1", "0a_1x1 0b_3x3"), "2", "2")
    'Branch_1/Conv2d_0b_3x3'
    """
    name = branches[int(branch) - 1].split()[int(number) - 1]
    return f"Branch_{int(branch) - 1}/{name if name.startswith('Conv') else f'Conv2d_{name}'}"
