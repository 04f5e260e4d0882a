"""Registry entry of Darknet's YOLOv2."""

from __future__ import annotations

from scripts.registry.records import COUNTED, Json, addresses, graph, metrics, read, source


def entries() -> dict[str, Json]:
    return {f"{name}.darknet": entry(record) for name, record in read("darknet").items()}


def entry(record: Json) -> Json:
    network = graph("yolo", record["variant"], record["input_size"], record["classes"])
    return {
        "task": "detection",
        "graph": network | {"activation": None},
        "preprocessing": "darknet",
        "labels": "coco",
        "sources": [source("darknet", "darknet", addresses(record), bytes=record["bytes"])],
        "parameters": COUNTED,
        "metrics": metrics(record, "COCO", names=("mAP", "coco_mAP")),  # as two sources count them
        "licenses": {"code": "public domain", "weights": None, "data": None},
        "paper": record["paper"],
    }
