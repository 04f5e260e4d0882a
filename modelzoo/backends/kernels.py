"""Kernels as other programs than Keras keep them: filters first, and in half precision."""

from __future__ import annotations

from threading import Thread

import numpy as np

CACHE_LINE = 16  # float32 values
LARGE_BYTES = 2**20  # of a kernel whose halves are copied at the same time


def outputs_first(kernel: np.ndarray, scale: np.ndarray | None = None) -> np.ndarray:
    """A kernel (height, width, a, b) as float32 (b, a, height, width), each of the last axis times its scale.

    A few of these at a time: NumPy's copy of it all takes up to ten times as long, since it reads a cache
    line for each value.
    """
    height, width, a, b = kernel.shape
    target = np.empty((b, a, height, width), np.float32)

    def copy(start: int, end: int) -> None:
        for place in range(start, end, CACHE_LINE):
            some = slice(place, min(place + CACHE_LINE, end))
            part = kernel[..., some]
            part = np.ascontiguousarray(part) if scale is None else part * scale[some]
            target[some] = part.transpose(3, 2, 0, 1)

    if kernel.nbytes < LARGE_BYTES:
        copy(0, b)
        return target
    middle = b // 2 // CACHE_LINE * CACHE_LINE
    other_half = Thread(target=copy, args=(0, middle))  # NumPy lets other threads run while it copies
    other_half.start()
    copy(middle, b)
    other_half.join()
    return target


def halved(name: str, array: np.ndarray) -> np.ndarray:
    """The array in float16; raises ValueError for values that would become infinite."""
    limit = np.finfo(np.float16).max
    if array.size and max(array.max(), -array.min()) > limit:
        raise ValueError(
            f"Expected values below {limit:g} for half precision in {name!r}: write f32 instead."
        )
    return array.astype(np.float16)
