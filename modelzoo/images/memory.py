"""How much memory it takes to decode an image, and how much all that are decoded at a time may take."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager, suppress

from PIL import Image

MAX_BYTES = 3_000_000_000  # for one image, and for all large ones that are decoded at a time
SMALL_BYTES = 500_000_000  # an image that needs no more is not large: it waits for nothing
# Bytes for each pixel, measured: the decoder's, Pillow's and the result's that are there at the same time.
PER_PIXEL = {
    "AVIF": 20.0,  # of 12 bits with alpha, without subsampling
    "JPEG2000": 30.0,  # of 16 bits with alpha
    "WEBP": 16.5,
}
PER_PIXEL_OTHERWISE = 12.5  # of a progressive JPEG in CMYK, a TIFF of 16 bits with alpha; 7 of most others
PER_PIXEL_OF_A_ROW = 16  # besides: PNG's decoder holds two rows
WITHOUT_SIZE = ("ICO",)  # its header does not bound the size of the images within


def bytes_to_decode(image: Image.Image) -> int:
    """How much memory it takes to decode this image, of which only the header was read."""
    if image.format in WITHOUT_SIZE:
        return MAX_BYTES
    per_pixel = PER_PIXEL.get(image.format or "", PER_PIXEL_OTHERWISE)
    return int(image.width * (image.height * per_pixel + PER_PIXEL_OF_A_ROW))


class Budget:
    """An amount of memory that threads share: who needs more than is left waits, first come, first served."""

    def __init__(self, total: int):
        self.total = total
        self.reset()

    def reset(self) -> None:
        """Forgets who took what: for a process that was forked from one whose threads did."""
        self._free = self.total
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def taking(self, count: int) -> Generator[None]:
        """Takes so many bytes, all there are at most, for as long as the `with` lasts."""
        count = min(count, self.total)
        self._take(count)
        try:
            yield
        finally:
            self._give(count)

    def _take(self, count: int) -> None:
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is ticket and count <= self._free)
                self._free -= count
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def _give(self, count: int) -> None:
        _return_freed()
        with self._changed:
            self._free = min(self._free + count, self.total)  # a fork in between forgot what was taken
            self._changed.notify_all()


def _return_freed() -> None:
    """Returns freed memory to the system: glibc keeps Pillow's blocks, so that each thread had an image's."""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # other C libraries have no such function, and no such habit
            ctypes.CDLL(None).malloc_trim(0)


LARGE_IMAGES = Budget(MAX_BYTES)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=LARGE_IMAGES.reset)
