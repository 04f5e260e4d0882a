"""What a graph is written with in Caffe: tops by the names of values, and layers one after the other.

Each value of rank 4 lies as (batch, channels, height, width); others have the batch and channels only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from modelzoo.exporters.options import Arrays
from modelzoo.formats.caffe import Blob, Layer, Parameters
from modelzoo.graph import Graph, Node, Shape
from modelzoo.graph.arrays import checked_array

AXES = {1: 2, 2: 3, 3: 1}  # where an axis of a map lies in Caffe


@dataclass
class Values:
    """The tops by the names of values while a network is written, and its layers."""

    graph: Graph
    arrays: Arrays
    layers: list[Layer] = field(default_factory=list)
    tops: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Site:
    """The node that is being written. Its further layers are named node/what."""

    values: Values
    node: Node

    @property
    def shapes(self) -> list[Shape]:
        """Those of the inputs, as the graph has them."""
        return [self.values.graph.shape(name) for name in self.node.inputs]

    @property
    def shape(self) -> Shape:
        """That of the first input."""
        return self.shapes[0]

    def check_ranks(self) -> None:
        """Raises ValueError where Caffe has no such values."""
        for shape in (*self.shapes, self.node.shape):
            if len(shape) not in (2, 4):
                self.refuse(f"Caffe's layers here are on maps and vectors, not on {shape}")

    @property
    def sides(self) -> tuple[int, int]:
        """The height and width of the first input; raises ValueError where they are not known."""
        _, height, width, _ = self.shape
        if height is None or width is None:
            self.refuse("name both sides of input_shape, on which it depends")
        return height, width

    def refuse(self, reason: str) -> NoReturn:
        """Raises ValueError that names the node."""
        raise ValueError(f"{type(self.node.operator).__name__} {self.node.name!r}: {reason}.")

    def emit(
        self,
        kind: str,
        bottoms: Sequence[str],
        what: str = "",
        *,
        blobs: Sequence[Blob] = (),
        parameters: Parameters | None = None,
    ) -> str:
        """The top of a layer: the node's own, or that of a further one."""
        name = f"{self.node.name}/{what}" if what else self.node.name
        layer = Layer(name, kind, tuple(bottoms), (name,), parameters or {}, tuple(blobs))
        self.values.layers.append(layer)
        return name

    def cut(self, x: str, axis: int, start: int, end: int, total: int, what: str = "") -> str:
        """The part of a value from start to end along one of Caffe's axes; the rest is thrown away."""
        if (start, end) == (0, total):
            return x
        name = f"{self.node.name}/{what or f'cut{axis}'}"
        points = [point for point in (start, end) if 0 < point < total]
        tops = [name if place == (start > 0) else f"{name}/{place}" for place in range(len(points) + 1)]
        parameters = {"slice_param": {"axis": axis, "slice_point": points}}
        self.values.layers.append(Layer(name, "Slice", (x,), tuple(tops), parameters))
        rest = tuple(top for top in tops if top != name)
        self.values.layers.append(Layer(f"{name}/rest", "Silence", rest, ()))
        return name

    def has(self, weight: str) -> bool:
        """Whether the node has this weight."""
        return weight in self.node.paths

    def size(self, weight: str) -> tuple[int, ...]:
        """The shape of a weight in the graph."""
        return next(known.shape for known in self.node.weights if known.name == weight)

    def blob(
        self,
        weight: str,
        shape: Sequence[int] | None = None,
        change: Callable[[np.ndarray], np.ndarray] = lambda array: array,
    ) -> Blob:
        """A weight, as a layer keeps it."""
        path, expected = self.node.paths[weight], self.size(weight)

        def array() -> np.ndarray:
            return change(checked_array(self.values.arrays, path, expected))

        return Blob(tuple(shape or expected), array)


def numbers(array: np.ndarray) -> Blob:
    """Constants, as a layer keeps them."""
    return Blob(array.shape, lambda: array)


def sides_of(name: str, shape: Shape) -> list[int]:
    """The sides of an input for one image; raises ValueError where one is not known."""
    sides = [1, shape[-1], *shape[1:-1]]
    if None in sides:
        raise ValueError(f"name both sides of input_shape: Caffe's input {name!r} has known ones")
    return [side for side in sides if side is not None]
