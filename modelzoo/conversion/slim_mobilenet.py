"""Where TF-slim's MobileNet checkpoints keep our weights: named as in nets/mobilenet_v1.py and _v2.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from modelzoo.conversion.matching import parts

# eval_image_classifier.py takes the averages with --moving_average_decay, and so does
# mobilenet_example.ipynb, which says that they give 1.5 to 2 % higher accuracy; the published training of v2
# keeps them.
# The notebook takes raw batch statistics, the evaluation averaged ones, and so do we if they are there:
# mobilenet_v1_1.0_224.ckpt has 67,903,136 bytes, which is four copies of the trained weights, two of the
# statistics, and 16 bytes. No published file could be opened: what it holds is inferred from that size.
TAKES_AVERAGES = True

SCOPES = {"v1": "MobilenetV1", "v2": "MobilenetV2"}
BLOCK = re.compile(r"block(\d+)_(depthwise|pointwise|expand|project)(_bn)?")
LOGITS = "Logits/Conv2d_1c_1x1"
WEIGHTS = {"kernel": "weights", "bias": "biases"}


def upstream_names(variant: str, upstream: Collection[str] = ()) -> Callable[[str], str]:
    """The function from our path to the upstream name."""
    return lambda path: upstream_name(path, variant)


def upstream_name(path: str, variant: str) -> str:
    """The name of the TensorFlow variable.

    >>> upstream_name("block13_pointwise/kernel", "v1_0.25")
    'MobilenetV1/Conv2d_13_pointwise/weights'
    >>> upstream_name("block13_depthwise/kernel", "v1_0.25")
    'MobilenetV1/Conv2d_13_depthwise/depthwise_weights'
    >>> upstream_name("stem_bn/beta", "v2_1.4")
    'MobilenetV2/Conv/BatchNorm/beta'
    >>> upstream_name("block1_depthwise/kernel", "v2_1.4")
    'MobilenetV2/expanded_conv/depthwise/depthwise_weights'
    >>> upstream_name("block17_project_bn/moving_variance", "v2_1.4")
    'MobilenetV2/expanded_conv_16/project/BatchNorm/moving_variance'
    >>> upstream_name("final_conv/kernel", "v2_1.4")
    'MobilenetV2/Conv_1/weights'
    >>> upstream_name("logits/bias", "v2_1.4")
    'MobilenetV2/Logits/Conv2d_1c_1x1/biases'
    """
    layer, _, weight = path.rpartition("/")
    version = variant.partition("_")[0]
    name = WEIGHTS.get(weight, weight)
    if layer.endswith("_bn"):
        name = f"BatchNorm/{weight}"
    elif layer.endswith("_depthwise"):
        name = "depthwise_weights"
    return f"{SCOPES[version]}/{_scope(layer, version)}/{name}"


def _scope(layer: str, version: str) -> str:
    if layer == "logits":
        return LOGITS
    if layer in ("stem_conv", "stem_bn"):
        return {"v1": "Conv2d_0", "v2": "Conv"}[version]
    if layer in ("final_conv", "final_bn"):
        return "Conv_1"
    number, part, _ = parts(BLOCK, layer)
    if version == "v1":
        return f"Conv2d_{number}_{part}"
    return f"expanded_conv{'' if number == '1' else f'_{int(number) - 1}'}/{part}"
