"""list and info: what the registry knows."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from typing import Any, cast

from modelzoo import registry, store
from modelzoo.cli.arguments import add_command, add_model, count, positive
from modelzoo.cli.printing import fail, percent, print_card, print_json, print_table
from modelzoo.errors import abbreviated, readable
from modelzoo.registry import (
    UNKNOWN,
    Entry,
    FetchedFolderEntry,
    FolderEntry,
    HubEntry,
    HubFolderEntry,
    Package,
)

DIGITS = 16  # of a graph's sha256
METRICS = {"top1": "top-1", "top5": "top-5"}


def add_commands(commands: Any) -> None:
    command = add_command(commands, "list", _list, "the models, their size and where their weights come from")
    command.add_argument(
        "pattern", nargs="?", default="*", help='a part of a name, or a pattern: "resnet50*"'
    )
    command.add_argument("--tag", help="who trained it: gluon, tencent, modelzoo ...")
    command.add_argument("--labels", help="the label set: imagenet, mlimages, cifar10 ...")
    command.add_argument("--license", metavar="SPDX", help='the weights\' license, or "unknown"')
    command.add_argument("--max-parameters", type=count, metavar="N", help="a number, or 25M")
    command.add_argument("--min-top1", type=float, metavar="PERCENT", help="published top-1 accuracy")
    command.add_argument("--max-size", type=positive, metavar="PIXELS", help="side of the input")
    available = [where.replace(" ", "-") for where in store.AVAILABILITY]
    command.add_argument("--from", dest="availability", choices=available, help="where the weights come from")
    command.add_argument("--sort", choices=tuple(registry.SORTS), default="name", help="default: name")

    command = add_command(commands, "info", _info, "all that is known of one model")
    add_model(command, "name")


def _list(options: argparse.Namespace) -> int:
    keys = registry.list_models(
        options.pattern,
        tag=options.tag,
        labels=options.labels,
        license=options.license,
        max_parameters=options.max_parameters,
        min_top1=options.min_top1,
        max_size=options.max_size,
        sort=options.sort,
    )
    found = [(entry, store.availability(entry)) for entry in map(registry.info, keys)]
    if options.availability:
        found = [pair for pair in found if pair[1].replace(" ", "-") == options.availability]
    if options.json:
        print_json([entry.facts() | {"availability": where} for entry, where in found])
        return 0
    rows = [_row(entry, where) for entry, where in found]
    header = ("model", "parameters", "input", "labels", "top-1", "license", "weights")
    print_table(header, rows, right={1, 2, 4}, optional=(5, 3, 2))
    return 0 if rows else fail("No model fits; `modelzoo list` shows all.")


def _row(entry: Entry, where: str) -> tuple[str, ...]:
    return (
        entry.key,
        f"{entry.parameters / 1e6:.1f} M",
        "x".join(map(str, entry.graph.input_shape[:2])),
        entry.labels,
        percent(entry.metric("top1")),
        entry.licenses.weights or UNKNOWN,
        where,
    )


def _info(options: argparse.Namespace) -> int:
    entry = registry.info(options.name)
    if options.json:
        found = {"availability": store.availability(entry), "trust": store.trust(entry)}
        print_json(entry.facts() | found)
    else:
        print_card(entry.key, _facts(entry))
    return 0


def _facts(entry: Entry) -> Iterator[tuple[str, str]]:
    """The card of a model; what is unknown is said to be unknown."""
    graph, licenses = entry.graph, entry.licenses
    height, width, _ = graph.input_shape
    yield "task", f"{entry.task}, {graph.classes:,} classes of {entry.labels}"
    if isinstance(entry, FolderEntry):
        yield from _facts_of_folder(entry)
    else:
        yield "architecture", f"{graph.family} {graph.variant}, {entry.parameters:,} parameters"
    if isinstance(entry, HubEntry | HubFolderEntry):
        yield "repository", entry.reference
    elif isinstance(entry, FetchedFolderEntry):
        yield "wheel", entry.address
    if isinstance(entry, HubEntry):
        if entry.table:
            yield "labels", abbreviated([readable(label.name) for label in entry.table])
        yield "network", f"that of {entry.network}"
    yield "input", f"{height} x {width} pixels; {_preprocessing(entry)}"
    yield "output", graph.activation or "no activation"
    for metric in entry.metrics:
        value = f"{METRICS.get(metric.name, metric.name)} {metric.value:.2f} %, {metric.dataset}"
        facts = (f"measured by {metric.measured_by}", metric.date, metric.note)
        yield "accuracy", f"{value} ({'; '.join(filter(None, facts))})"
    if not entry.metrics:
        yield "accuracy", UNKNOWN
    yield "weights", f"{store.availability(entry)}; trust: {store.trust(entry) or UNKNOWN}"
    yield from _origins(entry)
    for what, license in dataclasses.asdict(licenses).items():
        yield f"license of {what}", license or UNKNOWN
    yield "paper", entry.paper or UNKNOWN
    if entry.note:
        yield "note", entry.note


def _origins(entry: Entry) -> Iterator[tuple[str, str]]:
    """Where the weights may come from."""
    for file in entry.weights:
        if file.url is not None:
            yield "hosted", f"{file.url}, {file.bytes:,} bytes, sha256 {file.sha256}"
        for package in file.packages:
            yield "hosted", _package(package)
    for source in entry.sources:
        size = "size unknown" if source.bytes is None else f"{source.bytes:,} bytes"
        sums = [f"{c.algorithm} of the {c.of} {c.value}" for c in source.checksums] or [
            "the hub states its sha256" if isinstance(entry, HubEntry) else "no published checksum"
        ]
        for url in source.urls or (() if source.packages else ("no address",)):
            yield "upstream", f"{source.format}, {url}, {size}, {'; '.join(sums)}"
        for package in source.packages:
            yield "package", f"{source.format}, {_package(package)}"


def _package(package: Package) -> str:
    size = "size unknown" if package.bytes is None else f"{package.bytes:,} bytes"
    return (
        f"{package.address}, {size}, sha256 of the wheel {package.sha256}, "
        f"of {package.member} {package.member_sha256}"
    )


def _facts_of_folder(entry: FolderEntry) -> Iterator[tuple[str, str]]:
    """What only a model folder says."""
    if entry.table:
        yield "labels", abbreviated([readable(label.name) for label in entry.table])
    yield "folder", readable(entry.folder)
    digest = entry.graph.variant[:DIGITS]
    yield "architecture", f"a graph of its own, sha256 {digest}..., {entry.parameters:,} parameters"
    if entry.base is not None:
        yield "made from", entry.base.model + (f", sha256 {entry.base.sha256}" if entry.base.sha256 else "")
    yield "saved", f"{entry.saved or UNKNOWN}, by modelzoo {entry.modelzoo}"


def _preprocessing(entry: Entry) -> str:
    known = dataclasses.asdict(entry.preprocessing)
    return ", ".join(f"{name} {_shown(value)}" for name, value in known.items() if value is not None)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return "/".join(f"{item:g}" for item in cast("tuple[float, ...]", value))
    return str(value)
