"""Windows that move over a map: how they are padded, and how many of them there are.

There are three paddings: "valid" has none; "same" is TensorFlow's, which under stride pads unevenly (nothing
before and one pixel after an even side); and explicit margins ((top, bottom), (left, right)).
"""

from __future__ import annotations

from typing import Literal

from modelzoo.graph.operator import Dimension, Shape, check_map

Pair = tuple[int, int]  # of the height and the width
Margins = tuple[Pair, Pair]  # ((top, bottom), (left, right)), in pixels
Padding = Literal["valid", "same"] | Margins


class TooSmall(ValueError):
    """A window does not fit into its input."""


def same_margin(side: int, window: int, stride: int) -> Pair:
    """How many pixels TensorFlow's "same" pads before and after a side."""
    total = max((-(-side // stride) - 1) * stride + window - side, 0)
    return total // 2, total - total // 2


def margins(padding: Padding, sides: Shape, window: Pair, stride: Pair) -> Margins | None:
    """The pixels that are padded around a map of these sides; None if that depends on an unknown side."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding != "same":
        return padding
    height, width = sides
    if stride == (1, 1):  # then it is the same for every side
        height, width = 10**6, 10**6
    if height is None or width is None:
        return None
    return same_margin(height, window[0], stride[0]), same_margin(width, window[1], stride[1])


def extent(kernel: Pair, dilation: Pair) -> Pair:
    """The height and width that a dilated kernel covers."""
    return (kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1


def output_sides(shape: Shape, window: Pair, stride: Pair, padding: Padding) -> tuple[Dimension, Dimension]:
    """How many windows there are over the height and the width of a map of this shape."""
    check_map(shape)
    height, width = (
        _steps(side, window[axis], stride[axis], padding if isinstance(padding, str) else padding[axis])
        for axis, side in enumerate(shape[1:3])
    )
    return height, width


def _steps(side: Dimension, window: int, stride: int, padding: str | Pair) -> Dimension:
    if side is None:
        return None
    if padding == "same":
        return -(-side // stride)
    before, after = (0, 0) if isinstance(padding, str) else padding
    steps = (side + before + after - window) // stride + 1
    if steps < 1:
        raise TooSmall(
            f"Expected at least {window} pixels under a window, got a side of {side + before + after}: "
            "the images are too small."
        )
    return steps
