"""Where keras.applications' .h5 files keep our weights: under the layer names of the Keras that wrote them.

Our layer names are Keras 3's. The official files are older, from Keras 1 to TensorFlow 2.9, and Keras loads
them by order alone. Here every name of a file is translated into ours, by the rules of its time.
Two names that mean the same weight are no trouble: pairing leaves the second one over, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator

# EfficientNet's normalization, which our network has as constants, and the norm that Keras puts at the end
# of a ConvNeXt without its head.
IGNORED = re.compile(r"normalization(_\d+)?/(mean|variance|count)|layer_normalization(_\d+)?/(gamma|beta)")

HEADS = re.compile(r"predictions|probs|fc1000|[Ll]ogits|conv_preds|convnext_[a-z]+_head_dense")
KERAS_1_WEIGHT = re.compile(r"(W|b|\w+?)(_\d+)?")
KERAS_1_WEIGHTS = {
    "W": "kernel",
    "b": "bias",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",  # it never held anything else
}
NUMBERED = re.compile(r"(conv2d|convolution2d|batch_?normalization|separableconvolution2d)(?:_(\d+))?")
KERAS_1_KINDS = {"convolution2d": "conv2d", "batchnormalization": "batch_normalization"}
MOBILENET_V2_CONV = re.compile(r"mobl(\d+)_conv_\1_(\w+)")
MOBILENET_V2_NORM = re.compile(r"bn(\d+)_conv_\1_bn_(\w+)")


def upstream_names(variant: str, upstream: Collection[str] = ()) -> Callable[[str], str]:
    """The function from our path to the name in `upstream`, or to the path itself if it has none there.

    >>> upstream_names("vgg16", ["block1_conv1/block1_conv1_W_1"])("block1_conv1/kernel")
    'block1_conv1/block1_conv1_W_1'
    >>> upstream_names("inception_v3", ["conv2d_1/kernel", "conv2d_2/kernel"])("conv2d/kernel")
    'conv2d_1/kernel'
    >>> name_of = upstream_names("mobilenet_v2_0.35", ["bn0_conv_0_bn_depthwise/gamma"])
    >>> name_of("expanded_conv_depthwise_BN/gamma")
    'bn0_conv_0_bn_depthwise/gamma'
    >>> upstream_names("mobilenet_v3_small_1.0", ["Conv/BatchNorm/gamma"])("conv_bn/gamma")
    'Conv/BatchNorm/gamma'
    >>> upstream_names("mobilenet_0.25", ["conv_dw_1/depthwise_kernel"])("conv_dw_1/kernel")
    'conv_dw_1/depthwise_kernel'
    """
    names = _translated(variant, upstream)
    return lambda path: names.get(path, path)


def _translated(variant: str, upstream: Collection[str]) -> dict[str, str]:
    """The upstream's names by our paths."""
    upstream = dict.fromkeys(upstream)  # in their order, and quick to look up
    layer_of = _layers(variant, {name.rpartition("/")[0] for name in upstream})
    names: dict[str, str] = {}
    for name in upstream:
        layer, _, weight = name.rpartition("/")
        separable = not {f"{layer}/pointwise_kernel", f"{layer}/{layer}_pointwise_kernel"}.isdisjoint(
            upstream
        )
        names.setdefault(f"{layer_of(layer)}/{_weight(layer, weight, separable)}", name)
    return names


def _weight(layer: str, weight: str, separable: bool) -> str:
    """Our word for a weight; Keras 1 puts the layer's name before its own word."""
    prefix = f"{layer}_"
    if weight.startswith(prefix) and (match := KERAS_1_WEIGHT.fullmatch(weight.removeprefix(prefix))):
        weight = KERAS_1_WEIGHTS.get(match[1], match[1])
    if layer.endswith("_layer_scale"):
        return "kernel"  # Keras' layer gives its only weight no name, or "gamma"
    return "kernel" if weight == "depthwise_kernel" and not separable else weight


def _layers(variant: str, layers: Collection[str]) -> Callable[[str], str]:
    """The function from a file's layer names to ours."""
    if variant.startswith("mobilenet_v3"):
        rename = _mobilenet_v3_layer
    elif variant.startswith("mobilenet_v2"):
        rename = _mobilenet_v2_layer
    elif variant in ("inception_v3", "inception_resnet_v2", "xception"):
        rename = _numbered_layers(variant, layers)
    elif variant.startswith("convnext"):
        rename = _convnext_layer
    else:
        rename = _slashes_to_underscores  # DenseNet's had some
    return lambda layer: "logits" if HEADS.fullmatch(layer) else rename(layer)


def _slashes_to_underscores(layer: str) -> str:
    return layer.replace("/", "_")


def _mobilenet_v3_layer(layer: str) -> str:
    return layer.replace("/BatchNorm", "_bn").replace("/", "_").lower()


def _convnext_layer(layer: str) -> str:
    return "head_layernorm" if layer.endswith("_head_layernorm") else layer


def _mobilenet_v2_layer(layer: str) -> str:
    """Also the names of the first files, by JonathanCMitchell: mobl3_conv_3_expand, bn3_conv_3_bn_expand."""
    for pattern, ending in ((MOBILENET_V2_CONV, ""), (MOBILENET_V2_NORM, "_BN")):
        if match := pattern.fullmatch(layer):
            block = f"block_{match[1]}" if match[1] != "0" else "expanded_conv"
            return f"{block}_{match[2]}{ending}"
    return layer


def _numbered_layers(variant: str, layers: Collection[str]) -> Callable[[str], str]:
    """Layers that Keras numbered in the order of their making, from wherever its count then stood."""
    numbers: dict[str, dict[str, int]] = {}  # kind -> layer -> number
    for layer in layers:
        if match := NUMBERED.fullmatch(layer):
            kind = KERAS_1_KINDS.get(match[1], match[1])
            numbers.setdefault(kind, {})[layer] = int(match[2] or 0)
    tables = _xception_of_keras_1() if "separableconvolution2d" in numbers and variant == "xception" else {}
    ours = {}
    for kind, of_layer in numbers.items():
        first = min(of_layer.values())
        for layer, number in of_layer.items():
            place = number - first
            table = tables.get(kind, ())
            counted = f"{kind}_{place}" if place else kind
            ours[layer] = table[place] if place < len(table) else counted
    return lambda layer: ours.get(layer, layer)


def _xception_of_keras_1() -> dict[str, list[str]]:
    """Our layer names in the order of their making, by kind: the official Xception was written unnamed."""
    seps, norms = [], ["block1_conv1_bn", "block1_conv2_bn"]
    shortcuts: Iterator[str] = iter(_counted("batch_normalization", 4))
    for block in range(2, 15):
        if block in (2, 3, 4, 13):
            norms.append(next(shortcuts))
        for conv in range(1, (2 if block in (2, 3, 4, 13, 14) else 3) + 1):
            seps.append(f"block{block}_sepconv{conv}")
            norms.append(f"block{block}_sepconv{conv}_bn")
    convs = ["block1_conv1", "block1_conv2", *_counted("conv2d", 4)]
    return {"conv2d": convs, "separableconvolution2d": seps, "batch_normalization": norms}


def _counted(kind: str, count: int) -> list[str]:
    return [kind, *(f"{kind}_{number}" for number in range(1, count))]
