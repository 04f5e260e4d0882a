"""Where TF-slim's ResNet checkpoints keep our weights: named as nets/resnet_v1.py and resnet_v2.py do."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from modelzoo.conversion.matching import parts

IGNORED = re.compile(r"resnet_v1_\d+/mean_rgb")  # v1's, made from Caffe's, hold that of the training images
TAKES_AVERAGES = False  # slim's README evaluates without --moving_average_decay

WEIGHTS = {"kernel": "weights", "bias": "biases"}
NORMS = {  # within a unit; v2's come before the convolution of the same number
    "v1": {
        "shortcut_bn": "shortcut/BatchNorm",
        "bn1": "conv1/BatchNorm",
        "bn2": "conv2/BatchNorm",
        "bn3": "conv3/BatchNorm",
    },
    "v2": {"bn1": "preact", "bn2": "conv1/BatchNorm", "bn3": "conv2/BatchNorm"},
}
OUTSIDE = {"stem_conv": "conv1", "stem_bn": "conv1/BatchNorm", "final_bn": "postnorm", "logits": "logits"}
BLOCK = re.compile(r"stage(\d)_block(\d+)_(\w+)")


def upstream_names(variant: str, upstream: Collection[str] = ()) -> Callable[[str], str]:
    """The function from our path to the upstream name."""
    return lambda path: upstream_name(path, variant)


def upstream_name(path: str, variant: str) -> str:
    """The name of the TensorFlow variable.

    >>> upstream_name("stem_conv/kernel", "slim_v1_50")
    'resnet_v1_50/conv1/weights'
    >>> upstream_name("stage1_block1_shortcut_bn/gamma", "slim_v1_50")
    'resnet_v1_50/block1/unit_1/bottleneck_v1/shortcut/BatchNorm/gamma'
    >>> upstream_name("stage3_block23_bn3/moving_mean", "slim_v1_101")
    'resnet_v1_101/block3/unit_23/bottleneck_v1/conv3/BatchNorm/moving_mean'
    >>> upstream_name("stage1_block1_shortcut_conv/bias", "slim_v2_50")
    'resnet_v2_50/block1/unit_1/bottleneck_v2/shortcut/biases'
    >>> upstream_name("stage3_block23_bn1/moving_mean", "slim_v2_101")
    'resnet_v2_101/block3/unit_23/bottleneck_v2/preact/moving_mean'
    >>> upstream_name("stage3_block23_bn3/moving_mean", "slim_v2_101")
    'resnet_v2_101/block3/unit_23/bottleneck_v2/conv2/BatchNorm/moving_mean'
    >>> upstream_name("final_bn/beta", "slim_v2_101")
    'resnet_v2_101/postnorm/beta'
    >>> upstream_name("logits/kernel", "slim_v2_101")
    'resnet_v2_101/logits/weights'
    """
    layer, _, weight = path.rpartition("/")
    _, version, depth = variant.split("_")
    scope = OUTSIDE.get(layer)
    if scope is None:
        stage, block, part = parts(BLOCK, layer)
        part = NORMS[version].get(part) or part.removesuffix("_conv")
        scope = f"block{stage}/unit_{block}/bottleneck_{version}/{part}"
    return f"resnet_{version}_{depth}/{scope}/{WEIGHTS.get(weight, weight)}"
