"""show: the layers of a network, what they cost, and a drawing of it."""

from __future__ import annotations

import argparse
import dataclasses
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelzoo import files, registry
from modelzoo.cli.arguments import add_command, add_file, add_model
from modelzoo.cli.printing import print_card, print_json, print_table, say
from modelzoo.errors import ModelZooError, OutputError, UnknownModel, quoted, readable
from modelzoo.registry import Entry

if TYPE_CHECKING:
    from modelzoo.graph import Graph

CHANNELS = 3
DOT = ".dot"  # what Graphviz reads; the other formats need its program
FORMATS = (DOT, ".svg", ".png", ".pdf")
GRAPHVIZ = "dot"
INSTALL = (
    "install Graphviz (`apt install graphviz`, `brew install graphviz` or `conda install graphviz`; "
    "what pip calls graphviz does not have the program)"
)
Size = tuple[int, int]  # height, width; pixels


def add_commands(commands: Any) -> None:
    command = add_command(commands, "show", _show, "a network's layers, their shapes, parameters and cost")
    add_model(command, "name", help="a model, or a network's file")
    command.add_argument(
        "--input-size", type=_size, metavar="H[xW]", help="of the images, in pixels; default: as in training"
    )
    part = command.add_mutually_exclusive_group()
    part.add_argument("--no-top", action="store_true", help="without what comes after the last feature map")
    part.add_argument(
        "--features", type=_names, metavar="C2,C3", help="only what these feature maps need; all: C2 and on"
    )
    help_ = f"draws it instead, a block a box: {', '.join(FORMATS)}, all but .dot by Graphviz"
    add_file(command, "--graph", type=Path, metavar="FILE", help=help_)
    command.add_argument("--layers", action="store_true", help="of --graph: a layer a box")


def _size(text: str) -> Size:
    match = re.fullmatch(r"([1-9]\d{0,8})(?:x([1-9]\d{0,8}))?", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected a size such as 224 or 480x640, got {quoted(text)}")
    return int(match[1]), int(match[2] or match[1])


def _names(text: str) -> tuple[str, ...] | bool:
    return True if text == "all" else tuple(text.split(","))


def _show(options: argparse.Namespace) -> int:
    if options.layers and options.graph is None:
        raise ValueError("--layers needs --graph FILE.")
    if options.graph is not None:
        _check_drawable(options.graph)
    try:
        entry = registry.info(options.name)
    except UnknownModel:
        if not Path(options.name).is_file():
            raise
        _print_graph(_graph_of_file(options), options, readable(options.name), {"file": options.name})
        return 0
    height, width, _ = entry.graph.input_shape
    size = options.input_size or (height, width)
    title = f"{entry.key}, {size[0]} x {size[1]} pixels"
    _print_graph(_graph(entry, size, options), options, title, {"model": entry.key, "input_size": size})
    return 0


def _print_graph(graph: Graph, options: argparse.Namespace, title: str, facts: dict[str, Any]) -> None:
    """The layers, their totals and the drawing that the options ask for."""
    if options.graph is not None:
        _draw(graph, options.graph, layers=options.layers)
    if options.json:
        print_json(facts | _facts(graph) | _drawn(options.graph))
    elif options.graph is not None:
        print_card(readable(str(options.graph)), _card(graph))
    else:
        _print_layers(graph)
        say()
        print_card(title, _card(graph))


def _graph_of_file(options: argparse.Namespace) -> Graph:
    """The network that a file holds. Raises ValueError for options that only models of the registry have."""
    from modelzoo import importers

    if options.input_size or options.no_top or options.features:
        raise ValueError("--input-size, --no-top and --features need a model of the registry, not a file.")
    with importers.opened(Path(options.name)) as found:
        return found.graph


def _graph(entry: Entry, size: Size, options: argparse.Namespace) -> Graph:
    """The part of the entry's network that the options ask for; raises ValueError for too small a size."""
    from modelzoo.zoo import NetworkOptions, graph_of

    top = not (options.no_top or options.features)
    try:
        graph = graph_of(entry, NetworkOptions(top, input_shape=(*size, CHANNELS), name=entry.key))
    except ValueError as error:
        raise ValueError(f"{entry.key} cannot take {size[0]}x{size[1]} pixels: {error}") from error
    names = options.features
    if names and names is not True and not set(names) <= graph.maps.keys():
        given = quoted(",".join(names))
        raise ValueError(f"--features: expected all, or names among {', '.join(graph.maps)}, got {given}.")
    return graph.features(names) if names else graph


def _print_layers(graph: Graph) -> None:
    """A row a layer; what is narrow leaves out the operators first."""
    from modelzoo.graph import summary

    rows = [
        (
            readable(row.name),
            row.label,
            summary.sides(row.shape),
            _number(row.parameters),
            _number(row.multiply_adds),
        )
        for row in summary.rows(graph)
    ]
    header = ("layer", "operator", "output", "parameters", "multiply-adds")
    print_table(header, rows, right={3, 4}, optional=(1, 4, 3, 2))


def _card(graph: Graph) -> Iterator[tuple[str, str]]:
    """The totals, and where the feature maps are."""
    from modelzoo.graph import summary

    totals = summary.totals(graph)
    yield "layers", f"{len(graph.nodes):,}"
    yield "parameters", _number(totals.parameters)
    yield "trainable parameters", _number(totals.trainable_parameters)
    yield "multiply-adds", f"{_number(totals.multiply_adds)} for one image"
    yield "weights", f"{totals.bytes / 1e6:,.1f} MB in float32"
    for level, node in graph.maps.items():
        yield level, f"{summary.sides(graph.shape(node))}, {readable(node)}"


def _facts(graph: Graph) -> dict[str, Any]:
    """All of it for programs. Shapes begin with the batch, null."""
    from modelzoo.graph import summary

    return {
        "layers": [dataclasses.asdict(row) for row in summary.rows(graph)],
        "outputs": graph.outputs,
        "feature_maps": graph.maps,
        "totals": dataclasses.asdict(summary.totals(graph)),
    }


def _drawn(path: Path | None) -> dict[str, str]:
    """Where the drawing is, for programs; nothing where there is none."""
    if path is None:
        return {}
    from modelzoo.images import encodable

    return {"graph": encodable(str(path))}


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _check_drawable(path: Path) -> None:
    """Raises OutputError for a format that there is not, or that needs a program which is missing."""
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"Expected a file that ends in {', '.join(FORMATS)}, got {quoted(str(path))}.")
    if path.suffix.lower() != DOT and shutil.which(GRAPHVIZ) is None:
        raise OutputError(
            f"{readable(str(path))} needs Graphviz, whose program `{GRAPHVIZ}` is not found: {INSTALL}, "
            f"or name a {DOT} file."
        )


def _draw(graph: Graph, path: Path, *, layers: bool) -> None:
    from modelzoo.graph import drawing

    text, ending = drawing.dot(graph, layers=layers).encode(), path.suffix.lower()
    content = text if ending == DOT else _rendered(text, ending[1:])
    with files.atomic_write(path) as temporary:
        temporary.write_bytes(content)


def _rendered(text: bytes, format: str) -> bytes:
    """What Graphviz makes of DOT; raises ModelZooError with its last words if it fails."""
    command = [shutil.which(GRAPHVIZ) or GRAPHVIZ, f"-T{format}"]
    run = subprocess.run(command, input=text, capture_output=True, check=False)
    if run.returncode or not run.stdout:
        words = run.stderr.decode(errors="replace").strip().splitlines()
        raise ModelZooError(
            f"Graphviz failed with exit code {run.returncode}: {quoted(words[-1] if words else '')}"
        )
    return run.stdout
