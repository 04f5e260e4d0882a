"""The values of a graph's weights: whether they are there, and of the shapes that the graph says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from modelzoo.graph.graph import Graph


class HasShape(Protocol):
    """An array of any kind."""

    @property
    def shape(self) -> tuple[int, ...]: ...


Array = TypeVar("Array", bound=HasShape)


def checked_array(arrays: Mapping[str, Array], path: str, shape: tuple[int, ...]) -> Array:
    """The array of a weight, by its path; raises ValueError if there is none, or one of another shape."""
    array = arrays.get(path)
    found = None if array is None else tuple(array.shape)
    if array is None or found != shape:
        raise ValueError(f"Expected values of shape {shape} for {path!r}, got {found}.")
    return array


def check_arrays(graph: Graph, arrays: Mapping[str, HasShape]) -> None:
    """Raises ValueError unless every weight is among the arrays, by its path, and of its shape.

    Arrays that the graph does not need may be there, too: those of a head that was taken off.
    """
    missing = [path for path in graph.weights if path not in arrays]
    if missing:
        raise ValueError(
            f"Expected an array for each of {len(graph.weights)} weights of {graph.name}, found "
            f"{len(graph.weights) - len(missing)}; missing: {', '.join(missing[:3])}"
            f"{', ...' if len(missing) > 3 else ''}."
        )
    for path, weight in graph.weights.items():
        if tuple(arrays[path].shape) != weight.shape:
            raise ValueError(
                f"Expected {path} of shape {weight.shape} for {graph.name}, got {tuple(arrays[path].shape)}."
            )
