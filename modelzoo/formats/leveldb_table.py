"""Tables of keys and values, as LevelDB's: the files that TensorFlow's checkpoints consist of.

A table has blocks of sorted pairs (tensorflow/core/lib/io/format.h); each key may take its start from the one
before. On reading, every number is compared with what there is before it is used: TensorFlow's own reader
aborts the whole process at a wrong one. What is wrong raises ValueError with the reason.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from modelzoo.formats.checksums import masked_crc32c
from modelzoo.formats.protobuf import read_varint, varint

TABLE_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)  # at the end (kTableMagicNumber)
FOOTER_BYTES = 48
TRAILER = struct.Struct("<BI")  # of a block: its compression and the checksum of both
UNCOMPRESSED = 0
MAX_KEY_BYTES = 4096
# A key may take its start from the one before: a few bytes of a file become a long key, so all are counted.
MAX_KEYS_BYTES = 2**24  # of all keys; PNASNet's with its moving averages have less than a megabyte
MAX_PAIRS = 200_000  # twice as many as a checkpoint may have tensors
MAX_BLOCKS = 100_000  # a block has 256 KiB, or one large tensor
# What TensorFlow writes, and with it the very same bytes:
BLOCK_BYTES = 2**18  # a block is full when it has these
RESTART_INTERVAL = 16  # keys from one that is written whole, for binary search, to the next


class Table:
    """The pairs of one table, of which the index is kept in memory."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        if self._size < FOOTER_BYTES:
            raise ValueError("it is too short for a table")
        self._values: dict[bytes, tuple[int, int]] | None = None
        footer = self._bytes(self._size - FOOTER_BYTES, FOOTER_BYTES)
        if footer[-len(TABLE_MAGIC) :] != TABLE_MAGIC:
            raise ValueError("it does not end as a table does")
        position = _read_handle(footer, 0)[2]  # the metaindex, which is empty
        offset, size, _ = _read_handle(footer, position)
        self._blocks = self._placed(self._block(offset, size))

    def _placed(self, index: memoryview) -> list[tuple[int, int]]:
        """Offset and size of each block; with their trailers they lie one behind the other."""
        blocks: list[tuple[int, int]] = []
        end = 0
        for _, value in _read_pairs(index):
            offset, size, _ = _read_handle(index[value], 0)
            if offset < end:
                raise ValueError("its blocks overlap")
            if len(blocks) == MAX_BLOCKS:
                raise ValueError(f"it has more than {MAX_BLOCKS} blocks")
            end = offset + size + TRAILER.size
            blocks.append((offset, size))
        return blocks

    def pairs(self) -> Iterator[tuple[bytes, memoryview]]:
        """All pairs, in the order of their keys, which differ."""
        for key, block, _, value in self._walk():
            yield key, block[value]

    def find(self, key: bytes) -> memoryview:
        """The value of one key. The first call goes through the whole table and compares its checksums."""
        if self._values is None:
            self._values = {
                key: (offset + value.start, value.stop - value.start)
                for key, _, offset, value in self._walk()
            }
        if key not in self._values:
            raise ValueError(f"the key {key!r} is missing")
        return memoryview(self._bytes(*self._values[key]))

    def _walk(self) -> Iterator[tuple[bytes, memoryview, int, slice]]:
        """Each key, the block that it is in, where that begins, and where in it the value lies."""
        last, length, count = None, 0, 0
        for offset, size in self._blocks:
            block = self._block(offset, size)
            for key, value in _read_pairs(block):
                length, count = length + len(key), count + 1
                if last is not None and key <= last:
                    raise ValueError("its keys are not in order")
                _require_few(length, count)
                yield key, block, offset, value
                last = key

    def _block(self, offset: int, size: int) -> memoryview:
        content = self._bytes(offset, size + TRAILER.size)
        compression, checksum = TRAILER.unpack_from(content, size)
        if compression != UNCOMPRESSED:
            raise ValueError("it has compressed blocks, which TensorFlow does not write")
        if checksum != masked_crc32c(np.frombuffer(content, np.uint8, size + 1)):
            raise ValueError("a block's checksum is wrong")
        return memoryview(content)[:size]

    def _bytes(self, offset: int, count: int) -> bytes:
        if offset + count > self._size:
            raise ValueError(f"expected a block of {count} bytes at {offset}, got a file of {self._size}")
        self._file.seek(offset)
        return self._file.read(count)


def _read_handle(data: bytes | memoryview, position: int) -> tuple[int, int, int]:
    """Offset and size of a block, and the position after them."""
    offset, position = read_varint(data, position)
    size, position = read_varint(data, position)
    return offset, size, position


