"""Registry entries of TF-slim (research/slim of tensorflow/models)."""

from __future__ import annotations

from scripts.registry.records import COUNTED, Json, addresses, checksums, graph, metrics, read, source

CONVERTERS = {
    "inception": "slim.inception",
    "inception_resnet": "slim.inception_resnet",
    "mobilenet": "slim.mobilenet",
    "nasnet": "slim.nasnet",
    "resnet": "slim.resnet",
    "vgg": "slim.vgg",
}
INCEPTION_V4 = {"inception_v4": "slim.inception_v4"}  # its names are not those of v1 to v3
LABELS = {1000: "imagenet", 1001: "imagenet_background"}


def entries() -> dict[str, Json]:
    return {f"{name}.slim": entry(name, record) for name, record in read("slim").items()}


def entry(name: str, record: Json) -> Json:
    family, size, classes = record["family"], record["input_size"], record["classes"]
    return {
        "graph": graph(family, record["variant"], size, classes),
        "preprocessing": record["preprocessing"],
        "labels": LABELS[classes],
        "sources": [
            source(
                INCEPTION_V4.get(name, CONVERTERS[family]),
                "tensorflow",
                addresses(record),
                checksums=checksums(record, "file"),
                bytes=record["bytes"],
            )
        ],
        "parameters": COUNTED,
        "metrics": metrics(record, f"ImageNet validation, {size} px"),
        "licenses": {"code": "Apache-2.0", "weights": None, "data": None},
        "paper": record["paper"],
    }
