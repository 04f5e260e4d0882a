"""Where gluon2TF's checkpoints keep the weights of GluonCV's ResNets: in its own scopes, laid out as slim's.

Source: resnet/resnet_utils.py and weights_map.py of yangJirui/gluon2TF, which has the networks of v1b and v1d
with bottlenecks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from modelzoo.architectures.resnet import VARIANTS
from modelzoo.conversion.matching import parts

VERSIONS = ("v1b", "v1d")

WEIGHTS = {"kernel": "weights", "bias": "biases"}
BLOCK = re.compile(r"stage(\d+)_block(\d+)_(?:(shortcut)_)?(conv|bn)(\d*)")
STEM = re.compile(r"stem_(conv|bn)(\d*)")


def has(variant: str) -> bool:
    """Whether gluon2TF has the network."""
    return variant.endswith(VERSIONS) and variant in VARIANTS and VARIANTS[variant].bottleneck


def upstream_names(variant: str, upstream: Collection[str] = ()) -> Callable[[str], str]:
    """The function from our path to the name of the TensorFlow variable."""
    return lambda path: upstream_name(path, variant)


def upstream_name(path: str, variant: str) -> str:
    """The name of the TensorFlow variable.

    >>> upstream_name("stem_conv/kernel", "50_v1b")
    'resnet50_v1b/C1/conv0/weights'
    >>> upstream_name("stem_bn3/gamma", "101_v1d")
    'resnet101_v1d/C1/conv2/BatchNorm/gamma'
    >>> upstream_name("stage1_block3_conv2/kernel", "50_v1d")
    'resnet50_v1d/C2/bottleneck_2/conv1/weights'
    >>> upstream_name("stage2_block1_shortcut_bn/moving_variance", "50_v1b")
    'resnet50_v1b/C3/bottleneck_0/shortcut/BatchNorm/moving_variance'
    >>> upstream_name("logits/bias", "50_v1b")
    'resnet50_v1b/logits/biases'
    """
    layer, _, weight = path.rpartition("/")
    return f"resnet{variant}/{_scope(layer)}/{WEIGHTS.get(weight, weight)}"


def _scope(layer: str) -> str:
    if layer == "logits":
        return layer
    if match := STEM.fullmatch(layer):
        kind, number = match[1], int(match[2] or 1)
        return f"C1/conv{number - 1}{_norm(kind)}"
    stage, block, shortcut, kind, number = parts(BLOCK, layer)
    convolution = shortcut or f"conv{int(number) - 1}"
    return f"C{int(stage) + 1}/bottleneck_{int(block) - 1}/{convolution}{_norm(kind)}"


def _norm(kind: str) -> str:
    return "/BatchNorm" if kind == "bn" else ""
