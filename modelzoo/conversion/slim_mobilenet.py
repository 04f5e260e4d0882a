"""Where TF-slim's MobileNet checkpoints keep our weights: named as in nets/mobilenet_v1.py and _v2.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from modelzoo.conversion.matching import parts

# Training may keep a moving average of every variable beside it. Where a file has these copies, they
# are taken, as eval_image_classifier.py does with --moving_average_decay and mobilenet_example.ipynb,
# which says that they give 1.5 to 2 % higher accuracy; the published training of v2 keeps them.
# The notebook takes plain batch statistics, the evaluation averaged ones, and so do we if they are there:
# mobilenet_v1_1.0_224.ckpt has 67,903,136 bytes, which is four copies of the trained weights, two of the
# statistics, and 16 bytes. No published file could be opened: what it holds is inferred from that size.
AVERAGE = "/ExponentialMovingAverage"

SCOPES = {"v1": "MobilenetV1", "v2": "MobilenetV2"}
BLOCK = re.compile(r"block(\d+)_(depthwise|pointwise|expand|project)(_bn)?")
LOGITS = "Logits/Conv2d_1c_1x1"
WEIGHTS = {"kernel": "weights", "bias": "biases"}

# One of the network's own variables: its plain copy is left over where its average is taken.
VARIABLE = (
    r"(MobilenetV1/Conv2d_(0|([1-9]|1[0-3])_(depthwise|pointwise))"
    r"|MobilenetV2/(Conv|Conv_1|expanded_conv(_[1-9]|_1[0-6])?/(expand|depthwise|project))"
    r"|MobilenetV[12]/Logits/Conv2d_1c_1x1)"
    r"/(weights|depthwise_weights|biases|BatchNorm/(gamma|beta|moving_mean|moving_variance))"
)
# And the optimizer's slots, and what training counts beside the network: global_step and the like.
IGNORED = re.compile(rf"{VARIABLE}(/(RMSProp(_1)?|Momentum))?|(?!MobilenetV[12]/).*")


def upstream_names(variant: str, upstream: Collection[str] = ()) -> Callable[[str], str]:
    """The function from our path to the upstream name in a file that holds the names `upstream`.

    Either all trained weights are averages or none, and so are the batch statistics.

    >>> upstream_names("v1_1.0")("stem_conv/kernel")
    'MobilenetV1/Conv2d_0/weights'
    >>> name_of = upstream_names("v1_1.0", ["MobilenetV1/Conv2d_0/weights/ExponentialMovingAverage"])
    >>> name_of("block1_depthwise_bn/gamma")
    'MobilenetV1/Conv2d_1_depthwise/BatchNorm/gamma/ExponentialMovingAverage'
    >>> name_of("block1_depthwise_bn/moving_mean")
    'MobilenetV1/Conv2d_1_depthwise/BatchNorm/moving_mean'
    """
    averaged = {_is_statistic(name) for name in upstream if name.endswith(AVERAGE)}

    def name_of(path: str) -> str:
        name = upstream_name(path, variant)
        return name + AVERAGE if _is_statistic(name) in averaged else name

    return name_of


def upstream_name(path: str, variant: str) -> str:
    """The name of the TensorFlow variable, without averaging.

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


def _is_statistic(name: str) -> bool:
    return "/BatchNorm/moving_" in name
