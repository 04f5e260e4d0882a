"""Builds modelzoo/registry.json from the collected facts about upstream files.

    python scripts/build_registry.py [--facts ../shared/facts/upstream.json]

What the facts leave open stays null. The figures of the bundled model come from its own receipt.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from modelzoo import registry, weights

ROOT = Path(__file__).parents[1]
FACTS = ROOT.parent / "shared" / "facts" / "upstream.json"
TARGET = ROOT / "modelzoo" / "registry.json"
BUNDLED = "resnet9_cifar10.modelzoo"

PICTURES = {
    "tencent_demo": {
        "shorter_side": 256,
        "crop": 224,
        "kernel": "opencv_linear",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    },
    "gluoncv_eval": {
        "shorter_side": 256,
        "crop": 224,
        "kernel": "opencv_linear",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
    "cifar": {
        "shorter_side": 32,
        "crop": 32,
        "kernel": "pillow_bicubic",
        "mean": [0.4914, 0.4822, 0.4465],
        "std": [0.247, 0.2435, 0.2616],
    },
}
GLUON_NAME = re.compile(r"resnet(\d+)_v1([bcds])")
GLUON_HOST = "https://apache-mxnet.s3"
TENCENT_CLASSES = {"resnet101_mlimages": 11166, "resnet101_mlimages_imagenet": 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--facts", type=Path, default=FACTS)
    records = json.loads(parser.parse_args().facts.read_text())
    facts = {record["id"]: record for record in records if record["record"] == "weights"}

    models = {BUNDLED: bundled()}
    for name in TENCENT_CLASSES:
        models[f"{name}.tencent"] = tencent(name, facts[f"tencent_{name}"])
    for depth in (50, 152):
        models[f"resnet{depth}_mlimages.tencent"] = tencent_graph(depth, models["resnet101_mlimages.tencent"])
    for identifier, fact in facts.items():
        name = identifier.removeprefix("gluoncv_")
        if fact["family"] == "gluoncv" and GLUON_NAME.fullmatch(name):
            models[f"{name}.gluon"] = gluon(name, fact)

    text = json.dumps({"pictures": PICTURES, "models": dict(sorted(models.items()))}, indent=2) + "\n"
    registry.parse(text)
    TARGET.write_text(text)
    print(f"{TARGET}: {len(models)} models")


def bundled() -> dict:
    receipt = weights.receipt(ROOT / "modelzoo" / "bundled" / f"{BUNDLED}.h5")
    return {
        "graph": graph("9", [32, 32, 3], 10),
        "pictures": "cifar",
        "labels": "cifar10",
        "parameters": receipt["parameters"],
        "metrics": [
            {
                "name": "top1",
                "value": receipt["accuracy"],
                "dataset": receipt["measured_on"],
                "measured_by": "scripts/train/cifar10.py",
                "note": f"trained on {receipt['trained_on']}",
            }
        ],
        "licences": {"code": "Apache-2.0", "weights": "Apache-2.0", "data": None},
        "paper": "https://arxiv.org/abs/1512.03385",
    }


def tencent(name: str, fact: dict) -> dict:
    classes = TENCENT_CLASSES[name]
    return {
        "graph": graph("tencent_101", [224, 224, 3], classes),
        "pictures": "tencent_demo",
        "labels": {11166: "mlimages", 1000: "imagenet"}[classes],
        # The direct link first: it is older, but the official one leads to a page, not to a file.
        "source": source("tencent", "tensorflow", sorted(links(fact), key=lambda url: "drive.google" in url)),
        "parameters": parameters("tencent_101", classes),
        "metrics": [
            metric
            for accuracy in fact["accuracy"][:1]  # the README's headline
            for metric in metrics(
                accuracy,
                f"ImageNet validation, {accuracy['at'].removeprefix('val ')} px",
                "the README does not say which of its checkpoints the published file is",
            )
        ],
        "licences": {"code": "BSD-3-Clause", "weights": "BSD-3-Clause", "data": "CC-BY-4.0"},
        "paper": fact["paper"],
        "note": "Trained with sigmoid outputs; the published known answer looks like softmax, so softmax is "
        "the default and classifier_activation='sigmoid' the other choice."
        if classes == 11166
        else None,
    }


def tencent_graph(depth: int, model: dict) -> dict:
    """The depths that Tencent's program has, but of which it published no weights."""
    kept = {key: model[key] for key in ("pictures", "labels", "licences", "paper")}
    variant = f"tencent_{depth}"
    return {
        "graph": graph(variant, [224, 224, 3], 11166),
        **kept,
        "licences": {"code": "BSD-3-Clause", "weights": None, "data": None},
        "parameters": parameters(variant, 11166),
        "note": "The graph only: Tencent's program has it, but no weights were published.",
    }


def gluon(name: str, fact: dict) -> dict:
    variant = "_v1".join(GLUON_NAME.fullmatch(name).groups())
    checksums = [
        {"algorithm": checksum["algorithm"], "value": checksum["value"], "of": "member"}
        for checksum in fact["checksums"]
    ]
    return {
        "graph": graph(variant, [224, 224, 3], 1000),
        "pictures": "gluoncv_eval",
        "labels": "imagenet",
        "source": source(
            "gluoncv",
            "mxnet",
            [url for url in links(fact) if url.startswith(GLUON_HOST)],
            checksums=checksums,
            member=fact["archive_member"],
        ),
        "parameters": parameters(variant, 1000),
        "metrics": [
            metric
            for accuracy in fact["accuracy"]
            for metric in metrics(accuracy, "ImageNet validation, 224 px", accuracy["setting"])
        ],
        "licences": {"code": "Apache-2.0", "weights": None, "data": None},
        "paper": fact["paper"],
    }


def graph(variant: str, input_shape: list[int], classes: int) -> dict:
    return {
        "family": "resnet",
        "variant": variant,
        "input_shape": input_shape,
        "classes": classes,
        "activation": "softmax",
    }


def source(converter: str, format_: str, urls: list[str], **known) -> dict:
    return {"converter": converter, "format": format_, "urls": urls, **known}


def links(fact: dict) -> list[str]:
    """The addresses that can answer with the file: Baidu's need a person and a browser."""
    return [link["url"] for link in fact["urls"] if "pan.baidu.com" not in link["url"]]


def metrics(accuracy: dict, dataset: str, note: str) -> list[dict]:
    return [
        {
            "name": name,
            "value": accuracy[name],
            "dataset": dataset,
            "measured_by": accuracy["source"],
            "note": note,
        }
        for name in ("top1", "top5")
        if accuracy.get(name) is not None
    ]


def parameters(variant: str, classes: int) -> int:
    from modelzoo import architectures

    network = architectures.build(
        "resnet", variant, input_shape=(224, 224, 3), classes=classes, initialise=False, initialise_head=False
    )
    return network.model().count_params()


if __name__ == "__main__":
    main()
