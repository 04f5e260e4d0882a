"""Registry entries of GluonCV's ResNets v1b, v1c, v1d and v1s."""

from __future__ import annotations

import re

from common import checksums, graph, links, metrics, parameters, source

NAME = re.compile(r"resnet(\d+)_v1([bcds])")
HOST = "https://apache-mxnet.s3"
# The page of the same weights under timm's name, as timm/models/resnet.py has it. timm prepares pictures in
# another way (bicubic), so the accuracy it states is not that of `metrics` below.
HUB = "https://huggingface.co/timm/"


def entries(facts: dict[str, dict]) -> dict[str, dict]:
    names = [identifier.removeprefix("gluoncv_") for identifier in facts]
    return {f"{name}.gluon": entry(name, facts[f"gluoncv_{name}"]) for name in names if NAME.fullmatch(name)}


def entry(name: str, fact: dict) -> dict:
    depth, letter = NAME.fullmatch(name).groups()
    network = graph("resnet", f"{depth}_v1{letter}", 224, 1000)
    return {
        "graph": network,
        "pictures": "gluoncv_eval",
        "labels": "imagenet",
        "sources": [
            source(
                "gluoncv",
                "mxnet",
                [url for url in links(fact) if url.startswith(HOST)],
                checksums=checksums(fact, "member"),
                member=fact["archive_member"],
            ),
            source("timm", "safetensors", [hub_file(fact)]),
        ],
        "parameters": parameters(network),
        "metrics": metrics(fact["accuracy"], "ImageNet validation, 224 px"),
        "licences": {"code": "Apache-2.0", "weights": None, "data": None},
        "paper": fact["paper"],
    }


def hub_file(fact: dict) -> str:
    """The hub's documented address of a file: https://huggingface.co/{owner}/{repository}/resolve/{branch}/{path}."""
    (page,) = (url for url in links(fact) if url.startswith(HUB))
    return f"{page}/resolve/main/model.safetensors"
