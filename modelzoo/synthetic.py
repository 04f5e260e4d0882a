"""Synthetic weights: a deterministic rule from a weight's path to its values, for proofs and tests.

The rule: the raw 64-bit words of NumPy's Philox generator, keyed by the first 16 bytes of the
SHA-256 of the path, give uniform numbers in [0, 1) by their upper 24 bits; these are stretched to a
range that depends on the kind of weight alone. The words are the same on every platform and NumPy
version, and the arithmetic is float32, so the weights are the same to the last bit everywhere.
"""

from __future__ import annotations

import hashlib
import math
import re

import numpy as np

# Ranges in which residual networks of up to 152 layers keep their activations of order 1, and in
# which no batch norm is close to doing nothing.
RANGES = {
    "gamma": (0.3, 0.8),
    "beta": (-0.2, 0.2),
    "moving_mean": (-0.2, 0.2),
    "moving_variance": (0.5, 1.5),
    "bias": (-0.1, 0.1),
    "noise": (-math.sqrt(3), math.sqrt(3)),
}
KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")
DEPTHWISE = re.compile("depthwise|conv_dw|dwconv")  # in a path: each channel has a kernel of its own
# A gamma takes two thirds of the energy, and no shortcut brings it back to the chains of MobileNet: the
# logits of v1 would depend on the picture by 6e-7 and prove nothing. The norm between depthwise and
# pointwise convolution makes up for both, enough to drive ReLU6 beyond 6. Above this range rounding grows.
CHAINED = re.compile(
    r"block\d+_depthwise_bn"  # TF-slim's networks here; below those of keras.applications
    r"|conv_dw_\d+_bn|block_\d+_depthwise_BN|expanded_conv_(\d+_)?depthwise_(bn|BN)|block\d+[a-z]_bn"
)
CHAINED_GAMMA = (0.8, 2.0)
# Squeeze and excitation halves what passes; in EfficientNet and MobileNet v3 the norm before makes up for it.
# Not in EfficientNet's blocks with a shortcut (b, c, ...): over B7's 48 of them the activations would grow to
# hundreds, where the gates flip at a rounding error.
EXPANDED = re.compile(r"(block\d+a|expanded_conv_\d+)_expand_bn")
EXPANDED_GAMMA = (0.5, 1.3)
# YOLOv2 is a chain without any shortcut: with these its logits depend on the picture by a tenth of their
# spread. With larger ones rounding grows beyond the limit, on TensorFlow's oneDNN kernels to 3.5e-6.
PLAIN = re.compile(r"stage\d+_bn\d+|detector_(passthrough_)?bn\d*")
PLAIN_GAMMA = (0.5, 1.0)


def array(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """The synthetic weight of this path, float32 of `shape`. Kernels keep the variance after a ReLU."""
    low, high = _range(path, shape)
    key = int.from_bytes(hashlib.sha256(path.encode()).digest()[:16], "little")
    words = np.random.Philox(key=key).random_raw(math.prod(shape))
    uniform = (words >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)
    return (np.float32(low) + np.float32(high - low) * uniform).reshape(shape)


def _range(path: str, shape: tuple[int, ...]) -> tuple[float, float]:
    layer, _, kind = path.rpartition("/")
    if kind == "gamma" and CHAINED.fullmatch(layer):
        return CHAINED_GAMMA
    if kind == "gamma" and EXPANDED.fullmatch(layer):
        return EXPANDED_GAMMA
    if kind == "gamma" and PLAIN.fullmatch(layer):
        return PLAIN_GAMMA
    if kind in RANGES:
        return RANGES[kind]
    if kind not in KERNELS:
        raise ValueError(f"There is no synthetic rule for a weight called {kind!r}.")
    fan_in = math.prod(shape[:2] if DEPTHWISE.search(path) else shape[:-1])
    bound = math.sqrt(3 * 2 / fan_in)  # a uniform distribution of variance 2 / fan_in
    return -bound, bound


def images(height: int, width: int) -> np.ndarray:
    """A batch of one noise picture, float32 (1, height, width, 3), of variance 1, for the same proofs."""
    return array(f"images_{height}x{width}/noise", (1, height, width, 3))
