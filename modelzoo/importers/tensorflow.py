"""Frozen TensorFlow graphs -> Graph, for what its operators say."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from modelzoo.errors import quoted
from modelzoo.formats import graph_def as file_format
from modelzoo.formats.networks import Network, Node, Sides
from modelzoo.graph import Graph
from modelzoo.importers.imported import Imported, imported, refused
from modelzoo.importers.network import Dialect, Import
from modelzoo.importers.tensorflow_operators import FOLDED, OPERATIONS, order_of
from modelzoo.importers.values import Array, clean

TITLE = "a frozen TensorFlow graph"
MAPS = ("Conv2D", "DepthwiseConv2dNative", "MaxPool", "AvgPool", "FusedBatchNorm", "FusedBatchNormV2")
MAPS += ("FusedBatchNormV3", "BiasAdd")
DIALECT = Dialect(OPERATIONS, FOLDED, dict.fromkeys(MAPS, order_of))
CHANNELS = {"Conv2D": 2, "DepthwiseConv2dNative": 2}  # the side of a kernel that says how many there are


@contextmanager
def opened(path: Path, architecture: Path | None = None) -> Generator[Imported]:
    """The network of a frozen graph. Raises ConversionError, also for what no operator does."""
    with refused(path, TITLE):
        network = file_format.read(path)
        found = imported(*graph_of(replace(network, name=clean(path.stem))), TITLE)
    yield found


def graph_of(network: Network) -> tuple[Graph, dict[str, Array]]:
    """The graph and its weights. Raises ValueError, with the operation's name, for what no operator does."""
    if not network.inputs:
        raise ValueError("it has no placeholders, which are its inputs")
    inputs = {name: sides or _sides(network, name) for name, sides in network.inputs.items()}
    return Import(replace(network, inputs=inputs), DIALECT).run()


def _sides(network: Network, name: str) -> Sides:
    """The shape of an input that states none: images with the channels of the first kernel that they meet."""
    names = {name}
    for node in network.nodes:
        if not names & set(node.inputs):
            continue
        if node.kind in CHANNELS:
            return [None, None, None, _channels(network, node)]
        names |= set(node.outputs)
    raise ValueError(f"the placeholder {quoted(name)} has no shape")


def _channels(network: Network, node: Node) -> int:
    """How many channels a convolution takes."""
    makers = {each.name: each for each in network.nodes}
    source = node.inputs[1]
    for _ in range(10):
        if source in network.tensors:
            return network.tensors[source].shape[CHANNELS[node.kind]]
        inputs: Sequence[str] = makers[source].inputs if source in makers else ()
        source = inputs[0] if inputs else ""
    raise ValueError(f"the kernel of {quoted(node.name)} is no constant")
