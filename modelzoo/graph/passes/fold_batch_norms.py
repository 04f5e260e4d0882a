"""Batch norms into the kernels before them: what is scaled and shifted by constants need not be so twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelzoo.graph.arrays import check_arrays
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.graph import Graph, Node
from modelzoo.graph.normalization import BatchNorm
from modelzoo.graph.passes.rewriting import Arrays, Computed, Uses, needed, rewritten

Kernel = Conv | DepthwiseConv | SeparableConv | TransposedConv | Dense


def fold_batch_norms(graph: Graph, arrays: Arrays) -> tuple[Graph, dict[str, NDArray[Any]]]:
    """Without the batch norms whose input is a convolution or dense layer that nobody else sees.

    The layer before has other weights, and a bias if it had none. A value that an output or a feature map
    gives stays; the value of the norm is then that of the layer before. The arithmetic is in float64, the
    result in float32 at least: products of float16 values need more digits than they have. Raises ValueError
    for missing arrays and wrong shapes.
    """
    check_arrays(graph, arrays)
    result, computed = fold_batch_norms_lazily(graph, arrays)
    return result, needed(result, {path: computed[path] for path in result.weights if path in computed})


def fold_batch_norms_lazily(graph: Graph, arrays: Arrays) -> tuple[Graph, Computed]:
    """The same with arrays that are read and computed when they are asked for: one at a time in memory."""
    uses, changed, instead = Uses.of(graph), dict[str, Node](), dict[str, str]()
    functions: dict[str, Callable[[], NDArray[Any]]] = {}
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
        functions |= _folded(before, norm, norm.operator, Computed(arrays, dict(functions)))
        operator = replace(before.operator, bias=True)
        changed[name] = replace(before, operator=operator, precise=before.precise or norm.precise)
        changed[name] = replace(changed[name], weights=operator.weights(graph.shape(before.inputs[0])))
        instead[norm.name] = name
    return rewritten(graph, changed, instead), Computed(arrays, functions)


def _can_fold(graph: Graph, uses: Uses, before: Node, norm: Node) -> bool:
    """Whether the weights and the value of the layer before are used by nobody else."""
    if uses.is_shared(before) or before.owner is None:
        return False
    alone = len(uses.consumers[norm.inputs[0]]) == 1 and norm.inputs[0] not in uses.given
    bias = f"{before.owner}/bias"
    return alone and ("bias" in before.paths or bias not in graph.weights)


def _folded(
    before: Node, norm: Node, operator: BatchNorm, arrays: Arrays
) -> dict[str, Callable[[], NDArray[Any]]]:
    """What computes the kernel and the bias that do what both nodes did, by path."""
    kernel = before.paths["pointwise_kernel" if isinstance(before.operator, SeparableConv) else "kernel"]
    return {
        kernel: lambda: _scaled(before.operator, arrays[kernel], _scale(norm, operator, arrays)),
        f"{before.owner}/bias": lambda: _bias(before, norm, operator, arrays),
    }


def _scale(norm: Node, operator: BatchNorm, arrays: Arrays) -> NDArray[np.float64]:
    """What a norm multiplies each channel with."""
    variance = np.asarray(arrays[norm.paths["moving_variance"]], np.float64)
    return _values(norm.paths, "gamma", arrays, 1.0) / np.sqrt(variance + operator.epsilon)


def _bias(before: Node, norm: Node, operator: BatchNorm, arrays: Arrays) -> NDArray[Any]:
    mean = arrays[norm.paths["moving_mean"]]
    centered = _values(before.paths, "bias", arrays) - mean.astype(np.float64)
    bias = centered * _scale(norm, operator, arrays) + _values(norm.paths, "beta", arrays)
    return bias.astype(_wide(mean.dtype))


def _values(paths: Mapping[str, str], name: str, arrays: Arrays, default: float = 0.0) -> NDArray[np.float64]:
    """A weight that may not be there, and is the default then."""
    return np.asarray(arrays[paths[name]] if name in paths else default, np.float64)


def _scaled(operator: object, kernel: NDArray[Any], scale: NDArray[np.float64]) -> NDArray[Any]:
    """The kernel with each filter scaled. Of a transposed convolution the filters are not last."""
    factors = scale
    if isinstance(operator, TransposedConv):
        factors = scale[:, None]
    if isinstance(operator, DepthwiseConv):
        factors = scale.reshape(kernel.shape[-2:])
    return (np.asarray(kernel, np.float64) * factors).astype(_wide(kernel.dtype))


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.promote_types(dtype, np.float32)