def _require_few(length: int, count: int) -> None:
    if length > MAX_KEYS_BYTES:
        raise ValueError(f"its keys have more than {MAX_KEYS_BYTES} bytes")
    if count > MAX_PAIRS:
        raise ValueError(f"it has more than {MAX_PAIRS} pairs")


def _read_pairs(block: memoryview) -> Iterator[tuple[bytes, slice]]:
    """The keys of one block and where in it their values lie.

    Places where keys start afresh, for binary search, follow them.
    """
    if len(block) < 4:
        raise ValueError("a block is too short")
    end = len(block) - 4 * (1 + struct.unpack("<I", block[-4:])[0])
    if end < 0:
        raise ValueError("a block is too short for its restarts")
    key, position, expanded, count = b"", 0, 0, 0
    while position < end:
        shared, position = read_varint(block, position)
        own, position = read_varint(block, position)
        length, position = read_varint(block, position)
        value = position + own
        if shared > len(key) or shared + own > MAX_KEY_BYTES or value + length > end:
            raise ValueError("a pair goes beyond its block, or its key beyond what keys have")
        key = key[:shared] + bytes(block[position:value])
        position = value + length
        expanded, count = expanded + len(key), count + 1
        _require_few(expanded, count)
        yield key, slice(value, position)


def table_bytes(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The table of these pairs, sorted by their keys, which differ."""
    content, index, block = bytearray(), Block(1), Block(RESTART_INTERVAL)
    for key, value in pairs:
        if block.size >= BLOCK_BYTES:
            index.add(_between(block.last, key), _append(content, block))
            block = Block(RESTART_INTERVAL)
        block.add(key, value)
    if block.count:
        index.add(_above(block.last), _append(content, block))
    footer = _append(content, Block(RESTART_INTERVAL)) + _append(content, index)  # the metaindex is empty
    return bytes(content) + footer_bytes(footer)


def footer_bytes(handles: bytes) -> bytes:
    """The end of a table: where its metaindex and its index lie."""
    return handles.ljust(FOOTER_BYTES - len(TABLE_MAGIC), b"\0") + TABLE_MAGIC


class Block:
    """The pairs of a block that is being filled."""

    def __init__(self, restart_interval: int):
        self.count, self.last = 0, b""
        self._interval = restart_interval
        self._content, self._restarts = bytearray(), [0]

    def add(self, key: bytes, value: bytes) -> None:
        shared = _common(self.last, key)
        if self.count and self.count % self._interval == 0:
            self._restarts.append(len(self._content))
            shared = 0
        self._content += (
            varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        )
        self.count, self.last = self.count + 1, key

    @property
    def size(self) -> int:
        return len(self._content) + 4 * (len(self._restarts) + 1)

    def content(self) -> bytes:
        restarts = struct.pack(f"<{len(self._restarts)}I", *self._restarts)
        return bytes(self._content) + restarts + struct.pack("<I", len(self._restarts))


def sealed(block: bytes, compression: int = UNCOMPRESSED) -> bytes:
    """A block with its trailer."""
    content = block + bytes([compression])
    return content + struct.pack("<I", masked_crc32c(content))


def handle(offset: int, size: int) -> bytes:
    """Where a block lies; its trailer does not count."""
    return varint(offset) + varint(size)


def _append(content: bytearray, block: Block) -> bytes:
    """The handle of the block, which follows the content now."""
    place = handle(len(content), block.size)
    content += sealed(block.content())
    return place


def _common(one: bytes, other: bytes) -> int:
    """How many bytes both start with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _between(last: bytes, following: bytes) -> bytes:
    r"""A short key that is not below `last`, but below the one that follows it.

    >>> _between(b"conv_01", b"conv_17"), _between(b"conv_01", b"conv_1")
    (b'conv_01', b'conv_01')
    >>> _between(b"conv_01", b"conv_27")
    b'conv_1'
    """
    at = _common(last, following)
    if at < min(len(last), len(following)) and last[at] + 1 < following[at]:
        return last[:at] + bytes([last[at] + 1])
    return last


def _above(last: bytes) -> bytes:
    r"""A short key that is not below `last`.

    >>> _above(b"conv"), _above(b"\xff\xffa"), _above(b"\xff")
    (b'd', b'\xff\xffb', b'\xff')
    """
    for at, byte in enumerate(last):
        if byte < 0xFF:
            return last[:at] + bytes([byte + 1])
    return last
