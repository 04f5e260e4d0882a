"""Batch norms into the kernels before them: what is scaled and shifted by constants need not be so twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelzoo.graph.arrays import check_arrays
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.graph import Graph, Node
from modelzoo.graph.normalization import BatchNorm
from modelzoo.graph.passes.rewriting import Arrays, Uses, needed, rewritten

Kernel = Conv | DepthwiseConv | SeparableConv | TransposedConv | Dense


def fold_batch_norms(graph: Graph, arrays: Arrays) -> tuple[Graph, dict[str, NDArray[Any]]]:
    """Without the batch norms whose input is a convolution or dense layer that nobody else sees.

    The layer before has other weights, and a bias if it had none. A value that an output or a feature map
    gives stays; the value of the norm is then that of the layer before. The arithmetic is in float64, the
    result in the kernel's dtype, but float32 for float16, whose rounding it would add. Raises ValueError for
    missing arrays and wrong shapes.
    """
    check_arrays(graph, arrays)
    uses, changed, instead = Uses.of(graph), dict[str, Node](), dict[str, str]()
    values = dict(arrays)
    for norm in graph.nodes:
        if not isinstance(norm.operator, BatchNorm):
            continue
        name = norm.inputs[0]
        name = instead.get(name, name)  # two norms, one after the other
        before = changed.get(name) or graph.node.get(name)
        if (
            before is None
            or not isinstance(before.operator, Kernel)
            or not _can_fold(graph, uses, before, norm)
        ):
            continue
        values |= _folded(before, norm, norm.operator, values)
        operator = replace(before.operator, bias=True)
        changed[name] = replace(before, operator=operator, precise=before.precise or norm.precise)
        changed[name] = replace(changed[name], weights=operator.weights(graph.shape(before.inputs[0])))
        instead[norm.name] = name
    result = rewritten(graph, changed, instead)
    return result, needed(result, values)


def _can_fold(graph: Graph, uses: Uses, before: Node, norm: Node) -> bool:
    """Whether the weights and the value of the layer before are used by nobody else."""
    if uses.is_shared(before) or before.owner is None:
        return False
    alone = len(uses.consumers[norm.inputs[0]]) == 1 and norm.inputs[0] not in uses.given
    bias = f"{before.owner}/bias"
    return alone and ("bias" in before.paths or bias not in graph.weights)


def _folded(before: Node, norm: Node, operator: BatchNorm, arrays: Arrays) -> dict[str, NDArray[Any]]:
    """The kernel and the bias that do what both nodes did, by path."""
    statistics = {name: np.asarray(arrays[path], np.float64) for name, path in norm.paths.items()}
    deviation = np.sqrt(statistics["moving_variance"] + operator.epsilon)
    scale = statistics.get("gamma", np.float64(1)) / deviation
    kind = "pointwise_kernel" if isinstance(before.operator, SeparableConv) else "kernel"
    kernel = arrays[before.paths[kind]]
    bias = _values(before.paths, "bias", arrays) - statistics["moving_mean"]
    bias = bias * scale + statistics.get("beta", np.float64(0))
    return {
        before.paths[kind]: _scaled(before.operator, kernel, scale),
        f"{before.owner}/bias": bias.astype(_dtype(kernel)),
    }


def _values(paths: Mapping[str, str], name: str, arrays: Arrays) -> NDArray[np.float64]:
    """A weight that may not be there, and is 0 then."""
    return np.asarray(arrays[paths[name]] if name in paths else 0.0, np.float64)


def _scaled(operator: object, kernel: NDArray[Any], scale: NDArray[np.float64]) -> NDArray[Any]:
    """The kernel with each filter scaled. Of a transposed convolution the filters are not last."""
    factors = scale
    if isinstance(operator, TransposedConv):
        factors = scale[:, None]
    if isinstance(operator, DepthwiseConv):
        factors = scale.reshape(kernel.shape[-2:])
    return (np.asarray(kernel, np.float64) * factors).astype(_dtype(kernel))


def _dtype(kernel: NDArray[Any]) -> np.dtype[Any]:
    return np.result_type(kernel.dtype, np.float32)
