"""Where timm keeps the weights of ConvNeXt. Source: timm/models/convnext.py of pytorch-image-models."""

from __future__ import annotations

import re

from modelzoo.conversion.matching import parts

WEIGHTS = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}
BLOCK = re.compile(r"convnext_[a-z]+_stage_(\d)_block_(\d+)_(\w+)")
BETWEEN = re.compile(r"convnext_[a-z]+_(stem|downsampling_block_(\d))")  # a norm and a convolution
NORM = ("gamma", "beta")
PARTS = {
    "depthwise_conv": "conv_dw",
    "layernorm": "norm",
    "pointwise_conv_1": "mlp.fc1",
    "pointwise_conv_2": "mlp.fc2",
}
HEAD = {"head_layernorm": "head.norm", "logits": "head.fc"}


def timm_name(path: str) -> str:
    """The name in timm's state dict.

    >>> timm_name("convnext_tiny_stem/beta")
    'stem.1.bias'
    >>> timm_name("convnext_tiny_downsampling_block_0/kernel")
    'stages.1.downsample.1.weight'
    >>> timm_name("convnext_tiny_stage_3_block_2_layer_scale/kernel")
    'stages.3.blocks.2.gamma'
    >>> timm_name("convnext_tiny_stage_3_block_2_pointwise_conv_1/bias")
    'stages.3.blocks.2.mlp.fc1.bias'
    """
    layer, _, weight = path.rpartition("/")
    name = WEIGHTS[weight]
    if layer in HEAD:
        return f"{HEAD[layer]}.{name}"
    if match := BLOCK.fullmatch(layer):
        stage, block, part = match.groups()
        place = f"stages.{stage}.blocks.{block}"
        return f"{place}.gamma" if part == "layer_scale" else f"{place}.{PARTS[part]}.{name}"
    where, number = parts(BETWEEN, layer)
    if where == "stem":
        return f"stem.{int(weight in NORM)}.{name}"
    return f"stages.{int(number) + 1}.downsample.{int(weight not in NORM)}.{name}"
