"""How the programs lay weights out in memory: a few named layouts, each with its way to Keras' and back.

Every function takes our path ("layer/weight") and an array, changes no value, and copies none if it can.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from modelzoo.architectures.keras_applications import VGG_GRID

Rearrange = Callable[[str, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Layout:
    """A memory layout: two functions, inverse to each other."""

    name: str
    to_keras: Rearrange
    to_upstream: Rearrange

    def upstream_shape(self, path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape upstream of our weight of this shape; it takes no memory."""
        return self.to_upstream(path, np.broadcast_to(np.float32(0), shape)).shape


def _as_it_is(path: str, array: np.ndarray) -> np.ndarray:
    return array


DEPTHWISE_KERNEL = "depthwise/kernel"  # how the paths of kernels end that see one channel each


def _from_oihw(path: str, array: np.ndarray) -> np.ndarray:
    if not path.endswith("/kernel"):
        return array
    if path.endswith(DEPTHWISE_KERNEL):
        return array.transpose(2, 3, 0, 1)
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def _to_oihw(path: str, array: np.ndarray) -> np.ndarray:
    if not path.endswith("/kernel"):
        return array
    if path.endswith(DEPTHWISE_KERNEL):
        return array.transpose(2, 3, 0, 1)
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


HEAD_KERNELS = ("conv_2/kernel", "logits/kernel")  # the first is MobileNet v3's, before its logits


def _from_convolution(path: str, array: np.ndarray) -> np.ndarray:
    return array.reshape(array.shape[-2:]) if path in HEAD_KERNELS else array


def _to_convolution(path: str, array: np.ndarray) -> np.ndarray:
    return array.reshape(1, 1, *array.shape) if path in HEAD_KERNELS else array


FLATTENED_KERNELS = ("fc1/kernel", "fc2/kernel")


def _from_flattened(path: str, array: np.ndarray) -> np.ndarray:
    if path not in FLATTENED_KERNELS:
        return array
    grid = VGG_GRID if path == "fc1/kernel" else 1
    return array.reshape(grid, grid, -1, array.shape[-1])


def _to_flattened(path: str, array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, array.shape[-1]) if path in FLATTENED_KERNELS else array


# TensorFlow's and Keras' own: (height, width, inputs, outputs), depthwise (height, width, channels, 1), and
# dense (inputs, outputs).
KERAS = Layout("KERAS", _as_it_is, _as_it_is)

# MXNet's, PyTorch's and Darknet's: (outputs, inputs, height, width), (outputs, inputs); depthwise
# (channels, 1, height, width).
OIHW = Layout("OIHW", _from_oihw, _to_oihw)

# The head's dense kernels are 1x1 convolutions on pooled maps upstream: (1, 1, inputs, outputs).
DENSE_AS_CONV = Layout("DENSE_AS_CONV", _from_convolution, _to_convolution)

# VGG's first two dense layers stay dense upstream and are convolutions here, whose kernels keep the order
# in which Keras flattens a map: (height * width * inputs, outputs).
FLATTENED = Layout("FLATTENED", _from_flattened, _to_flattened)

LAYOUTS = (KERAS, OIHW, DENSE_AS_CONV, FLATTENED)
