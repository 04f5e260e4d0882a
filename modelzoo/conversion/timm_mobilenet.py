"""Where timm keeps the weights of MobileNets. Sources: timm/models/efficientnet.py and mobilenetv3.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from modelzoo.conversion.matching import parts
from modelzoo.conversion.timm_efficientnet import ENDS, INVERTED, LITE_BLOCK, SEPARABLE
from modelzoo.conversion.torchvision import TORCH_WEIGHTS

Parts = dict[str, tuple[str, str]]
V1_STAGES = (1, 2, 2, 6, 2)  # blocks of each stage
V2_STAGES = (1, 2, 3, 4, 3, 3, 1)
V3_STAGES = {"large": (1, 2, 3, 4, 2, 3), "small": (1, 2, 3, 2, 3)}
V1_BLOCK = re.compile(r"block(\d+)_(depthwise|pointwise)(_bn)?")
KERAS_BLOCK = re.compile(r"(?:expanded_conv|block)(?:_(\d+))?_(expand|depthwise|project)(_BN|_bn)?")
SQUEEZE = re.compile(r"expanded_conv(?:_(\d+))?_squeeze_excite_conv(_1)?")
V1_PARTS: Parts = {"depthwise": ("conv_dw", "bn1"), "pointwise": ("conv_pw", "bn2")}
V2_ENDS = {"Conv1": "conv_stem", "bn_Conv1": "bn1", "Conv_1": "conv_head", "Conv_1_bn": "bn2"}
V3_ENDS = {"conv": "conv_stem", "conv_bn": "bn1", "conv_2": "conv_head", "logits": "classifier"}


def slim_names(variant: str) -> Callable[[str], str]:
    """The function from our path in TF-slim's MobileNet v1 or v2 to timm's name.

    >>> slim_names("v1_1.0")("block2_pointwise_bn/gamma")
    'blocks.1.0.bn2.weight'
    >>> slim_names("v2_1.0")("block17_project/kernel")
    'blocks.6.0.conv_pwl.weight'
    """

    def name_of(path: str) -> str:
        layer, _, weight = path.rpartition("/")
        if layer in ENDS:
            return f"{ENDS[layer]}.{TORCH_WEIGHTS[weight]}"
        if variant.startswith("v1"):
            number, part, norm = parts(V1_BLOCK, layer)
            place, kind = _place(V1_STAGES, int(number) - 1), V1_PARTS
        else:
            number, part, norm = parts(LITE_BLOCK, layer)
            place, kind = _place(V2_STAGES, int(number) - 1), SEPARABLE if number == "1" else INVERTED
        return f"{place}.{kind[part][norm is not None]}.{TORCH_WEIGHTS[weight]}"

    return name_of


def keras_names(variant: str) -> Callable[[str], str]:
    """The function from our path in keras.applications' MobileNet v2 or v3 to timm's name.

    >>> keras_names("mobilenet_v2_1.0")("block_1_expand_BN/beta")
    'blocks.1.0.bn1.bias'
    >>> keras_names("mobilenet_v3_small_1.0")("expanded_conv_squeeze_excite_conv_1/bias")
    'blocks.0.0.se.conv_expand.bias'
    >>> keras_names("mobilenet_v3_small_1.0")("conv_1_bn/beta")
    'blocks.5.0.bn1.bias'
    """
    stages = V2_STAGES if "_v2_" in variant else V3_STAGES[variant.split("_")[2]]
    last = f"blocks.{len(stages)}.0"
    ends = {**ENDS, **V2_ENDS}
    if "_v3_" in variant:
        ends = {**V3_ENDS, "conv_1": f"{last}.conv", "conv_1_bn": f"{last}.bn1"}

    def name_of(path: str) -> str:
        layer, _, weight = path.rpartition("/")
        if layer in ends:
            return f"{ends[layer]}.{TORCH_WEIGHTS[weight]}"
        if match := SQUEEZE.fullmatch(layer):
            which = "expand" if match[2] else "reduce"
            return f"{_place(stages, int(match[1] or 0))}.se.conv_{which}.{TORCH_WEIGHTS[weight]}"
        number, part, norm = parts(KERAS_BLOCK, layer)
        kind = INVERTED if number else SEPARABLE
        return f"{_place(stages, int(number or 0))}.{kind[part][norm is not None]}.{TORCH_WEIGHTS[weight]}"

    return name_of


def _place(stages: Sequence[int], number: int) -> str:
    """Where a block lies that is counted over all stages, from 0."""
    for stage, blocks in enumerate(stages):
        if number < blocks:
            return f"blocks.{stage}.{number}"
        number -= blocks
    raise ValueError(f"Expected at most {sum(stages)} blocks.")
