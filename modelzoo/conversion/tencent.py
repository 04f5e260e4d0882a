"""Where Tencent's ML-Images checkpoints keep our weights: named as its models/resnet.py does."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from modelzoo.conversion.matching import parts

TAKES_AVERAGES = False  # image_classification.py restores the raw weights

LAYERS = {  # within a block; "b1" is the shortcut, "b2" the residual branch
    "shortcut_bn": "conv1_b1_bn",
    "shortcut_conv": "conv1_b1",
    "bn1": "conv1_b2_bn",
    "conv1": "conv1_b2",
    "bn2": "conv2_b2_bn",
    "conv2": "conv2_b2",
    "bn3": "conv3_b2_bn",
    "conv3": "conv3_b2",
}
BLOCK = re.compile(r"stage(\d+)_block(\d+)_(\w+)")


def upstream_names(variant: str, upstream: Collection[str] = ()) -> Callable[[str], str]:
    """The function from our path to the upstream name, the same for all variants."""
    return upstream_name


def upstream_name(path: str) -> str:
    """The name of the TensorFlow variable.

    >>> upstream_name("stem_conv/kernel")
    'init/init_conv/conv2d/kernel'
    >>> upstream_name("stage1_block1_shortcut_bn/gamma")
    'stages_0_block_0/conv1_b1_bn/batch_normalization/gamma'
    >>> upstream_name("stage4_block3_conv2/kernel")
    'stages_3_block_2/conv2_b2/conv2d/kernel'
    >>> upstream_name("final_bn/moving_mean")
    'global_pool/bn/batch_normalization/moving_mean'
    >>> upstream_name("logits/bias")
    'logits/dense/bias'
    """
    layer, _, weight = path.rpartition("/")
    if layer == "logits":
        return f"logits/dense/{weight}"
    if layer == "stem_conv":
        return f"init/init_conv/conv2d/{weight}"
    if layer == "final_bn":
        return f"global_pool/bn/batch_normalization/{weight}"
    stage, block, part = parts(BLOCK, layer)
    kind = "conv2d" if "conv" in part else "batch_normalization"
    return f"stages_{int(stage) - 1}_block_{int(block) - 1}/{LAYERS[part]}/{kind}/{weight}"
