"""TensorFlow checkpoints that lie: refused in one sentence and in memory that their size bounds."""

from __future__ import annotations

import doctest
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from modelzoo.conversion.readers import (
    common,
    crc32c,
    open_tensorflow_checkpoint,
    tables,
    tensorflow_checkpoint,
)
from modelzoo.errors import ConversionError
from tests.fuzz.mutations import varint
from tests.readers.files import MEBIBYTE, SHARD
from tests.readers.tables import (
    HEADER,
    block,
    closed,
    entry,
    field,
    handle,
    saved_slices,
    shape,
    table,
    whole,
)

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
    with open_tensorflow_checkpoint(prefix) as tensors:
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
    data = closed(content + struct.pack("<II", 0, 1))
    meta, last = closed(block([])), closed(block([(b"z", handle(0, len(data) - 5))]))
    footer = handle(len(data), len(meta) - 5) + handle(len(data) + len(meta), len(last) - 5)
    return data + meta + last + footer.ljust(40, b"\0") + tables.TABLE_MAGIC


V2 = {
    "an index block of exabytes": (
        index((b"a", GOOD), index=handle(0, HUGE)),
        "a block should take",
    ),
    "a data block of exabytes": (
        index((b"a", GOOD), data=handle(0, HUGE)),
        "a block should take",
    ),
    "a block beyond the end": (index((b"a", GOOD), data=handle(HUGE, 8)), "a block should take"),
    "a block that starts wrong": (
        index((b"a", GOOD), data=handle(3, 20)),
        "checksum is wrong|compr",
    ),
    "compressed blocks": (index((b"a", GOOD), compression=1), "it has compressed blocks"),
    "no pairs": (table([]), "its index has no header"),
    "no header": (table([(b"a", GOOD)]), "its index has no header"),
    "big-endian values": (index((b"a", GOOD), header=HEADER + field(2, 1)), "its values are big-endian"),
    "a thousand million shards": (index((b"a", GOOD), header=field(1, 10**9)), "wants 1000000000 data files"),
    "two shards of which one is there": (index((b"a", GOOD), header=field(1, 2)), "wants 2 data files"),
    "no shard": (index((b"a", GOOD), header=b""), "wants 0 data files"),
    "a shape of terabytes": (index((b"a", entry((10**8, 10**7), VALUES))), r"cannot take 24 bytes"),
    "a shape and a size of terabytes": (
        index((b"a", entry((10**8, 10**7), VALUES, size=4 * 10**15))),
        "lies beyond the end of the data files",
    ),
    "a negative side": (index((b"a", entry((-1, 6), VALUES))), "which no array has"),
    "a thousand sides": (index((b"a", entry((1,) * 1000, VALUES))), "which no array has"),
    "an offset beyond the end": (index((b"a", entry((2, 3), VALUES, offset=4))), "beyond the end"),
    "an offset that wraps around": (index((b"a", entry((2, 3), VALUES, offset=2**64 - 8))), "beyond the end"),
    "a shard that is not there": (index((b"a", entry((2, 3), VALUES, shard=1))), "beyond the end"),
    "a wrong checksum of the values": (index((b"a", entry((2, 3), VALUES[::-1]))), "its checksum is wrong"),
    "a tensor in slices": (index((b"a", GOOD + field(7, whole((2, 3))))), "'a' is stored in slices"),
    "texts": (index((b"a", field(1, 7) + GOOD[2:])), "its values are not numbers"),
    "texts of terabytes": (
        index((b"a", field(1, 7) + entry((10**15,), VALUES)[2:])),
        "cannot take 24 bytes",
    ),
    "a number where a shape belongs": (index((b"a", field(2, 5))), "a number where bytes belong"),
    "a shape where a number belongs": (index((b"a", field(5, b"x"))), "bytes where a number does"),
    "a message that is cut off": (index((b"a", GOOD[:-2])), "a message is malformed"),
    "a number without end": (index((b"a", b"\xff" * 20)), "a number has no end"),
    "names that are no UTF-8": (index((b"\xff", GOOD)), "can't decode"),
    "a name of 5000 bytes": (index((b"a" * 5000, GOOD)), "its key beyond what keys have"),
    "a name twice": (index((b"a", GOOD), (b"a", GOOD)), "its keys are not in order"),
    "names out of order": (index((b"b", GOOD), (b"a", GOOD)), "its keys are not in order"),
    "megabytes of names": (shared_prefixes(9000), "its keys have more than"),
}


