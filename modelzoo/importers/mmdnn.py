"""MMdnn's intermediate representation -> Graph: NAME.json or NAME.pb, with its arrays in NAME.npy."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from modelzoo.errors import quoted
from modelzoo.formats import mmdnn_ir as file_format
from modelzoo.formats.graph_def import connected
from modelzoo.formats.networks import Network, Node
from modelzoo.formats.npy_dict import StoredArray, read_npy_dict
from modelzoo.graph import Graph
from modelzoo.importers.constants import FOLDED
from modelzoo.importers.imported import Imported, imported, refused
from modelzoo.importers.mmdnn_operators import OPERATIONS, WEIGHTS
from modelzoo.importers.network import Dialect, Import
from modelzoo.importers.values import CHANNELS_LAST, Array, clean

TITLE = "MMdnn's intermediate representation"
MAPS = ("Conv", "DepthwiseConv", "SeparableConv", "ConvTranspose", "Pool", "BatchNorm")
KNOWN = {"Identity": FOLDED["Identity"]}
DIALECT = Dialect(OPERATIONS, KNOWN, dict.fromkeys(MAPS, lambda node: CHANNELS_LAST))


@contextmanager
def opened(path: Path, architecture: Path | None = None) -> Generator[Imported]:
    """The network of a graph and the .npy file beside it. Raises ConversionError, as for other networks."""
    with refused(path, TITLE):
        arrays = path.with_suffix(".npy")
        if not arrays.is_file():
            raise ValueError(f"its arrays must lie beside it as {quoted(arrays.name)}")
        nodes, stored = file_format.read_nodes(path), read_npy_dict(arrays)
        found = imported(*graph_of(nodes, stored, clean(path.stem)), TITLE)
    yield found


def graph_of(
    nodes: Sequence[Node], stored: dict[str, StoredArray], name: str
) -> tuple[Graph, dict[str, Array]]:
    """The graph and its weights. Raises ValueError, with the operation's name, for what no operator does."""
    inputs = {node.name: node.attributes.get("shape") or () for node in nodes if node.kind == "DataInput"}
    by_name: dict[str, Node] = {}
    for node in nodes:
        if node.name in by_name:
            raise ValueError(f"it has two operations {quoted(node.name)}")
        by_name[node.name] = _with_weights(node, stored)
    network: Network = connected(by_name, inputs, stored)
    return Import(replace(network, name=name), DIALECT).run()


def _with_weights(node: Node, stored: dict[str, StoredArray]) -> Node:
    """The operation with the names of its weights among its inputs, "" for those that it does not have."""
    names = WEIGHTS.get(node.kind, ())
    paths = (f"{node.name}/{name}" for name in names)
    return replace(
        node, inputs=(*node.inputs[: 1 if names else None], *(p if p in stored else "" for p in paths))
    )
