"""Where TF-slim's Inception v4 keeps our weights: named as v1 to v3 are, but its logits are dense.

>>> naming("v4")("logits/kernel")
'InceptionV4/Logits/Logits/weights'
"""

from __future__ import annotations

import numpy as np

from modelzoo.conversion.slim.inception import IGNORED, naming

__all__ = ["IGNORED", "naming", "to_ours", "to_upstream"]


def to_ours(path: str, array: np.ndarray) -> np.ndarray:
    """TensorFlow's layouts are Keras'."""
    return array


def to_upstream(path: str, array: np.ndarray) -> np.ndarray:
    """The inverse of `to_ours`."""
    return array
