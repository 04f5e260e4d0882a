"""Registry entries of TF-slim (research/slim of tensorflow/models)."""

from __future__ import annotations

from dataclasses import dataclass

from common import checksums, graph, links, metrics, parameters, source

from modelzoo import architectures

CONVERTERS = {
    "inception": "slim.inception",
    "inception_resnet": "slim.inception_resnet",
    "mobilenet": "slim.mobilenet",
    "nasnet": "slim.nasnet",
    "resnet": "slim.resnet",
    "vgg": "slim.vgg",
}
ARCHIVES = (".tar.gz", ".tgz")
OFFICIAL = (
    "https://storage.googleapis.com/download.tensorflow.org/",
    "https://storage.googleapis.com/mobilenet_v2/",
)
MIRRORS = ("https://storage.openvinotoolkit.org/",)


@dataclass(frozen=True)
class Model:
    fact: str  # id among the facts
    family: str
    variant: str
    size: int = 224
    classes: int = 1001  # with the background first
    converter: str | None = None  # where it is not the family's


MODELS = {
    "inception_v1": Model("slim_inception_v1", "inception", "v1"),
    "inception_v2": Model("slim_inception_v2", "inception", "v2"),
    "inception_v3": Model("slim_inception_v3", "inception", "v3", 299),
    "inception_v4": Model("slim_inception_v4", "inception", "v4", 299, converter="slim.inception_v4"),
    "inception_resnet_v2": Model("slim_inception_resnet_v2", "inception_resnet", "v2", 299),
    "resnet_v1_50": Model("slim_resnet_v1_50", "resnet", "slim_v1_50", classes=1000),
    "resnet_v1_101": Model("slim_resnet_v1_101", "resnet", "slim_v1_101", classes=1000),
    "resnet_v1_152": Model("slim_resnet_v1_152", "resnet", "slim_v1_152", classes=1000),
    "resnet_v2_50": Model("slim_resnet_v2_50", "resnet", "slim_v2_50", 299),
    "resnet_v2_101": Model("slim_resnet_v2_101", "resnet", "slim_v2_101", 299),
    "resnet_v2_152": Model("slim_resnet_v2_152", "resnet", "slim_v2_152", 299),
    "vgg_16": Model("slim_vgg_16", "vgg", "16", classes=1000),
    "vgg_19": Model("slim_vgg_19", "vgg", "19", classes=1000),
    "mobilenet_v1_1.0_224": Model("slim_mobilenet_v1_1.0_224@2018_08_02", "mobilenet", "v1_1.0"),
    "mobilenet_v1_1.0_224_2017": Model("slim_mobilenet_v1_1.0_224@2017_06_14", "mobilenet", "v1_1.0"),
    "mobilenet_v1_0.5_160": Model("slim_mobilenet_v1_0.5_160@2018_08_02", "mobilenet", "v1_0.5", 160),
    "mobilenet_v1_0.25_128": Model("slim_mobilenet_v1_0.25_128@2018_08_02", "mobilenet", "v1_0.25", 128),
    "mobilenet_v2_1.0_224": Model("slim_mobilenet_v2_1.0_224", "mobilenet", "v2_1.0"),
    "mobilenet_v2_1.4_224": Model("slim_mobilenet_v2_1.4_224", "mobilenet", "v2_1.4"),
    "nasnet_mobile": Model("slim_nasnet_a_mobile_224", "nasnet", "nasnet_mobile"),
    "nasnet_large": Model("slim_nasnet_a_large_331", "nasnet", "nasnet_large", 331),
    "pnasnet_mobile": Model("slim_pnasnet_5_mobile_224", "nasnet", "pnasnet_mobile"),
    "pnasnet_large": Model("slim_pnasnet_5_large_331", "nasnet", "pnasnet_large", 331),
}


def entries(facts: dict[str, dict]) -> dict[str, dict]:
    return {
        f"{name}.slim": entry(model, facts[model.fact])
        for name, model in MODELS.items()
        if model.family in architectures.FAMILIES and model.variant in architectures.variants(model.family)
    }


def entry(model: Model, fact: dict) -> dict:
    network = graph(model.family, model.variant, model.size, model.classes)
    return {
        "graph": network,
        "pictures": fact["preprocessing"]["name"],  # slim_inception or slim_vgg
        "labels": "imagenet" if model.classes == 1000 else "imagenet_background",
        "sources": [
            source(
                model.converter or CONVERTERS[model.family],
                "tensorflow",
                addresses(fact),
                checksums=checksums(fact, "file"),
                bytes=fact["size_bytes"],
            )
        ],
        "parameters": parameters(network),
        "metrics": metrics(fact["accuracy"], f"ImageNet validation, {model.size} px"),
        "licences": {"code": "Apache-2.0", "weights": None, "data": None},
        "paper": fact["paper"],
    }


def addresses(fact: dict) -> list[str]:
    """The official archive first, then the mirrors of the very same file; only https."""
    archives = [link for link in links(fact) if link.endswith(ARCHIVES)]
    official = [link for link in archives if link.startswith(OFFICIAL)]
    return official + [link for link in archives if link.startswith(MIRRORS)]
