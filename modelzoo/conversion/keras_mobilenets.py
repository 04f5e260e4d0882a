"""As keras_applications, for MobileNet v1 and v3, whose heads are 1x1 convolutions there and dense here."""

from __future__ import annotations

import numpy as np

from modelzoo.conversion.keras_applications import IGNORED, naming

__all__ = ["IGNORED", "naming", "to_ours", "to_upstream"]

HEAD_KERNELS = ("conv_2/kernel", "logits/kernel")


def to_ours(path: str, array: np.ndarray) -> np.ndarray:
    """The head's kernels lose their height and width of 1."""
    return array.reshape(array.shape[-2:]) if path in HEAD_KERNELS else array


def to_upstream(path: str, array: np.ndarray) -> np.ndarray:
    """The inverse of `to_ours`."""
    return array.reshape(1, 1, *array.shape) if path in HEAD_KERNELS else array
