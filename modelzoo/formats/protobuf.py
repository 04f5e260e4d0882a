"""Protocol buffers as bytes: the few kinds of fields of which TensorFlow's checkpoints consist.

Every length is compared with what there is before it is used. What is wrong raises ValueError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # wire types
MAX_FIELD = 15  # the highest number of a field that a Message keeps; TensorFlow's for checkpoints have 11


def fields(data: bytes | memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message: an int, or the bytes of what has a length."""
    data, position = memoryview(data), 0
    while position < len(data):
        tag, position = read_varint(data, position)
        kind = tag & 7
        if kind == VARINT:
            value, position = read_varint(data, position)
            yield tag >> 3, value
            continue
        length = {FIXED64: 8, FIXED32: 4}.get(kind)
        if kind == LENGTH:
            length, position = read_varint(data, position)
        if length is None or position + length > len(data):
            raise ValueError("a message is malformed")
        value = data[position : position + length]
        position += length
        yield tag >> 3, value if kind == LENGTH else int.from_bytes(value, "little")


def first_fields(data: bytes, count: int) -> list[tuple[int, int, int | bytes]]:
    """Number, wire type and value of the first fields of a message of which only the start may be given.

    Fewer where the bytes are no message; the last one's bytes may be incomplete.
    """
    found: list[tuple[int, int, int | bytes]] = []
    position = 0
    try:
        while position < len(data) and len(found) < count:
            tag, position = read_varint(data, position)
            number, kind = tag >> 3, tag & 7
            if kind not in (VARINT, LENGTH) or not number:
                break
            value, position = read_varint(data, position)
            if kind == VARINT:
                found.append((number, kind, value))
            else:
                found.append((number, kind, data[position : position + value]))
                position += value
    except ValueError:
        pass
    return found


class Message:
    """The last value of each field of a message, which says what kind it expects."""

    def __init__(self, data: bytes | memoryview):
        self._values = {number: value for number, value in fields(data) if number <= MAX_FIELD}

    def integer(self, number: int) -> int:
        """The field's value; 0 if it is absent, as protocol buffers leave it out."""
        value = self._values.get(number, 0)
        if not isinstance(value, int):
            raise ValueError(f"expected an integer in field {number} of a message, got bytes")
        return value

    def bytes(self, number: int) -> memoryview:
        """The field's bytes; none if it is absent."""
        value = self._values.get(number, memoryview(b""))
        if isinstance(value, int):
            raise ValueError(f"expected bytes in field {number} of a message, got an integer")
        return value


def varints(data: memoryview) -> Iterator[int]:
    """The integers of a packed field, negative ones as two's complement of 64 bits."""
    position = 0
    while position < len(data):
        number, position = read_varint(data, position)
        yield number


def read_varint(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """An integer of seven bits a byte, and the position after it."""
    number = 0
    for shift in range(0, 64, 7):
        if position >= len(data):
            break
        byte = data[position]
        number |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return number & (2**64 - 1), position
    raise ValueError("an integer has no end")


def varint(number: int) -> bytes:
    """The bytes of an integer that is not negative.

    >>> varint(300).hex()
    'ac02'
    """
    groups = [number >> shift & 0x7F for shift in range(0, max(number.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def field(number: int, value: int | bytes) -> bytes:
    """One field of a message; a negative integer becomes two's complement of 64 bits."""
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value % 2**64)
    return varint(number << 3 | LENGTH) + varint(len(value)) + value


def field_unless_zero(number: int, value: int) -> bytes:
    """As protocol buffers write integers: zero is what an absent field means."""
    return field(number, value) if value else b""


def fixed32(number: int, value: int) -> bytes:
    """One field of four bytes."""
    return varint(number << 3 | FIXED32) + struct.pack("<I", value)
