"""What the builders of registry entries share: the pieces of an entry, from a record of the facts."""

from __future__ import annotations

from modelzoo import architectures

DRIVE_PAGE = "https://drive.google.com/open?id="
DRIVE_FILE = "https://drive.google.com/uc?export=download&id="


def graph(family: str, variant: str, size: int, classes: int) -> dict:
    return {
        "family": family,
        "variant": variant,
        "input_shape": [size, size, 3],
        "classes": classes,
        "activation": "softmax",
    }


def parameters(graph: dict) -> int:
    """Counted on the network itself."""
    network = architectures.build(
        graph["family"],
        graph["variant"],
        input_shape=tuple(graph["input_shape"]),
        classes=graph["classes"],
        initialise=False,
    )
    return network.model().count_params()


def source(converter: str, format_: str, urls: list[str], **known) -> dict:
    return {"converter": converter, "format": format_, "urls": urls, **known}


def links(fact: dict) -> list[str]:
    """The addresses that can answer with the file: Baidu's need a person and a browser.

    Google Drive's are given as pages; with the same id it has an address for the file itself.
    """
    addresses = [link["url"] for link in fact["urls"] if "pan.baidu.com" not in link["url"]]
    return [address.replace(DRIVE_PAGE, DRIVE_FILE) for address in addresses]


def checksums(fact: dict, of: str) -> list[dict]:
    """The published checksums that are known in full; `of` is "file" or "member"."""
    return [
        {"algorithm": checksum["algorithm"], "value": checksum["value"], "of": of}
        for checksum in fact["checksums"]
        if checksum["value"]
    ]


def metrics(accuracies: list[dict], dataset: str, note: str | None = None) -> list[dict]:
    """Top-1 and top-5 in percent, each with its source; `note` replaces the facts' own setting."""
    return [
        {
            "name": name,
            "value": accuracy[name],
            "dataset": dataset,
            "measured_by": accuracy["source"],
            "note": note or accuracy["setting"],
        }
        for accuracy in accuracies
        for name in ("top1", "top5")
        if accuracy.get(name) is not None
    ]
