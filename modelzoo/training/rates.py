"""Learning rates: how high, for the weights that are there, and how they go up and down."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np

# The part of a typical kernel's values that a step of Adam changes at most. Between 0.03 and 0.07 the
# losses on photos held out were within their noise, for networks with kernels of 0.06 and of 0.12.
PART = 0.05
UNNORMALIZED = 0.1  # of it: where no batch norm adapts to a kernel that changes


def rate_for(model: keras.Model) -> float:
    """The highest learning rate of Adam for fine-tuning all that is trainable in a model.

    A step of Adam changes each value by the learning rate at most, however small the values are; so the rate
    is a part of their size: of the root mean square of the kernel that the median value is in.
    """
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    normalized = any(norm.trainable for norm in norms)
    kernels = [v for v in model.trainable_variables if len(v.shape) > 1]
    arrays = [np.asarray(keras.ops.convert_to_numpy(kernel), np.float64) for kernel in kernels]
    return PART * (1.0 if normalized else UNNORMALIZED) * typical_size(arrays)


def typical_size(arrays: Sequence[np.ndarray]) -> float:
    """The root mean square of the array that the median of all values is in, the arrays ranked by theirs."""
    sizes = [float(np.sqrt(np.mean(array**2))) for array in arrays]
    order = np.argsort(sizes)
    counts = np.cumsum([arrays[place].size for place in order])
    return sizes[order[int(np.searchsorted(counts, counts[-1] / 2))]]


def rate_at(step: int, steps: int, epochs: int, highest: float) -> float:
    """The learning rate: up in a line over the first epoch, then down half a cosine to the last."""
    warm = steps if epochs > 1 else max(1, steps // 2)
    if step < warm:
        return highest * (step + 1) / warm
    part = (step - warm) / max(1, steps * epochs - warm)
    return highest * 0.5 * (1 + math.cos(math.pi * part))
