"""Upstream: the names and the layout in which another program keeps a network's weights.

A file for such a program holds them so; for other networks it holds ours, "layer/weight", as in the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from modelzoo.graph import Graph
from modelzoo.graph.arrays import checked_array

if TYPE_CHECKING:
    from modelzoo.exporters.options import Arrays, Options

Rearrange = Callable[[str, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Upstream:
    """What another program keeps of a network's weights.

    program: whose names these are, in one word.
    names: by our paths, "layer/weight"; no two are the same.
    to_upstream: our path and array -> the array as the program lays it out.
    constants: what else its files hold, before the weights.
    original: what the program's own network is built from, as JSON, where a proof can run it.
    """

    program: str
    names: Mapping[str, str]
    to_upstream: Rearrange
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    original: str = ""


def stored_arrays(graph: Graph, arrays: Arrays, options: Options) -> Arrays:
    """The weights of a graph as its file has them, by the names there; each is read when it is asked for.

    Raises ValueError then for an array that is missing or has another shape.
    """
    from modelzoo.weights import Arrays as Lazy

    upstream = options.upstream
    paths = {path if upstream is None else upstream.names[path]: path for path in graph.weights}

    def array(name: str) -> np.ndarray:
        path = paths[name]
        found = np.asarray(checked_array(arrays, path, graph.weights[path].shape), np.float32)
        return np.ascontiguousarray(found if upstream is None else upstream.to_upstream(paths[name], found))

    return Lazy(paths, array)


def named_by(options: Options) -> str:
    """Whose names the file has, in words."""
    return "modelzoo's own names" if options.upstream is None else f"the names of {options.upstream.program}"
