"""TensorFlow checkpoints that lie: refused in one sentence and in memory that their size bounds."""

from __future__ import annotations

import doctest
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from modelzoo.errors import ConversionError
from modelzoo.formats import (
    checkpoint_tensors,
    checkpoint_v1,
    checksums,
    leveldb_table,
    protobuf,
    read_tensorflow_checkpoint,
)
from modelzoo.formats import tensors as common
from modelzoo.formats.checkpoint_v2 import HEADER
from modelzoo.formats.checksums import masked_crc32c
from modelzoo.formats.leveldb_table import footer_bytes, handle, sealed
from modelzoo.formats.protobuf import field, varint
from tests.formats.checkpoint_bytes import block, entry, saved_slices, slice_meta, table, whole
from tests.formats.files import MEBIBYTE, SHARD

VALUES = np.arange(6, dtype="<f4").tobytes()
GOOD = entry((2, 3), VALUES)
HUGE = 2**62


@pytest.fixture
def checkpoint(tmp_path):
    """Writes a V2 checkpoint with this index, or the V1 checkpoint; returns its prefix."""

    def write(index: bytes, version: int = 2) -> Path:
        prefix = tmp_path / "model.ckpt"
        if version == 1:
            prefix.write_bytes(index)
        else:
            prefix.with_name("model.ckpt.index").write_bytes(index)
            prefix.with_name("model.ckpt" + SHARD).write_bytes(VALUES)
        return prefix

    return write


def index(*entries: tuple[bytes, bytes], header: bytes = HEADER, **options) -> bytes:
    return table([(b"", header), *entries], **options)


def read_all(prefix: Path) -> dict[str, np.ndarray]:
    with read_tensorflow_checkpoint(prefix) as tensors:
        return {name: tensors.read(name) for name in tensors}


def test_what_the_tests_write_is_read(checkpoint):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(read_all(checkpoint(index((b"a", GOOD))))["a"], values, strict=True)
    slices = saved_slices({"a": ((2, 3), VALUES), "b": ((), VALUES[:4])})
    np.testing.assert_array_equal(read_all(checkpoint(slices, 1))["a"], values, strict=True)


def shared_prefixes(count: int) -> bytes:
    """One long key, and many that take all but their ends from the one before."""
    content = b"\0\0\x06" + HEADER + b"\0\xff\x1f" + varint(len(GOOD)) + b"+" * 4095 + GOOD
    for number in range(count):
        content += b"\xfc\x1f\x04" + varint(len(GOOD)) + b"%04x" % number + GOOD
    return in_blocks(content, pair(b"z", handle(0, len(content) + 8)))


def pair(key: bytes, value: bytes) -> bytes:
    """One that takes nothing from the one before."""
    return b"\0" + varint(len(key)) + varint(len(value)) + key + value


def in_blocks(content: bytes, index: bytes) -> bytes:
    """A table of one block and an index block, both given as the bytes of their pairs."""
    data, meta, last = (sealed(pairs + struct.pack("<II", 0, 1)) for pairs in (content, b"", index))
    footer = handle(len(data), len(meta) - 5) + handle(len(data) + len(meta), len(last) - 5)
    return data + meta + last + footer_bytes(footer)


def long_keys_in_the_index(count: int) -> bytes:
    """Blocks of nothing, each under a key of 4 KiB that takes all of it from the one before."""
    places = [handle(13 * number, 8) for number in range(count)]
    others = (b"\x80\x20\0" + varint(len(place)) + place for place in places[1:])
    return in_blocks(b"", pair(b"k" * 4096, places[0]) + b"".join(others))


def many_blocks(count: int) -> bytes:
    empty = sealed(struct.pack("<II", 0, 1))
    index = b"".join(pair(b"", handle(number * len(empty), 8)) for number in range(count))
    last = sealed(index + struct.pack("<II", 0, 1))
    footer = handle(0, 8) + handle(count * len(empty), len(last) - 5)
    return empty * count + last + footer_bytes(footer)


