"""Registry entries of EfficientNet-Lite (tensorflow/tpu), whose authors' checkpoints live on in packages."""

from __future__ import annotations

from scripts.registry.records import (
    COUNTED,
    Json,
    addresses,
    checksums,
    graph,
    metrics,
    packages,
    read,
    source,
)

CONVERTED = (
    "The packages hold somebody else's conversion of the authors' checkpoint for PyTorch, not thoroughly "
    "tested as its README says; the accuracy is the checkpoint's."
)


def entries() -> dict[str, Json]:
    return {f"{name}.tpu": entry(record) for name, record in read("tpu").items()}


def entry(record: Json) -> Json:
    wheels = packages(record)
    converted = [source("efficientnet_lite.torch", "torch", [], packages=wheels)] if wheels else []
    licenses = {package["license"] for package in record["packages"]}
    return {
        "graph": graph("efficientnet_lite", record["variant"], record["input_size"], 1000),
        "preprocessing": "efficientnet_lite",
        "labels": "imagenet",
        "sources": [
            source("efficientnet_lite", "tensorflow", addresses(record), checksums=checksums(record, "file")),
            *converted,
        ],
        "parameters": COUNTED,
        "metrics": metrics(record, f"ImageNet validation, {record['input_size']} px"),
        "licenses": {"code": "Apache-2.0", "weights": licenses.pop() if licenses else None, "data": None},
        "paper": record["paper"],
        **({"note": CONVERTED} if wheels else {}),
    }
