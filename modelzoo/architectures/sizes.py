"""The smallest images that a network takes: its layers are recorded for one size after the other."""

from __future__ import annotations

import bisect
import functools
from typing import TYPE_CHECKING

from modelzoo.architectures import families
from modelzoo.architectures.recorder import Recorder, ShapeOnly
from modelzoo.architectures.top import apply_top

if TYPE_CHECKING:
    import keras

LARGEST = 512  # pixels; every network takes a square of this side
CLASSES = 2  # any number will do


class AtLeast(int):
    """A side as Keras compares it with an input's: only smaller ones differ."""

    def __eq__(self, side: object) -> bool:
        return isinstance(side, int) and int(side) >= int(self)

    def __ne__(self, side: object) -> bool:
        return not self == side

    __hash__ = int.__hash__

    def __repr__(self) -> str:
        return f"at least {int(self)}"


@functools.cache
def smallest_side(family: str, variant: str, *, top: bool) -> int:
    """The side in pixels of the smallest square image that the network takes, with its top or without."""
    facts = families.find(family, variant)
    if facts.smallest_side is not None:
        return facts.smallest_side(variant, top)
    return 1 + bisect.bisect_left(range(1, LARGEST), True, key=lambda side: _fits(family, variant, side, top))


def check_sides(
    family: str, variant: str, input_shape: tuple[int | None, int | None, int], *, top: bool
) -> int:
    """The smallest side that the network takes; raises ValueError for an input that is smaller."""
    smallest = smallest_side(family, variant, top=top)
    if any(side is not None and side < smallest for side in input_shape[:2]):
        part = "with its top" if top else "without its top"
        found = " x ".join(map(str, input_shape[:2]))
        raise ValueError(
            f"{family} {variant} {part} needs images of at least {smallest} x {smallest} pixels, got {found}."
        )
    return smallest


def state_smallest(model: keras.Model, smallest: int) -> None:
    """Makes the model itself refuse smaller images where a side is open: one of its layers would."""
    import keras

    _, height, width, channels = model.input_shape
    if smallest == 1 or None not in (height, width):
        return
    spec = keras.layers.InputSpec(ndim=4, name="images")
    sides = (AtLeast(smallest) if side is None else side for side in (height, width))
    spec.shape = (None, *sides, channels)  # its constructor would make plain numbers of them
    model.input_spec = spec


def _fits(family: str, variant: str, side: int, top: bool) -> bool:
    facts, nn = families.find(family, variant), Recorder()
    try:
        maps = facts.backbone(nn, ShapeOnly((1, side, side, 3)), variant)
        if top:
            apply_top(nn, facts, variant, maps, CLASSES)
    except ValueError:  # TooSmall, or the family's own sentence
        return False
    return True
