"""Two networks, or a network and a file, compared node by node: the first that differs, and why."""

from modelzoo.exporters.diff.causes import CAUSES
from modelzoo.exporters.diff.comparison import (
    Difference,
    FirstNode,
    OutputDifference,
    compare,
    compare_files,
    precision_tolerance,
)
from modelzoo.exporters.diff.sides import FileSide, GraphSide

__all__ = [
    "CAUSES",
    "Difference",
    "FileSide",
    "FirstNode",
    "GraphSide",
    "OutputDifference",
    "compare",
    "compare_files",
    "precision_tolerance",
]
