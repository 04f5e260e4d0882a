"""The pieces of a registry entry, made from a record of the facts.

scripts/registry/facts/ holds one file a tag: records by the model's name, with all that was read about its
upstream file and the public document where each fact was read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FACTS = Path(__file__).parent / "facts"
DRIVE_PAGE = "https://drive.google.com/open?id="
DRIVE_FILE = "https://drive.google.com/uc?export=download&id="
COUNTED = None  # for the number of parameters: build.py takes it from the network

Json = dict[str, Any]


def read(name: str) -> Json:
    """The facts in NAME.json."""
    return json.loads((FACTS / f"{name}.json").read_text("utf-8"))


def graph(family: str, variant: str, size: int, classes: int) -> Json:
    return {
        "family": family,
        "variant": variant,
        "input_shape": [size, size, 3],
        "classes": classes,
        "activation": "softmax",
    }


def source(converter: str, format_: str, urls: list[str], **known: Any) -> Json:
    return {"converter": converter, "format": format_, "urls": urls, **known}


def addresses(record: Json) -> list[str]:
    """Where the file is, in the order in which the addresses are tried.

    Of Google Drive's files the page is published; with the same id it has an address of the file itself.
    """
    return [link["url"].replace(DRIVE_PAGE, DRIVE_FILE) for link in record["urls"]]


def packages(record: Json) -> list[Json]:
    """The wheels that hold the same file, each with its own checksum and the member's."""
    fields = ("distribution", "version", "member", "sha256", "member_sha256", "bytes")
    return [{field: package[field] for field in fields} for package in record["packages"]]


def checksums(record: Json, of: str) -> list[Json]:
    """The published checksums; `of` is "file" or "member"."""
    return [
        {"algorithm": checksum["algorithm"], "value": checksum["value"], "of": of}
        for checksum in record["checksums"]
    ]


def metrics(
    record: Json, dataset: str, note: str | None = None, names: tuple[str, ...] = ("top1", "top5")
) -> list[Json]:
    """The published accuracies in percent, each with its source; `note` replaces the facts' own setting."""
    return [
        {
            "name": name,
            "value": accuracy[name],
            "dataset": dataset,
            "measured_by": accuracy["source"],
            "note": note or accuracy["setting"],
        }
        for accuracy in record["accuracy"]
        for name in names
        if accuracy.get(name) is not None
    ]