V2 = {
    "an index block of exabytes": (
        index((b"a", GOOD), index=handle(0, HUGE)),
        "expected a block of",
    ),
    "a data block of exabytes": (
        index((b"a", GOOD), data=handle(0, HUGE)),
        "expected a block of",
    ),
    "a block beyond the end": (index((b"a", GOOD), data=handle(HUGE, 8)), "expected a block of"),
    "a block that starts wrong": (
        index((b"a", GOOD), data=handle(3, 20)),
        "checksum is wrong|compr",
    ),
    "compressed blocks": (index((b"a", GOOD), compression=1), "it has compressed blocks"),
    "no pairs": (table([]), "its index has no header"),
    "no header": (table([(b"a", GOOD)]), "its index has no header"),
    "big-endian values": (index((b"a", GOOD), header=HEADER + field(2, 1)), "its values are big-endian"),
    "a thousand million shards": (
        index((b"a", GOOD), header=field(1, 10**9)),
        "expected 1000000000 data files",
    ),
    "two shards of which one is there": (
        index((b"a", GOOD), header=field(1, 2)),
        "expected 2 data files, .* got 1",
    ),
    "no shard": (index((b"a", GOOD), header=b""), "expected 0 data files"),
    "a shape of terabytes": (index((b"a", entry((10**8, 10**7), VALUES))), r"cannot take 24 bytes"),
    "a shape and a size of terabytes": (
        index((b"a", entry((10**8, 10**7), VALUES, size=4 * 10**15))),
        "lies beyond the end of the data files",
    ),
    "a negative dimension": (index((b"a", entry((-1, 6), VALUES))), "which no array has"),
    "a thousand dimensions": (index((b"a", entry((1,) * 1000, VALUES))), "which no array has"),
    "an offset beyond the end": (index((b"a", entry((2, 3), VALUES, offset=4))), "beyond the end"),
    "an offset that wraps around": (index((b"a", entry((2, 3), VALUES, offset=2**64 - 8))), "beyond the end"),
    "a shard that is not there": (index((b"a", entry((2, 3), VALUES, shard=1))), "beyond the end"),
    "a wrong checksum of the values": (index((b"a", entry((2, 3), VALUES[::-1]))), "its checksum is wrong"),
    "a tensor in slices": (index((b"a", GOOD + field(7, whole((2, 3))))), "'a' is stored in slices"),
    "strings": (index((b"a", field(1, 7) + GOOD[2:])), "its values are not numeric"),
    "strings of terabytes": (
        index((b"a", field(1, 7) + entry((10**15,), VALUES)[2:])),
        "cannot take 24 bytes",
    ),
    "a number where a shape belongs": (
        index((b"a", field(2, 5))),
        "expected bytes in field 2 .* got an integer",
    ),
    "a shape where a number belongs": (
        index((b"a", field(5, b"x"))),
        "expected an integer in field 5 .* got bytes",
    ),
    "a message that is truncated": (index((b"a", GOOD[:-2])), "a message is malformed"),
    "a number without end": (index((b"a", b"\xff" * 20)), "an integer has no end"),
    "names that are no UTF-8": (index((b"\xff", GOOD)), "can't decode"),
    "a name of 5000 bytes": (index((b"a" * 5000, GOOD)), "its key beyond what keys have"),
    "a name twice": (index((b"a", GOOD), (b"a", GOOD)), "its keys are not in order"),
    "names out of order": (index((b"b", GOOD), (b"a", GOOD)), "its keys are not in order"),
    "megabytes of names": (shared_prefixes(9000), "its keys have more than"),
    "a shape of a million dimensions": (index((b"a", entry((1,) * 10**6))), "has more than 32 dimensions"),
    "gigabytes of keys in the index block": (long_keys_in_the_index(10**6), "its keys have more than"),
    "a hundred thousand blocks": (many_blocks(100_001), "it has more than 100000 blocks"),
    "two blocks in one place": (
        in_blocks(b"", pair(b"y", handle(0, 8)) + pair(b"z", handle(8, 8))),
        "its blocks overlap",
    ),
}


def refused_in_little_memory(prefix: Path, reason: str, limit: int = MEBIBYTE) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ConversionError, match=rf"^[^\n]*({reason})[^\n]*download it again\.$"):
            read_all(prefix)
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", V2)
def test_a_hostile_index_is_refused(name, checkpoint):
    content, reason = V2[name]
    limit = {"megabytes of names": 32, "a hundred thousand blocks": 32}.get(name, 1) * MEBIBYTE
    limit += 2 * len(content)
    refused_in_little_memory(checkpoint(content), reason, limit)


