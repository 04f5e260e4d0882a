"""The smallest images that a network takes, found by the shapes of its layers."""

from __future__ import annotations

import bisect
import functools

from modelzoo.architectures import families
from modelzoo.architectures.layers import Layers
from modelzoo.architectures.top import apply_top

LARGEST = 512  # pixels; every network takes a square of this side
CLASSES = 2  # any number will do


@functools.cache
def smallest_side(family: str, variant: str, *, top: bool) -> int:
    """The side in pixels of the smallest square image that the network takes, with its top or without."""
    facts = families.find(family, variant)
    if facts.smallest_side is not None:
        return facts.smallest_side(variant, top)
    return 1 + bisect.bisect_left(range(1, LARGEST), True, key=lambda side: _fits(family, variant, side, top))


def check_sides(
    family: str, variant: str, input_shape: tuple[int | None, int | None, int], *, top: bool
) -> None:
    """Raises ValueError for images that are smaller than what the network takes."""
    smallest = smallest_side(family, variant, top=top)
    if any(side is not None and side < smallest for side in input_shape[:2]):
        part = "with its top" if top else "without its top"
        found = " x ".join(map(str, input_shape[:2]))
        raise ValueError(
            f"{family} {variant} {part} needs images of at least {smallest} x {smallest} pixels, got {found}."
        )


def _fits(family: str, variant: str, side: int, top: bool) -> bool:
    facts, nn = families.find(family, variant), Layers()
    try:
        maps = facts.backbone(nn, nn.input("images", (None, side, side, 3)), variant)
        if top:
            apply_top(nn, facts, variant, maps, CLASSES)
    except ValueError:  # TooSmall, or the family's own sentence
        return False
    return True
