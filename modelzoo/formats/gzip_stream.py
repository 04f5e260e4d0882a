"""gzip, read once from front to back, in time and memory that what it unpacks to bounds.

Python's gzip reads a name in a header byte by byte, however long it is, and starts over at every member.
"""

from __future__ import annotations

import zlib
from typing import BinaryIO

GZIP_START = b"\x1f\x8b"
WITH_GZIP_HEADER = 16 + zlib.MAX_WBITS  # zlib's `wbits` for gzip; it also compares checksum and length
CHUNK_BYTES = 2**16
MAX_IDLE_BYTES = 2**20  # packed bytes in a row that unpack to nothing: a header's name has at most a path's
MAX_GZIP_MEMBERS = 10_000  # files one after the other; nearly all have one, bgzip's one for each 64 KiB


class GzipReader:
    """The unpacked bytes of a gzip file; raises ValueError, EOFError or zlib.error for a damaged one."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._packed = b""  # read, and not yet unpacked
        self._idle = self._members = 0
        self._begin()

    def read(self, count: int) -> bytes:
        """The next `count` bytes; fewer only at the end."""
        pieces: list[bytes] = []
        while count and (piece := self._piece(count)):
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def _piece(self, most: int) -> bytes:
        while True:
            if self._inflate.eof:
                if not self._another_member():
                    return b""
                self._begin()
            piece = self._inflate.decompress(self._packed, most)
            ended = self._inflate.eof
            self._packed = self._inflate.unused_data if ended else self._inflate.unconsumed_tail
            if piece:
                self._idle = 0
                return piece
            if not (ended or self._packed or self._refill()):
                raise EOFError("it ends before its contents do")

    def _begin(self) -> None:
        self._members += 1
        if self._members > MAX_GZIP_MEMBERS:
            raise ValueError(f"it has more than {MAX_GZIP_MEMBERS} gzip members")
        self._inflate = zlib.decompressobj(WITH_GZIP_HEADER)

    def _another_member(self) -> bool:
        """Whether something follows; zeros do not count, they fill the last block of a tape."""
        while not (packed := self._packed.lstrip(b"\0")):
            if not self._refill():
                return False
        self._packed = packed
        return True

    def _refill(self) -> bool:
        """Whether there were more packed bytes."""
        self._packed = self._file.read(CHUNK_BYTES)
        self._idle += len(self._packed)
        if self._idle > MAX_IDLE_BYTES:
            raise ValueError(f"{MAX_IDLE_BYTES} bytes of it unpack to nothing")
        return bool(self._packed)
