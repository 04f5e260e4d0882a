"""TensorFlow checkpoints put together from the writer's parts, so that a test can lie in any number.

The formats: tensorflow/core/lib/io/format.h (tables, as LevelDB's), core/protobuf/tensor_bundle.proto (V2)
and core/util/saved_tensor_slice.proto (V1).
"""

from __future__ import annotations

import struct

from modelzoo.formats.checkpoint_tensors import shape_message
from modelzoo.formats.checkpoint_v1 import WHOLE, slice_key
from modelzoo.formats.checksums import masked_crc32c
from modelzoo.formats.leveldb_table import (
    FOOTER_BYTES,
    RESTART_INTERVAL,
    TRAILER,
    Block,
    footer_bytes,
    handle,
    sealed,
    table_bytes,
)
from modelzoo.formats.protobuf import field, fixed32, read_varint

FLOAT = 1  # DataType


def block(pairs: list[tuple[bytes, bytes]]) -> bytes:
    content = Block(RESTART_INTERVAL)
    for key, value in pairs:
        content.add(key, value)
    return content.content()


def table(pairs: list[tuple[bytes, bytes]], *, compression: int = 0, **handles: bytes) -> bytes:
    """A table of one data block; `handles` puts others in the places of "data", "metaindex" and "index"."""
    data, metaindex = sealed(block(pairs), compression), sealed(block([]))
    last = pairs[-1][0] + b"\0" if pairs else b""
    index = sealed(block([(last, handles.get("data", handle(0, len(data) - TRAILER.size)))]))
    footer = handles.get("metaindex", handle(len(data), len(metaindex) - TRAILER.size))
    footer += handles.get("index", handle(len(data) + len(metaindex), len(index) - TRAILER.size))
    return data + metaindex + index + footer_bytes(footer)


def entry(
    shape: tuple[int, ...], values: bytes = b"", *, offset: int = 0, size: int | None = None, shard: int = 0
) -> bytes:
    """A BundleEntryProto of float32 values."""
    return (
        field(1, FLOAT)
        + field(2, shape_message(shape))
        + field(3, shard)
        + field(4, offset)
        + field(5, len(values) if size is None else size)
        + fixed32(6, masked_crc32c(values))
    )


def saved_slices(arrays: dict[str, tuple[tuple[int, ...], bytes]]) -> bytes:
    """A V1 checkpoint of float32 values, given as shape and bytes."""
    metas = b"".join(slice_meta(name.encode(), shape) for name, (shape, _) in arrays.items())
    pairs = [(b"", field(1, metas + field(2, field(1, 1))))]
    for name, (shape, values) in sorted(arrays.items()):
        data = field(1, FLOAT) + field(2, shape_message(shape)) + field(5, values)
        saved = field(1, name.encode()) + field(2, whole(shape)) + field(3, data)
        pairs.append((slice_key(name, len(shape)), field(2, saved)))
    return table_bytes(pairs)


def slice_meta(name: bytes, shape: tuple[int, ...], slices: bytes | None = None) -> bytes:
    """What the list of a V1 checkpoint says of a tensor."""
    slices = whole(shape) if slices is None else slices
    return field(1, field(1, name) + field(2, shape_message(shape)) + field(3, FLOAT) + field(4, slices))


def whole(shape: tuple[int, ...]) -> bytes:
    """A TensorSliceProto of the whole tensor."""
    return WHOLE * len(shape)


def repaired(content: bytes) -> bytes:
    """The table with the right checksum in each block that its handles reach, so that a change gets past."""
    data = bytearray(content)
    try:
        position, handles = max(len(data) - FOOTER_BYTES, 0), []
        for _ in range(4):
            number, position = read_varint(data, position)
            handles.append(number)
        blocks = [tuple(handles[:2]), tuple(handles[2:])]
        offset, size = blocks[1]
        blocks += [*_handles_in(bytes(data[offset : offset + size]))]
    except ValueError:
        return content
    for offset, size in blocks:
        end = offset + size + 1
        if end + 4 <= len(data):
            data[end : end + 4] = struct.pack("<I", masked_crc32c(bytes(data[offset:end])))
    return bytes(data)


def _handles_in(index: bytes) -> list[tuple[int, int]]:
    handles, position = [], 0
    while position < len(index) - 8 and len(handles) < 10:
        _shared, position = read_varint(index, position)
        own, position = read_varint(index, position)
        length, position = read_varint(index, position)
        value = index[position + own : position + own + length]
        offset, at = read_varint(value, 0)
        handles.append((offset, read_varint(value, at)[0]))
        position += own + length
    return handles
