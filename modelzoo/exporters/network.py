"""Network: what is exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from modelzoo.exporters.metadata import Metadata
from modelzoo.exporters.samples import Samples
from modelzoo.graph import Graph


@dataclass(frozen=True)
class Network:
    """What is exported: a graph, its weights by path, read when they are asked for, and its metadata."""

    graph: Graph
    arrays: Mapping[str, np.ndarray]
    metadata: Metadata
    samples: Samples
