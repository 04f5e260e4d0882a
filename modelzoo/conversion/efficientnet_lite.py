"""Where EfficientNet-Lite's files keep our weights: the authors' checkpoints, and a conversion for PyTorch.

Sources: tensorflow/tpu, models/official/efficientnet (efficientnet_model.py, utils.py); the package
efficientnet-lite-pytorch 0.1.0 (model.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import NamedTuple

from modelzoo.conversion.matching import parts
from modelzoo.conversion.torchvision import TORCH_WEIGHTS

# eval_ckpt_main.py takes them unless told not to, and measured the published accuracy so.
TAKES_AVERAGES = True

BLOCK = re.compile(r"block(\d+)_(expand|depthwise|project)(_bn)?")
END = re.compile(r"(stem|final)_(conv|bn)")
NORM = "tpu_batch_normalization"  # also where it is none for a TPU: utils.BatchNormalization keeps the name
SCOPES = {"stem": "stem", "final": "head"}
MODULES = {("stem", "conv"): "_conv_stem", ("stem", "bn"): "_bn0"}
MODULES |= {("final", "conv"): "_conv_head", ("final", "bn"): "_bn1"}
NORMS = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}


class Layer(NamedTuple):
    """A convolution of a block, or the norm after it."""

    block: int  # counted from 0
    part: str
    is_norm: bool


def _layer(name: str) -> Layer:
    number, part, norm = parts(BLOCK, name)
    return Layer(int(number) - 1, part, norm is not None)


def upstream_names(variant: str, upstream: Collection[str] = ()) -> Callable[[str], str]:
    """The function from our path to the name in the authors' checkpoint."""
    return lambda path: f"efficientnet-lite{variant}/{checkpoint_name(path)}"


def checkpoint_name(path: str) -> str:
    """The name of the TensorFlow variable in the network's scope.

    >>> checkpoint_name("stem_conv/kernel")
    'stem/conv2d/kernel'
    >>> checkpoint_name("block1_depthwise/kernel")
    'blocks_0/depthwise_conv2d/depthwise_kernel'
    >>> checkpoint_name("block1_project_bn/gamma")
    'blocks_0/tpu_batch_normalization_1/gamma'
    >>> checkpoint_name("block2_expand_bn/beta")
    'blocks_1/tpu_batch_normalization/beta'
    >>> checkpoint_name("block2_project/kernel")
    'blocks_1/conv2d_1/kernel'
    >>> checkpoint_name("final_bn/moving_mean")
    'head/tpu_batch_normalization/moving_mean'
    >>> checkpoint_name("logits/bias")
    'head/dense/bias'
    """
    layer, _, weight = path.rpartition("/")
    if layer == "logits":
        return f"head/dense/{weight}"
    if layer.startswith(("stem", "final")):
        end, part = parts(END, layer)
        return f"{SCOPES[end]}/{NORM if part == 'bn' else 'conv2d'}/{weight}"
    block, part, is_norm = _layer(layer)
    if part == "depthwise" and not is_norm:
        return f"blocks_{block}/depthwise_conv2d/depthwise_kernel"
    before = {"expand": 0, "depthwise": 1, "project": 2 if is_norm else 1}[part]
    before -= block == 0  # which does not expand
    return f"blocks_{block}/{NORM if is_norm else 'conv2d'}{f'_{before}' if before else ''}/{weight}"


def torch_names(variant: str, upstream: Collection[str] = ()) -> Callable[[str], str]:
    """The function from our path to the name in the package's state dict."""
    return torch_name


def torch_name(path: str) -> str:
    """The name in the state dict of efficientnet-lite-pytorch.

    >>> torch_name("stem_conv/kernel")
    '_conv_stem.weight'
    >>> torch_name("block1_depthwise_bn/gamma")
    '_blocks.0._bn1.weight'
    >>> torch_name("block2_expand/kernel")
    '_blocks.1._expand_conv.weight'
    >>> torch_name("final_bn/moving_variance")
    '_bn1.running_var'
    >>> torch_name("logits/bias")
    '_fc.bias'
    """
    layer, _, weight = path.rpartition("/")
    name = TORCH_WEIGHTS[weight]
    if layer == "logits":
        return f"_fc.{name}"
    if layer.startswith(("stem", "final")):
        end, part = parts(END, layer)
        return f"{MODULES[end, part]}.{name}"
    block, part, is_norm = _layer(layer)
    return f"_blocks.{block}.{NORMS[part] if is_norm else f'_{part}_conv'}.{name}"
