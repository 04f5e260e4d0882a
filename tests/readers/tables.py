"""TensorFlow checkpoints written byte by byte, so that a test can lie in any of their numbers.

The formats: tensorflow/core/lib/io/format.h (tables, as LevelDB's), core/protobuf/tensor_bundle.proto (V2)
and core/util/saved_tensor_slice.proto (V1).
"""

from __future__ import annotations

import struct

from tests.fuzz.mutations import varint

FLOAT = 1  # DataType
HEADER = bytes.fromhex("08011a020801")  # BundleHeaderProto: one shard, version 1
FOOTER_BYTES, TRAILER_BYTES = 48, 5
TABLE_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
POLYNOMIAL = 0x82F63B78  # CRC-32C, reflected


def _crc_table() -> list[int]:
    table = list(range(256))
    for _ in range(8):
        table = [value >> 1 ^ (POLYNOMIAL if value & 1 else 0) for value in table]
    return table


CRC = _crc_table()


def masked_crc(content: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ CRC[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32)


def field(number: int, value: int | bytes) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value % 2**64)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(pairs: list[tuple[bytes, bytes]]) -> bytes:
    content = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in pairs)
    return content + struct.pack("<II", 0, 1)


def handle(offset: int, size: int) -> bytes:
    return varint(offset) + varint(size)


def closed(content: bytes, compression: int = 0) -> bytes:
    """A block with its trailer."""
    content += bytes([compression])
    return content + masked_crc(content)


def table(pairs: list[tuple[bytes, bytes]], *, compression: int = 0, **handles: bytes) -> bytes:
    """A table of one data block; `handles` puts others in the places of "data", "metaindex" and "index"."""
    data, metaindex = closed(block(pairs), compression), closed(block([]))
    last = pairs[-1][0] + b"\0" if pairs else b""
    index = closed(block([(last, handles.get("data", handle(0, len(data) - TRAILER_BYTES)))]))
    footer = handles.get("metaindex", handle(len(data), len(metaindex) - TRAILER_BYTES))
    footer += handles.get("index", handle(len(data) + len(metaindex), len(index) - TRAILER_BYTES))
    return data + metaindex + index + footer.ljust(FOOTER_BYTES - len(TABLE_MAGIC), b"\0") + TABLE_MAGIC


def shape(sides: tuple[int, ...]) -> bytes:
    return b"".join(field(2, field(1, side)) for side in sides)


def entry(
    sides: tuple[int, ...], values: bytes = b"", *, offset: int = 0, size: int | None = None, shard: int = 0
) -> bytes:
    """A BundleEntryProto."""
    return (
        field(1, FLOAT)
        + field(2, shape(sides))
        + field(3, shard)
        + field(4, offset)
        + field(5, len(values) if size is None else size)
        + b"\x35"
        + masked_crc(values)
    )


def saved_slices(arrays: dict[str, tuple[tuple[int, ...], bytes]]) -> bytes:
    """A V1 checkpoint of float32 values, given as shape and bytes."""
    metas = b"".join(
        field(1, field(1, name.encode()) + field(2, shape(sides)) + field(3, FLOAT) + field(4, whole(sides)))
        for name, (sides, _) in arrays.items()
    )
    pairs = [(b"", field(1, metas + field(2, field(1, 1))))]
    for name, (sides, values) in sorted(arrays.items()):
        data = field(1, FLOAT) + field(2, shape(sides)) + field(5, values)
        pairs.append(
            (
                slice_key(name, len(sides)),
                field(2, field(1, name.encode()) + field(2, whole(sides)) + field(3, data)),
            )
        )
    return table(pairs)


def whole(sides: tuple[int, ...]) -> bytes:
    """A TensorSliceProto of the whole tensor: an extent without start or length for each side."""
    return field(1, b"") * len(sides)


def slice_key(name: str, sides: int) -> bytes:
    """The key of the whole tensor, in OrderedCode."""
    number = b"\x01" + bytes([sides]) if sides else b"\x00"
    return b"\x00" + name.encode() + b"\x00\x01" + number + b"\x80\x7f" * sides


def repaired(content: bytes) -> bytes:
    """The table with the right checksum in each block that its handles reach, so that a change gets past."""
    data = bytearray(content)
    try:
        position, handles = len(data) - FOOTER_BYTES, []
        for _ in range(4):
            number, position = _read_varint(data, position)
            handles.append(number)
        blocks = [tuple(handles[:2]), tuple(handles[2:])]
        offset, size = blocks[1]
        blocks += [*_handles_in(bytes(data[offset : offset + size]))]
    except IndexError:
        return content
    for offset, size in blocks:
        end = offset + size + 1
        if end + 4 <= len(data):
            data[end : end + 4] = masked_crc(bytes(data[offset:end]))
    return bytes(data)


def _handles_in(index: bytes) -> list[tuple[int, int]]:
    handles, position = [], 0
    while position < len(index) - 8 and len(handles) < 10:
        _shared, position = _read_varint(index, position)
        own, position = _read_varint(index, position)
        length, position = _read_varint(index, position)
        value = index[position + own : position + own + length]
        offset, at = _read_varint(value, 0)
        handles.append((offset, _read_varint(value, at)[0]))
        position += own + length
    return handles


def _read_varint(data: bytes | bytearray, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[position]
        number |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80 or shift > 63:
            return number, position
