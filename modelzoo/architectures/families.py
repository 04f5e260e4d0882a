"""The families of networks: the one explicit list, and how one is found by its name."""

from __future__ import annotations

from modelzoo.architectures import (
    efficientnet_lite,
    inception,
    inception_resnet,
    keras_applications,
    mobilenet,
    nasnet,
    resnet,
    vgg,
    yolo,
)
from modelzoo.architectures.family import Family

FAMILIES: dict[str, Family] = {
    "efficientnet_lite": efficientnet_lite.FAMILY,
    "inception": inception.FAMILY,
    "inception_resnet": inception_resnet.FAMILY,
    "keras_applications": keras_applications.FAMILY,
    "mobilenet": mobilenet.FAMILY,
    "nasnet": nasnet.FAMILY,
    "resnet": resnet.FAMILY,
    "vgg": vgg.FAMILY,
    "yolo": yolo.FAMILY,
}


def find(family: str, variant: str | None = None) -> Family:
    """The family of this name; raises ValueError for an unknown one, or if it has no such `variant`."""
    if family not in FAMILIES:
        raise ValueError(f"Unknown family {family!r}; there are {', '.join(FAMILIES)}.")
    found = FAMILIES[family]
    if variant is not None and variant not in found.variants:
        raise ValueError(f"Family {family!r} has no variant {variant!r}, only {', '.join(found.variants)}.")
    return found
