"""Registry entries of torchvision's models."""

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


def entries() -> dict[str, Json]:
    return {f"{name}.torchvision": entry(record) for name, record in read("torchvision").items()}


def entry(record: Json) -> Json:
    size = record["input_size"]
    return {
        "graph": graph(record["family"], record["variant"], size, 1000),
        "preprocessing": "torchvision",
        "labels": "imagenet",
        "sources": [
            source(
                "torchvision",
                "torch",
                addresses(record),
                checksums=checksums(record, "file"),
                packages=packages(record),
            )
        ],
        "parameters": COUNTED,
        "metrics": metrics(record, f"ImageNet validation, {size} px"),
        "licenses": {"code": "BSD-3-Clause", "weights": None, "data": None},
        "paper": record["paper"],
    }
