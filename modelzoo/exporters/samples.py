"""Samples: the inputs on which an exported file is compared with its network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from modelzoo.graph import Graph, Shape

IMAGES = 3  # of the larger batch; the smaller is one
DEFAULT_SIDE = 224  # pixels, of a side that is open and of which nothing is known
STEP = 32  # pixels; the sides of another size are multiples of it, as of most networks' strides
SHARES = (0.75, 1, 1.25, 2)  # of the network's size, of another one
SEED = 1


@dataclass(frozen=True)
class Samples:
    """A photograph as the network takes it, (height, width, channels), and the size it was trained at.

    Noise has the photograph's mean and standard deviation: what is far from the levels that a network was
    made for may be amplified until nothing is left of it but rounding.

    encoded: the photograph as a file; none where it is not known how images are prepared for the network.
    other_sizes: whether another size is tried, too, where the network's sides are open.
    """

    photograph: np.ndarray
    size: tuple[int, int] = (DEFAULT_SIDE, DEFAULT_SIDE)
    encoded: bytes = b""
    other_sizes: bool = True

    def batches(self, graph: Graph) -> list[Mapping[str, np.ndarray]]:
        """Inputs by name, three of each: the photograph, its mirror image and noise, at each size.

        What is no image is noise alone, of mean 0 and variance 1.
        """
        sizes = [self.size]
        if self.other_sizes and any(len(s) == 4 and None in s[1:3] for s in graph.inputs.values()):
            sizes += another_size(graph, self.size)
        return [
            {name: self._batch(name, shape, size) for name, shape in graph.inputs.items()} for size in sizes
        ]

    def _batch(self, name: str, shape: Shape, size: tuple[int, int]) -> np.ndarray:
        open_sides = dict(enumerate(size, start=1))
        sides = [side or open_sides.get(axis, DEFAULT_SIDE) for axis, side in enumerate(shape[1:], start=1)]
        noise = np.random.default_rng([SEED, *name.encode()]).standard_normal((IMAGES, *sides))
        batch = noise.astype(np.float32)
        if len(sides) == 3:
            batch[0] = self._fitted(*sides)
            batch[1] = batch[0, :, ::-1]
            batch[2:] = self.photograph.mean() + self.photograph.std() * batch[2:]
        return batch

    def _fitted(self, height: int, width: int, channels: int) -> np.ndarray:
        """The photograph, cropped or repeated to these sides."""
        rows, columns, layers = (
            np.arange(side) % there
            for side, there in zip((height, width, channels), self.photograph.shape, strict=True)
        )
        return self.photograph[rows][:, columns][..., layers]


def another_size(graph: Graph, size: tuple[int, int]) -> list[tuple[int, int]]:
    """A size that the network takes and whose sides differ, so that nobody can take one for the other.

    A smaller one if there is one; none where the network takes none of those tried.
    """
    for share in SHARES:
        height = max(STEP, int(min(size) * share) // STEP * STEP)
        if takes(graph, (height, height + STEP)):
            return [(height, height + STEP)]
    return []


def takes(graph: Graph, size: tuple[int, int]) -> bool:
    """Whether the network has an output for images of this size: each operator says what it gives."""
    known = {
        name: (shape[0], *(side or new for side, new in zip(shape[1:3], size, strict=True)), *shape[3:])
        if len(shape) == 4
        else shape
        for name, shape in graph.inputs.items()
    }
    try:
        for node in graph.nodes:
            known[node.name] = node.operator.shape(*(known[name] for name in node.inputs))
    except ValueError:
        return False
    return True