def refused_in_little_memory(prefix: Path, reason: str, limit: int = MEBIBYTE) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ConversionError, match=rf"^[^\n]*({reason})[^\n]*fetch it again\.$"):
            read_all(prefix)
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module", autouse=True)
def _checksum_tables():
    """Computed once, and kept: half a megabyte for each power of two."""
    crc32c.masked(bytes(2**21))


@pytest.mark.parametrize("name", V2)
def test_a_hostile_index_is_refused(name, checkpoint):
    content, reason = V2[name]
    limit = 32 * MEBIBYTE if name == "megabytes of names" else MEBIBYTE
    refused_in_little_memory(checkpoint(content), reason, limit)


def test_blocks_that_overlap_are_refused(checkpoint):
    """Else a small file could have a million blocks, all of them the same."""
    data = closed(block([(b"", HEADER), (b"a", GOOD)]))
    meta = closed(block([]))
    last = closed(block([(bytes([letter]), handle(0, len(data) - 5)) for letter in b"xyz"]))
    footer = handle(len(data), len(meta) - 5) + handle(len(data) + len(meta), len(last) - 5)
    content = data + meta + last + footer.ljust(40, b"\0") + tables.TABLE_MAGIC
    refused_in_little_memory(checkpoint(content), "its blocks overlap")


def meta_of(name: bytes, sides: tuple[int, ...], slices: bytes) -> bytes:
    meta = field(1, field(1, name) + field(2, shape(sides)) + field(3, 1) + field(4, slices))
    return table([(b"", field(1, meta))])


V1 = {
    "a shape of terabytes": (meta_of(b"a", (10**8, 10**7), whole((1, 1))), "cannot be in a file of"),
    "a negative side": (meta_of(b"a", (-1,), whole((1,))), "which no array has"),
    "a part of a tensor": (meta_of(b"a", (2,), field(1, field(1, 1))), "'a' is stored in slices"),
    "a tensor that is only listed": (meta_of(b"a", (2,), whole((2,))), "is not there"),
    "a name that is no UTF-8": (meta_of(b"\xff", (2,), whole((2,))), "can't decode"),
    "too few values": (saved_slices({"a": ((3, 3), VALUES)}), r"of shape \(3, 3\), it has 6 values"),
    "half a value": (saved_slices({"a": ((2, 3), VALUES[:-1])}), "buffer size must be a multiple"),
    "no list": (table([(b"a", b"")]), "it does not list its tensors"),
    "nothing": (table([]), "it does not list its tensors"),
}


@pytest.mark.parametrize("name", V1)
def test_a_hostile_v1_checkpoint_is_refused(name, checkpoint):
    content, reason = V1[name]
    refused_in_little_memory(checkpoint(content, 1), reason)


@pytest.mark.parametrize("version", [1, 2])
def test_a_checkpoint_of_too_many_tensors_is_refused(version, checkpoint, monkeypatch):
    monkeypatch.setattr(tensorflow_checkpoint, "MAX_TENSORS", 1)
    content = saved_slices({"a": ((2, 3), VALUES), "b": ((), VALUES[:4])})
    if version == 2:
        content = index((b"a", GOOD), (b"b", GOOD))
    refused_in_little_memory(checkpoint(content, version), "more than 1 tensors")


def test_more_tensors_are_allowed_than_any_network_has():
    assert common.MAX_TENSORS == 100_000


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 4097, 2**20, 2**20 + 3])
def test_the_checksum_is_that_of_one_byte_after_the_other(length):
    from tests.readers.tables import masked_crc

    content = np.random.RandomState(length % 1000).bytes(length)
    assert struct.pack("<I", crc32c.masked(content)) == masked_crc(content)


def test_the_checksum_is_the_published_one():
    """RFC 3720, B.4."""
    assert crc32c.crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c.crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c.crc32c(bytes(range(32))) == 0x46DD794E


@pytest.mark.parametrize("module", [crc32c, tensorflow_checkpoint], ids=lambda module: module.__name__)
def test_the_examples_hold(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
