"""Registry entry of Darknet's YOLOv2."""

from __future__ import annotations

from common import graph, parameters, source

NAME = "yolo2.darknet"
CLASSES = 80
WEIGHTS = "https://pjreddie.com/media/files/yolov2.weights"


def entries(facts: dict[str, dict]) -> dict[str, dict]:
    fact = facts["darknet_yolov2_coco"]
    network = graph("yolo", "2", fact["input_size"][0], CLASSES) | {"activation": None}
    return {
        NAME: {
            "task": "detection",
            "graph": network,
            "pictures": "darknet",
            "labels": "coco",
            "sources": [source("darknet", "darknet", [WEIGHTS], bytes=fact["size_bytes"])],
            "parameters": parameters(network),
            "metrics": [metric for accuracy in fact["accuracy"] for metric in metrics(accuracy)],
            "licences": {"code": "public domain", "weights": None, "data": None},
            "paper": fact["paper"],
        }
    }


def metrics(accuracy: dict) -> list[dict]:
    """Mean average precisions in percent, as two sources count them."""
    return [
        {
            "name": name,
            "value": accuracy[name],
            "dataset": "COCO",
            "measured_by": accuracy["source"],
            "note": accuracy["setting"],
        }
        for name in ("mAP", "coco_mAP")
        if name in accuracy
    ]
