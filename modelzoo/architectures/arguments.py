"""What users write of shapes and feature maps -> what networks are built by."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, cast

from modelzoo.errors import quoted

InputShape = tuple[int | None, int | None, int]


def input_shape(given: object) -> InputShape:
    """The shape as it was given; raises ValueError that says what to write instead."""
    sentence = (
        f"input_shape must be (height, width, channels), None for a side of any length; got {quoted(given)}"
    )
    sides = _sides(given)
    if len(sides) in (1, 2):
        raise ValueError(f"{sentence}: write {(sides[0], sides[-1], 3)}.")
    if len(sides) == 4:
        raise ValueError(f"{sentence}: write {sides[1:]}.")
    if len(sides) == 3 and sides[0] == 3 and sides[2] not in (None, 3):
        raise ValueError(f"{sentence}: write {(sides[1], sides[2], 3)}.")
    if len(sides) != 3 or sides[2] is None:
        raise ValueError(f"{sentence}.")
    return cast(InputShape, sides)


def _sides(given: object) -> tuple[int | None, ...]:
    """Positive whole numbers and None, of a sequence or one alone; nothing if anything else is there."""
    items: tuple[Any, ...] = tuple(cast(Iterable[Any], given)) if _is_iterable(given) else (given,)
    if any(isinstance(item, bool) for item in items):
        return ()
    try:
        sides = tuple(None if item is None else operator.index(item) for item in items)
    except TypeError:
        return ()
    return sides if all(side is None or side > 0 for side in sides) else ()


def _is_iterable(given: object) -> bool:
    return isinstance(given, Iterable) and not isinstance(given, str | bytes)


def feature_names(given: object) -> bool | Sequence[str | int] | None:
    """load()'s `features`, of which one needs no list."""
    if given is None or isinstance(given, bool):
        return given
    return tuple(cast(Iterable[str | int], given) if _is_iterable(given) else (cast(str | int, given),))