def test_blocks_that_overlap_are_refused(checkpoint):
    """Else a small file could have a million blocks, all of them the same."""
    data = sealed(block([(b"", HEADER), (b"a", GOOD)]))
    meta = sealed(block([]))
    last = sealed(block([(bytes([letter]), handle(0, len(data) - 5)) for letter in b"xyz"]))
    footer = handle(len(data), len(meta) - 5) + handle(len(data) + len(meta), len(last) - 5)
    content = data + meta + last + footer_bytes(footer)
    refused_in_little_memory(checkpoint(content), "its blocks overlap")


def listing(name: bytes, shape: tuple[int, ...], slices: bytes | None = None) -> bytes:
    """A V1 checkpoint that lists a tensor and has no values."""
    return table([(b"", field(1, slice_meta(name, shape, slices)))])


V1 = {
    "a shape of terabytes": (listing(b"a", (10**8, 10**7)), "cannot be in a file of"),
    "a negative dimension": (listing(b"a", (-1,)), "which no array has"),
    "a part of a tensor": (listing(b"a", (2,), field(1, field(1, 1))), "'a' is stored in slices"),
    "a tensor that is only listed": (listing(b"a", (2,)), "is missing"),
    "a name that is no UTF-8": (listing(b"\xff", (2,)), "can't decode"),
    "too few values": (saved_slices({"a": ((3, 3), VALUES)}), r"of shape \(3, 3\), got 6 values"),
    "half a value": (saved_slices({"a": ((2, 3), VALUES[:-1])}), "buffer size must be a multiple"),
    "a shape of a million dimensions": (listing(b"a", (1,) * 10**6), "has more than 32 dimensions"),
    "megabytes of names": (
        table([(b"", field(1, b"".join(slice_meta(b"%04d" % n * 1024, ()) for n in range(4100))))]),
        "its names have more than 16777216 bytes",
    ),
    "no list": (table([(b"a", b"")]), "it does not list its tensors"),
    "nothing": (table([]), "it does not list its tensors"),
}


@pytest.mark.parametrize("name", V1)
def test_a_hostile_v1_checkpoint_is_refused(name, checkpoint):
    content, reason = V1[name]
    limit = (32 if name == "megabytes of names" else 1) * MEBIBYTE + 2 * len(content)
    refused_in_little_memory(checkpoint(content, 1), reason, limit)


@pytest.mark.parametrize("version", [1, 2])
def test_a_checkpoint_of_too_many_tensors_is_refused(version, checkpoint, monkeypatch):
    monkeypatch.setattr(checkpoint_tensors, "MAX_TENSORS", 1)
    content = saved_slices({"a": ((2, 3), VALUES), "b": ((), VALUES[:4])})
    if version == 2:
        content = index((b"a", GOOD), (b"b", GOOD))
    refused_in_little_memory(checkpoint(content, version), "more than 1 tensors")


def test_more_tensors_are_allowed_than_any_network_has():
    assert common.MAX_TENSORS == 100_000


# RFC 3720, B.4, and the check value of the catalogues of CRCs.
PUBLISHED = {
    bytes(32): 0x8A9136AA,
    b"\xff" * 32: 0x62A8AB43,
    bytes(range(32)): 0x46DD794E,
    bytes(reversed(range(32))): 0x113FDB5C,
    b"123456789": 0xE3069283,
    b"": 0,
}


@pytest.mark.parametrize("content", PUBLISHED)
def test_the_checksum_is_the_published_one_masked(content):
    crc = (masked_crc32c(content) - 0xA282EAD8) % 2**32
    assert (crc << 15 | crc >> 17) % 2**32 == PUBLISHED[content]


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<f4", "<f8"])
def test_the_checksum_of_an_array_is_that_of_its_bytes(dtype):
    values = np.arange(24).astype(dtype).reshape(2, 3, 4)
    assert masked_crc32c(values) == masked_crc32c(values.tobytes())


@pytest.mark.parametrize(
    "module", [checksums, checkpoint_v1, leveldb_table, protobuf], ids=lambda module: module.__name__
)
def test_the_examples_hold(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
