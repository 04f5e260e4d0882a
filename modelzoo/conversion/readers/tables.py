"""The files that TensorFlow's checkpoints consist of: tables of keys and values, which are protocol buffers.

A table has blocks of sorted pairs, as LevelDB's (tensorflow/core/lib/io/format.h); each key may take its
start from the one before. Every number is compared with what there is before it is used: TensorFlow's own
reader aborts the whole process at a wrong one. What is wrong raises ValueError with the reason.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

from modelzoo.conversion.readers import crc32c

TABLE_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)  # at the end (kTableMagicNumber)
FOOTER_BYTES = 48
UNCOMPRESSED = 0
MAX_KEY_BYTES = 4096
MAX_KEYS_BYTES = 2**24  # of all keys; PNASNet's with its moving averages have less than a megabyte
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # wire types


class Table:
    """The pairs of one table, of which the index and the block last read are kept in memory."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        if self._size < FOOTER_BYTES:
            raise ValueError("it is too short for a table")
        self._last: tuple[int, int, memoryview] | None = None
        footer = self._bytes(self._size - FOOTER_BYTES, FOOTER_BYTES)
        if footer[-len(TABLE_MAGIC) :] != TABLE_MAGIC:
            raise ValueError("it does not end as a table does")
        position = _handle(footer, 0)[2]  # the metaindex, which is empty
        offset, size, _ = _handle(footer, position)
        self._blocks = self._placed(_pairs(self._block(offset, size)))

    def _placed(self, index: Iterator[tuple[bytes, memoryview]]) -> list[tuple[bytes, int, int]]:
        """A key not below any in the block, offset and size of each block."""
        blocks, end = [], 0
        for key, value in index:
            offset, size, _ = _handle(value, 0)
            if offset < end:
                raise ValueError("its blocks overlap")
            end = offset + size
            blocks.append((key, offset, size))
        return blocks

    def pairs(self) -> Iterator[tuple[bytes, memoryview]]:
        """All pairs, in the order of their keys, which differ."""
        last, length = None, 0
        for _, offset, size in self._blocks:
            for key, value in _pairs(self._block(offset, size)):
                length += len(key)
                if last is not None and key <= last:
                    raise ValueError("its keys are not in order")
                if length > MAX_KEYS_BYTES:
                    raise ValueError(f"its keys have more than {MAX_KEYS_BYTES} bytes")
                yield key, value
                last = key

    def find(self, wanted: bytes) -> memoryview:
        """The value of one key."""
        for last, offset, size in self._blocks:
            if wanted <= last:
                for key, value in _pairs(self._block(offset, size)):
                    if key == wanted:
                        return value
                break
        raise ValueError(f"the key {wanted!r} is not there")

    def _block(self, offset: int, size: int) -> memoryview:
        if self._last is not None and self._last[:2] == (offset, size):
            return self._last[2]
        self._last = None  # before the next one takes its memory
        content = memoryview(self._bytes(offset, size + 5))
        compression, checksum = struct.unpack("<BI", content[size:])
        if compression != UNCOMPRESSED:
            raise ValueError("it has compressed blocks, which TensorFlow does not write")
        if checksum != crc32c.masked(content[: size + 1]):
            raise ValueError("a block's checksum is wrong")
        self._last = (offset, size, content[:size])
        return content[:size]

    def _bytes(self, offset: int, count: int) -> bytes:
        if offset + count > self._size:
            raise ValueError(f"a block should take {count} bytes from {offset}, and it has {self._size}")
        self._file.seek(offset)
        return self._file.read(count)


def _handle(data: bytes | memoryview, position: int) -> tuple[int, int, int]:
    """Offset and size of a block, and the position after them."""
    offset, position = _varint(data, position)
    size, position = _varint(data, position)
    return offset, size, position


def _pairs(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """The pairs of one block; places where keys start afresh, for binary search, follow them."""
    if len(block) < 4:
        raise ValueError("a block is too short")
    end = len(block) - 4 * (1 + struct.unpack("<I", block[-4:])[0])
    if end < 0:
        raise ValueError("a block is too short for its restarts")
    key, position = b"", 0
    while position < end:
        shared, position = _varint(block, position)
        own, position = _varint(block, position)
        length, position = _varint(block, position)
        value = position + own
        if shared > len(key) or shared + own > MAX_KEY_BYTES or value + length > end:
            raise ValueError("a pair goes beyond its block, or its key beyond what keys have")
        key = key[:shared] + bytes(block[position:value])
        position = value + length
        yield key, block[value:position]


def fields(data: bytes | memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a protocol buffer: an int, or the bytes of what has a length."""
    data, position = memoryview(data), 0
    while position < len(data):
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == VARINT:
            value, position = _varint(data, position)
            yield tag >> 3, value
            continue
        length = {FIXED64: 8, FIXED32: 4}.get(kind)
        if kind == LENGTH:
            length, position = _varint(data, position)
        if length is None or position + length > len(data):
            raise ValueError("a message is malformed")
        value = data[position : position + length]
        position += length
        yield tag >> 3, value if kind == LENGTH else int.from_bytes(value, "little")


def message(data: bytes | memoryview, defaults: dict[int, int | bytes]) -> tuple[int | memoryview, ...]:
    """The values of the fields that have a default, in its order; others are left aside."""
    values = dict(defaults)
    for number, value in fields(data):
        if number in values:
            if isinstance(value, int) != isinstance(values[number], int):
                raise ValueError("a message has a number where bytes belong, or bytes where a number does")
            values[number] = value
    return tuple(values.values())


def varints(data: memoryview) -> Iterator[int]:
    """The numbers of a packed field, negative ones as two's complement of 64 bits."""
    position = 0
    while position < len(data):
        number, position = _varint(data, position)
        yield number


def _varint(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the position after it."""
    number = 0
    for shift in range(0, 64, 7):
        if position >= len(data):
            break
        byte = data[position]
        number |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return number & (2**64 - 1), position
    raise ValueError("a number has no end")
