"""Kernels as a converter may have turned them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from modelzoo.graph import Graph, Node
from modelzoo.graph.convolutions import BIAS
from modelzoo.graph.shaping import Flatten

KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")  # weights that have axes to confuse
Kernels = Iterator[tuple[str, np.ndarray]]  # in words, and as it is then


def changed_kernels(
    graph: Graph, node: Node, arrays: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, str, np.ndarray]]:
    """The path of each of a node's kernels, how it was turned, and what came of that."""
    for name, path in node.paths.items():
        if name == BIAS or name not in KERNELS:
            continue
        kernel = np.asarray(arrays[path])
        found = _of_windows(kernel) if kernel.ndim == 4 else _of_matrices(graph, node, kernel)
        for words, turned in found:
            yield path, f"{path} {words}", turned


def _of_windows(kernel: np.ndarray) -> Kernels:
    """Of a kernel (height, width, a, b)."""
    height, width, a, b = kernel.shape
    if height * width > 1:
        yield "flipped both ways", kernel[::-1, ::-1]
        yield "flipped upside down", kernel[::-1]
        yield "flipped left to right", kernel[:, ::-1]
    if height == width > 1:
        yield "with height and width transposed", kernel.swapaxes(0, 1)
        yield "rotated by a quarter", np.rot90(kernel)
        yield "rotated by three quarters", np.rot90(kernel, 3)
    if a == b > 1:
        yield "with input and output channels transposed", kernel.swapaxes(2, 3)
    if a * b > 1 and (height * width > 1 or min(a, b) > 1):
        yield (
            "read in the order outputs, inputs, height, width",
            kernel.transpose(3, 2, 0, 1).reshape(kernel.shape),
        )
        yield "read in the reverse order of axes", kernel.T.reshape(kernel.shape)


def _of_matrices(graph: Graph, node: Node, kernel: np.ndarray) -> Kernels:
    """Of a matrix (channels, units), or one value a channel."""
    if kernel.ndim != 2:
        return
    if kernel.shape[0] == kernel.shape[1]:
        yield "transposed", kernel.T
    else:
        yield "read in the reverse order of axes", kernel.T.reshape(kernel.shape)
        yield "read as (units, channels)", kernel.reshape(kernel.shape[::-1]).T
    before = graph.node.get(node.inputs[0])
    if before is None or not isinstance(before.operator, Flatten):
        return
    sides = graph.shape(before.inputs[0])[1:]
    known = [side for side in sides if side is not None]
    if len(known) == 3:
        rows = np.arange(kernel.shape[0]).reshape(known).transpose(2, 0, 1).ravel()
        yield "with its rows in the order channels, height, width", kernel[rows]
        back = np.empty_like(rows)
        back[rows] = np.arange(len(rows))
        yield "with rows for the order channels, height, width", kernel[back]
