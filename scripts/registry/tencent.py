"""Registry entries of Tencent ML-Images' two published files."""

from __future__ import annotations

from scripts.registry.records import COUNTED, Json, addresses, graph, metrics, read, source

LABELS = {11166: "mlimages", 1000: "imagenet"}
UNNAMED = "the README does not say which of its checkpoints the published file is"
SIGMOID = (
    "Trained with sigmoid outputs; the published known answer looks like softmax, so softmax is the "
    "default and classifier_activation='sigmoid' the other choice."
)


def entries() -> dict[str, Json]:
    return {f"{name}.tencent": entry(record) for name, record in read("tencent").items()}


def entry(record: Json) -> Json:
    classes = record["classes"]
    note = {"note": SIGMOID} if classes == 11166 else {}
    return {
        "graph": graph("resnet", record["variant"], 224, classes),
        "preprocessing": "tencent_demo",
        "labels": LABELS[classes],
        "sources": [source("tencent", "tensorflow", addresses(record))],
        "parameters": COUNTED,
        "metrics": metrics(record, f"ImageNet validation, {record['measured_at']} px", UNNAMED),
        "licenses": {"code": "BSD-3-Clause", "weights": "BSD-3-Clause", "data": "CC-BY-4.0"},
        "paper": record["paper"],
        **note,
    }
