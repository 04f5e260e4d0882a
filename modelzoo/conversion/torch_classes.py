"""Classes of torchvision and timm that compute what networks of ours do, and their names of the weights.

A network is listed only if its class was run with its weights and gave its logits. What differs in padding is
not: TF-slim's and Keras' ResNets stride in other places, Xception's and Inception v3's poolings pad
otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelzoo.conversion import (
    timm,
    timm_convnext,
    timm_efficientnet,
    timm_mobilenet,
    torchvision,
    torchvision_densenet,
    torchvision_vgg,
)

AS_TENSORFLOW = {"pad_type": "same", "bn_eps": 1e-3}  # arguments of timm's functions


@dataclass(frozen=True)
class TorchClass:
    """A class, as its package's own function calls it, and where its state dict keeps our weights.

    package: torchvision, of whose get_model it is a name, or timm, of whose create_model.
    name_of: our path -> the name in the state dict.
    axes: how many axes kernels have there that are of another kind here, by path: 2 of a dense layer on a
        flattened map, 4 of a convolution of 1x1.
    epsilon: of its batch norms, where it is not ours.
    any_size: whether it computes the same for images of other sizes, where it takes them.
    """

    package: str
    name: str
    name_of: Callable[[str], str]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    axes: Mapping[str, int] = field(default_factory=dict)
    epsilon: float | None = None
    any_size: bool = True


def _gluon(variant: str) -> TorchClass:
    depth, _, kind = variant.partition("_v1")
    package, name = ("torchvision", f"resnet{depth}") if kind == "b" else ("timm", f"resnet{depth}{kind}")
    return TorchClass(package, name, timm.upstream_names(variant))


def _mobilenet(variant: str) -> TorchClass:
    return TorchClass("torchvision", "mobilenet_v2", torchvision.torchvision_name)


def _lite(variant: str) -> TorchClass:
    return TorchClass("timm", f"tf_efficientnet_lite{variant}", timm_efficientnet.lite_names(variant))


def _efficientnet(variant: str) -> TorchClass:
    name = f"tf_{variant.replace('_v2', 'v2')}"
    return TorchClass("timm", name, timm_efficientnet.keras_names(variant))


def _convnext(variant: str) -> TorchClass:
    return TorchClass("timm", variant, timm_convnext.timm_name)


def _vgg(variant: str) -> TorchClass:
    return TorchClass(
        "torchvision",
        variant,
        torchvision_vgg.names(variant),
        axes=dict.fromkeys(("fc1/kernel", "fc2/kernel"), 2),
        any_size=False,  # it averages the last map to 7x7, where ours slides its dense layers over it
    )


def _densenet(variant: str) -> TorchClass:
    names, epsilon = torchvision_densenet.torchvision_name, torchvision_densenet.EPSILON
    return TorchClass("torchvision", variant, names, epsilon=epsilon)


def _tensorflow_mobilenet(variant: str) -> TorchClass:
    """timm's v1 and v2, padded and normalized as TensorFlow does."""
    version, width = variant.removeprefix("mobilenet_").split("_")
    name = f"mobilenet{version}_{round(100 * float(width)):03}"
    names = timm_mobilenet.keras_names if variant.startswith("mobilenet") else timm_mobilenet.slim_names
    return TorchClass("timm", name, names(variant), AS_TENSORFLOW)


def _mobilenet_v3(variant: str) -> TorchClass:
    _, _, size, width = variant.split("_")
    kind = "minimal_100" if width == "minimalistic" else f"{round(100 * float(width)):03}"
    names, axes = timm_mobilenet.keras_names(variant), {"conv_2/kernel": 4}
    return TorchClass("timm", f"tf_mobilenetv3_{size}_{kind}", names, axes=axes)


# Family and variant, and what makes the class of them.
CLASSES: tuple[tuple[str, re.Pattern[str], Callable[[str], TorchClass]], ...] = tuple(
    (family, re.compile(pattern), make)
    for family, pattern, make in (
        ("resnet", r"(18|34|50|101|152)_v1b|(50|101|152)_v1[cds]", _gluon),
        ("mobilenet", r"v2_1\.0_torchvision", _mobilenet),
        ("mobilenet", r"v1_1\.0|v2_1\.[04]", _tensorflow_mobilenet),
        ("keras_applications", r"mobilenet_v2_(0\.35|0\.5|0\.75|1\.0|1\.4)", _tensorflow_mobilenet),
        ("keras_applications", r"mobilenet_v3_\w+(\.\d+)?", _mobilenet_v3),
        ("keras_applications", r"densenet\d+", _densenet),
        ("efficientnet_lite", r"\d", _lite),
        ("keras_applications", r"efficientnet_(b\d|v2_\w+)", _efficientnet),
        ("keras_applications", r"convnext_\w+", _convnext),
        ("keras_applications", r"vgg1[69]", _vgg),
    )
)


def torch_class(family: str, variant: str) -> TorchClass | None:
    """The class that computes what this network does; None if there is none that is known to."""
    for known, pattern, make in CLASSES:
        if known == family and pattern.fullmatch(variant):
            return make(variant)
    return None
