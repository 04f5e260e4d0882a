"""Registry entries of GluonCV's ResNets v1b, v1c, v1d and v1s."""

from __future__ import annotations

from scripts.registry.records import COUNTED, Json, addresses, checksums, graph, metrics, read, source

# The page of the same weights under timm's name. timm resizes images in another way (bicubic), so the
# accuracy that it states there is not that of `metrics` below.
HUB = "https://huggingface.co/timm/"


def entries() -> dict[str, Json]:
    return {f"{name}.gluon": entry(name, record) for name, record in read("gluon").items()}


def entry(name: str, record: Json) -> Json:
    (page,) = (url for url in addresses(record) if url.startswith(HUB))
    files = [url for url in addresses(record) if url != page]
    return {
        "graph": graph("resnet", name.removeprefix("resnet"), 224, 1000),
        "preprocessing": "gluoncv_eval",
        "labels": "imagenet",
        "sources": [
            source("gluoncv", "mxnet", files, checksums=checksums(record, "member"), member=record["member"]),
            source("timm", "safetensors", [hub_file(page)]),
        ],
        "parameters": COUNTED,
        "metrics": metrics(record, "ImageNet validation, 224 px"),
        "licenses": {"code": "Apache-2.0", "weights": None, "data": None},
        "paper": record["paper"],
    }


def hub_file(page: str) -> str:
    """The hub's documented address of a file: https://huggingface.co/{owner}/{repository}/resolve/{branch}/{path}."""
    return f"{page}/resolve/main/model.safetensors"
