"""How many parameters each network has, counted on the network and kept in facts/parameters.json.

Only new networks are counted; a test compares each kept number with its network.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from scripts.registry.records import FACTS, Json, read

FILE = FACTS / "parameters.json"

Counts = Mapping[str, int]


def key(graph: Json) -> str:
    """family/variant/classes: the size of the images changes no weight."""
    return f"{graph['family']}/{graph['variant']}/{graph['classes']}"


def kept() -> Counts:
    return read("parameters")


def of(graphs: Iterable[Json], known: Counts) -> Counts:
    """The number for each of the graphs, and for nothing else; what `known` lacks is counted."""
    needed = {key(graph): graph for graph in graphs}
    return {name: known[name] if name in known else count(graph) for name, graph in sorted(needed.items())}


def write(counts: Counts) -> None:
    FILE.write_text(json.dumps(counts, indent=1) + "\n", "utf-8")


def count(graph: Json) -> int:
    """Counted on the network itself."""
    from modelzoo import architectures

    network = architectures.build(
        graph["family"], graph["variant"], input_shape=tuple(graph["input_shape"]), classes=graph["classes"]
    )
    return network.parameters
