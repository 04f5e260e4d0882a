"""Random values for weights, to train a network from scratch: as Keras' initializers give them."""

from __future__ import annotations

import math
from collections.abc import Container
from typing import TYPE_CHECKING

from modelzoo.graph.graph import Graph
from modelzoo.graph.operator import Initializer

if TYPE_CHECKING:
    import numpy as np

# The standard deviation of a normal distribution truncated at two of its standard deviations.
TRUNCATED = 0.87962566103423978


def initial_values(
    graph: Graph, *, skip: Container[str] = (), seed: int | None = None
) -> dict[str, np.ndarray]:
    """Float32 values for all weights but those in `skip`, by path; without a seed others each time."""
    import numpy as np

    random = np.random.default_rng(seed)
    return {
        path: _values(weight.initializer, weight.shape, random).astype(np.float32)
        for path, weight in graph.weights.items()
        if path not in skip
    }


def _values(initializer: Initializer, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    import numpy as np

    if initializer.distribution == "constant":
        return np.full(shape, initializer.scale)
    deviation = _deviation(initializer, shape)
    if initializer.distribution == "uniform":
        half = deviation * math.sqrt(3) if initializer.fan else initializer.scale
        return random.uniform(-half, half, shape)
    values = random.normal(size=shape)
    if initializer.distribution == "truncated_normal":
        while (beyond := np.abs(values) > 2).any():
            values[beyond] = random.normal(size=np.count_nonzero(beyond))
        return values * deviation / (TRUNCATED if initializer.fan else 1)
    return values * deviation


def _deviation(initializer: Initializer, shape: tuple[int, ...]) -> float:
    if initializer.fan is None:
        return initializer.scale
    *window, inputs, outputs = shape if len(shape) > 1 else (1, *shape)
    place = math.prod(window)
    fans = {"fan_in": place * inputs, "fan_out": place * outputs, "fan_avg": place * (inputs + outputs) / 2}
    return math.sqrt(initializer.scale / max(1.0, fans[initializer.fan]))
