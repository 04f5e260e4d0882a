"""Where torchvision's files keep MobileNetV2's weights. Source: torchvision/models/mobilenetv2.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from modelzoo.conversion.matching import parts

BLOCK = re.compile(r"block(\d+)_(expand|depthwise|project)(_bn)?")
ENDS = {"stem": "features.0", "final": "features.18"}
END = re.compile(r"(stem|final)_(conv|bn)")


def upstream_names(variant: str, upstream: Collection[str] = ()) -> Callable[[str], str]:
    """The function from our path to torchvision's name."""
    return torchvision_name


def torchvision_name(path: str) -> str:
    """The name in a state dict of torchvision's MobileNetV2.

    >>> torchvision_name("stem_conv/kernel")
    'features.0.0.weight'
    >>> torchvision_name("block1_depthwise_bn/gamma")
    'features.1.conv.0.1.weight'
    >>> torchvision_name("block1_project/kernel")
    'features.1.conv.1.weight'
    >>> torchvision_name("block17_expand/kernel")
    'features.17.conv.0.0.weight'
    >>> torchvision_name("block17_depthwise/kernel")
    'features.17.conv.1.0.weight'
    >>> torchvision_name("block17_project_bn/moving_variance")
    'features.17.conv.3.running_var'
    >>> torchvision_name("final_bn/beta")
    'features.18.1.bias'
    >>> torchvision_name("logits/kernel")
    'classifier.1.weight'
    """
    layer, _, weight = path.rpartition("/")
    return f"{_module(layer)}.{TORCH_WEIGHTS[weight]}"


TORCH_WEIGHTS = {
    "gamma": "weight",
    "beta": "bias",
    "kernel": "weight",
    "bias": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def _module(layer: str) -> str:
    """A block expands, convolves each channel (each with its norm and ReLU6 in a module), and projects."""
    if layer == "logits":
        return "classifier.1"
    if layer.startswith(("stem", "final")):
        end, part = parts(END, layer)
        return f"{ENDS[end]}.{int(part == 'bn')}"
    number, part, norm = parts(BLOCK, layer)
    before = 0 if number == "1" else 1  # the first block does not expand
    place = {"expand": 0, "depthwise": before, "project": before + 1}[part]
    if part == "project":
        return f"features.{number}.conv.{place + bool(norm)}"
    return f"features.{number}.conv.{place}.{int(bool(norm))}"
