"""ONNX -> Graph, for what its operators say. Images and maps get their channels last."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from modelzoo.formats import onnx_reading as file_format
from modelzoo.formats.networks import Network
from modelzoo.graph import Graph
from modelzoo.importers.constants import FOLDED
from modelzoo.importers.imported import Imported, imported, refused
from modelzoo.importers.network import Dialect, Import
from modelzoo.importers.onnx_operators import OPERATIONS
from modelzoo.importers.onnx_patterns import gelus
from modelzoo.importers.values import CHANNELS_FIRST, Array

TITLE = "an ONNX network"
MAPS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "BatchNormalization", "GlobalAveragePool")
MAPS += ("GlobalMaxPool", "InstanceNormalization", "LRN", "Resize", "Upsample")
DIALECT = Dialect(OPERATIONS, FOLDED, dict.fromkeys(MAPS, lambda node: CHANNELS_FIRST))


@contextmanager
def opened(path: Path, architecture: Path | None = None) -> Generator[Imported]:
    """The network of an ONNX file. Raises ConversionError, also for operators that a graph does not have."""
    with refused(path, TITLE):
        found = imported(*graph_of(file_format.read(path)), TITLE)
    yield found


def graph_of(network: Network) -> tuple[Graph, dict[str, Array]]:
    """The graph and its weights. Raises ValueError, with the operation's name, for what no operator does."""
    return Import(replace(network, nodes=tuple(gelus(network))), DIALECT).run()
