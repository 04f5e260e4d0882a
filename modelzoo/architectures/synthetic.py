"""Synthetic weights: a deterministic rule from a weight's path to its values, for proofs and tests.

The rule: the raw 64-bit words of NumPy's Philox generator, keyed by the first 16 bytes of the
SHA-256 of the path, give uniform values in [0, 1) by their upper 24 bits; these are stretched to a
range that depends on the kind of weight, and in some families on the layer (family.Proof). The words are
the same on every platform and NumPy version, and the arithmetic is float32, so the weights are the same to
the last bit everywhere.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from modelzoo.architectures import families
from modelzoo.architectures.family import Proof, Range

if TYPE_CHECKING:
    from modelzoo.registry import Architecture

# Ranges in which residual networks of up to 152 layers keep their activations of order 1, and in
# which no batch norm is close to doing nothing.
RANGES: dict[str, Range] = {
    "gamma": (0.3, 0.8),
    "beta": (-0.2, 0.2),
    "moving_mean": (-0.2, 0.2),
    "moving_variance": (0.5, 1.5),
    "bias": (-0.1, 0.1),
    "noise": (-math.sqrt(3), math.sqrt(3)),
}
KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")
USUAL = Proof()


def values_of(graph: Architecture) -> Callable[[str, tuple[int, ...]], np.ndarray]:
    """The rule for a network's weights: (path, shape) -> the synthetic weight, as `array` gives it."""
    return partial(array, proof=proof_of(graph))


def proof_of(graph: Architecture) -> Proof:
    """How a network is proven; of one that comes from a folder nothing is special."""
    if graph.family not in families.FAMILIES:
        return USUAL
    return families.find(graph.family, graph.variant).proof_of(graph.variant)


def array(path: str, shape: tuple[int, ...], proof: Proof = USUAL) -> np.ndarray:
    """The synthetic weight of this path, float32 of `shape`. Kernels keep the variance after a ReLU.

    Raises ValueError for a kind of weight that has no rule.
    """
    low, high = _range(path, shape, proof)
    key = int.from_bytes(hashlib.sha256(path.encode()).digest()[:16], "little")
    words = np.random.Philox(key=key).random_raw(math.prod(shape))
    uniform = (words >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)
    return (np.float32(low) + np.float32(high - low) * uniform).reshape(shape)


def _range(path: str, shape: tuple[int, ...], proof: Proof) -> Range:
    layer, _, kind = path.rpartition("/")
    if kind == "gamma":
        for pattern, range_ in proof.gammas.items():
            if re.fullmatch(pattern, layer):
                return range_
    if kind in RANGES:
        return RANGES[kind]
    if kind not in KERNELS:
        raise ValueError(f"There is no synthetic rule for a weight called {kind!r}.")
    fan_in = math.prod(shape[:2] if re.search(proof.depthwise, path) else shape[:-1])
    bound = math.sqrt(3 * 2 / fan_in)  # a uniform distribution of variance 2 / fan_in
    return -bound, bound


def images(height: int, width: int) -> np.ndarray:
    """A batch of one noise image, float32 (1, height, width, 3), of variance 1, for the same proofs."""
    return array(f"images_{height}x{width}/noise", (1, height, width, 3))
