"""How Keras 2's keras.applications names our weights, as its last releases (2.13 to 2.15, tf_keras) do.

Our layers have Keras 3's names, most of which are the same. Keras reads a file by the order of its layers, or
with by_name=True by their names; the names of weights it does not look at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

import numpy as np

from modelzoo.architectures.keras_applications import IMAGENET_MEAN, IMAGENET_STD

HEADS = {"mobilenet_v3": "Logits", "mobilenet_v2": "predictions", "mobilenet": "conv_preds"}
STEMS = {"conv1_conv": "conv1/conv", "conv1_bn": "conv1/bn"}  # DenseNet's
EFFICIENTNET = re.compile(r"efficientnet_b\d")
DEPTHWISE = re.compile(r"conv_dw_\d+|.*_?depthwise|.*dwconv2?")
BLOCK = re.compile(r"(expanded_conv(?:_\d+)?)_(expand|depthwise|project|squeeze_excite)(_bn|_conv(?:_1)?)?")


def upstream_names(variant: str, upstream: Collection[str] = ()) -> Callable[[str], str]:
    """The function from our path to Keras 2's "layer/weight"."""
    return lambda path: upstream_name(path, variant)


def upstream_name(path: str, variant: str) -> str:
    """Keras 2's "layer/weight".

    >>> upstream_name("logits/kernel", "resnet50")
    'predictions/kernel'
    >>> upstream_name("conv_dw_1/kernel", "mobilenet_0.25")
    'conv_dw_1/depthwise_kernel'
    >>> upstream_name("conv1_bn/gamma", "densenet121")
    'conv1/bn/gamma'
    >>> upstream_name("expanded_conv_3_squeeze_excite_conv_1/bias", "mobilenet_v3_small_1.0")
    'expanded_conv_3/squeeze_excite/Conv_1/bias'
    >>> upstream_name("head_layernorm/gamma", "convnext_tiny")
    'convnext_tiny_head_layernorm/gamma'
    """
    layer, _, weight = path.rpartition("/")
    if layer.endswith("_layer_scale"):
        weight = "gamma"
    elif weight == "kernel" and DEPTHWISE.fullmatch(layer):
        weight = "depthwise_kernel"
    return f"{_layer(layer, variant)}/{weight}"


def _layer(layer: str, variant: str) -> str:
    if variant.startswith("convnext"):
        ends = {"logits": f"{variant}_head_dense", "head_layernorm": f"{variant}_head_layernorm"}
        return ends.get(layer, layer)
    if layer == "logits":
        return next((head for model, head in HEADS.items() if variant.startswith(model)), "predictions")
    if variant.startswith("densenet"):
        return STEMS.get(layer, layer)
    return _mobilenet_v3(layer) if variant.startswith("mobilenet_v3") else layer


def _mobilenet_v3(layer: str) -> str:
    """Slim's names, which Keras took over.

    >>> [_mobilenet_v3(layer) for layer in ("conv_bn", "conv_1", "expanded_conv_1_expand_bn")]
    ['Conv/BatchNorm', 'Conv_1', 'expanded_conv_1/expand/BatchNorm']
    """
    match = BLOCK.fullmatch(layer)
    if match is None:
        return layer.replace("conv", "Conv").replace("_bn", "/BatchNorm")
    block, part, end = match.groups()
    return f"{block}/{part}" + (end or "").replace("_bn", "/BatchNorm").replace("_conv", "/Conv")


def constants(variant: str) -> dict[str, np.ndarray]:
    """What else its file holds, before our weights: EfficientNet's normalization of images.

    >>> list(constants("efficientnet_b0"))
    ['normalization/mean', 'normalization/variance', 'normalization/count']
    """
    if not EFFICIENTNET.fullmatch(variant):
        return {}
    return {
        "normalization/mean": np.array(IMAGENET_MEAN, np.float32),
        "normalization/variance": np.square(np.array(IMAGENET_STD)).astype(np.float32),
        "normalization/count": np.array(0, np.int64),
    }
