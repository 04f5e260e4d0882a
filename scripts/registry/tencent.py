"""Registry entries of Tencent ML-Images."""

from __future__ import annotations

from common import graph, links, metrics, parameters, source

CLASSES = {"resnet101_mlimages": 11166, "resnet101_mlimages_imagenet": 1000}
GRAPHS_ONLY = (50, 152)  # depths that Tencent's program has, but of which it published no weights
LABELS = {11166: "mlimages", 1000: "imagenet"}


def entries(facts: dict[str, dict]) -> dict[str, dict]:
    models = {f"{name}.tencent": published(name, facts[f"tencent_{name}"]) for name in CLASSES}
    for depth in GRAPHS_ONLY:
        models[f"resnet{depth}_mlimages.tencent"] = graph_only(depth, models["resnet101_mlimages.tencent"])
    return models


def published(name: str, fact: dict) -> dict:
    network = graph("resnet", "tencent_101", 224, CLASSES[name])
    headline = fact["accuracy"][:1]
    entry = {
        "graph": network,
        "pictures": "tencent_demo",
        "labels": LABELS[CLASSES[name]],
        # The direct link first: it is older, but the official one leads to a page, not to a file.
        "sources": [
            source("tencent", "tensorflow", sorted(links(fact), key=lambda url: "drive.google" in url))
        ],
        "parameters": parameters(network),
        "metrics": metrics(
            headline,
            f"ImageNet validation, {headline[0]['at'].removeprefix('val ')} px" if headline else "",
            "the README does not say which of its checkpoints the published file is",
        ),
        "licences": {"code": "BSD-3-Clause", "weights": "BSD-3-Clause", "data": "CC-BY-4.0"},
        "paper": fact["paper"],
    }
    if CLASSES[name] == 11166:
        entry["note"] = (
            "Trained with sigmoid outputs; the published known answer looks like softmax, so softmax is the "
            "default and classifier_activation='sigmoid' the other choice."
        )
    return entry


def graph_only(depth: int, model: dict) -> dict:
    network = graph("resnet", f"tencent_{depth}", 224, 11166)
    return {
        "graph": network,
        **{key: model[key] for key in ("pictures", "labels", "paper")},
        "parameters": parameters(network),
        "licences": {"code": "BSD-3-Clause", "weights": None, "data": None},
        "note": "The graph only: Tencent's program has it, but no weights were published.",
    }
