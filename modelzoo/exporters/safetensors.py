"""Graph and arrays -> a safetensors file: the state dict of a class of torchvision's or timm's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from modelzoo.backends.kernels import halved
from modelzoo.backends.torch_layout import arranged
from modelzoo.exporters.options import Arrays, Options, StateDict, Texts
from modelzoo.formats.safetensors import read_metadata, with_metadata, write_safetensors
from modelzoo.graph import Graph, Node
from modelzoo.graph.normalization import BatchNorm

CLASS = "class"  # the text that says whose state dict it is
COUNTER = "num_batches_tracked"  # of each batch norm of PyTorch's; nobody reads it but training


def write(path: Path, graph: Graph, arrays: Arrays, texts: Texts, options: Options) -> None:
    """Writes the file; "f16" keeps kernels and matrices in float16.

    Raises ValueError for a network that no class is known for, and for arrays that are missing.
    """
    state = options.state_dict
    if state is None:
        raise ValueError("no class of torchvision or timm is known to compute the same")
    tensors = dict(_tensors(graph, arrays, state))
    if options.precision == "f16":
        tensors = {name: _halved(name, array) for name, array in tensors.items()}
    facts = {"package": state.package, "name": state.name, "arguments": dict(state.arguments)}
    write_safetensors(path, tensors, {**texts, CLASS: json.dumps(facts)})


def add_text(path: Path, name: str, text: str) -> None:
    """Adds a text to the metadata."""
    with_metadata(path, {name: text})


def read_texts(path: Path) -> dict[str, str]:
    """The metadata. Raises OSError, and ValueError for a file that is not safetensors'."""
    return read_metadata(path)


def _halved(name: str, array: np.ndarray) -> np.ndarray:
    return halved(name, array) if array.ndim > 1 else array


def _tensors(graph: Graph, arrays: Arrays, state: StateDict) -> Iterator[tuple[str, np.ndarray]]:
    """Each weight by its name there, and what the class's batch norms have beyond ours."""
    for node in graph.nodes:
        yield from _named(node, arrays, state)


def _named(node: Node, arrays: Arrays, state: StateDict) -> Iterator[tuple[str, np.ndarray]]:
    norm = node.operator if isinstance(node.operator, BatchNorm) else None
    for weight in node.weights:
        path = node.paths[weight.name]
        array = np.ascontiguousarray(arranged(node, weight.name, arrays[path]), np.float32)
        if norm is not None and state.epsilon is not None and weight.name == "moving_variance":
            array = _with_epsilon(path, array, norm.epsilon - state.epsilon)
        yield state.name_of(path), _with_axes(array, state.axes.get(path, array.ndim))
    if norm is not None:
        mean = state.name_of(f"{node.owner}/moving_mean")
        if not norm.scale:
            yield state.name_of(f"{node.owner}/gamma"), np.ones(node.shape[-1] or 0, np.float32)
        yield f"{mean.rpartition('.')[0]}.{COUNTER}", np.zeros((), np.int64)


def _with_axes(array: np.ndarray, axes: int) -> np.ndarray:
    """A kernel as a matrix, or a matrix as a kernel of 1x1."""
    if array.ndim == axes:
        return array
    return array.reshape(len(array), -1) if axes == 2 else array[:, :, np.newaxis, np.newaxis]


def _with_epsilon(path: str, variance: np.ndarray, more: float) -> np.ndarray:
    """The variance that gives the same sum with another epsilon. Raises ValueError for a negative one."""
    found = variance.astype(np.float64) + more
    if found.min(initial=0.0) < 0:
        raise ValueError(
            f"{path!r} has variances below {-more:g}, which the class's epsilon cannot make up for"
        )
    return found.astype(np.float32)
