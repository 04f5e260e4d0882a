"""Weights as PyTorch lays them out; NumPy alone, so that files are written where PyTorch is not."""

from __future__ import annotations

import numpy as np

from modelzoo.backends.kernels import outputs_first
from modelzoo.graph import Node
from modelzoo.graph.convolutions import Dense, DepthwiseConv

# What PyTorch's layers call the weights that they share with Keras'.
NAMES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def arranged(node: Node, name: str, array: np.ndarray) -> np.ndarray:
    """A weight of a node: kernels and matrices with the filters first, maps with the channels first."""
    if name == "alpha":
        return array.transpose(2, 0, 1) if array.ndim == 3 else array
    if isinstance(node.operator, Dense) and name == "kernel":
        return array.T
    each = isinstance(node.operator, DepthwiseConv) and name == "kernel"
    if each or name == "depthwise_kernel":
        return array.transpose(2, 3, 0, 1).reshape(-1, 1, *array.shape[:2])
    return outputs_first(array) if array.ndim == 4 else array
