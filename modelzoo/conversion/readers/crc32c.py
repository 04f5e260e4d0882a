"""CRC-32C, with which TensorFlow protects its checkpoints, over many megabytes at once with NumPy.

A CRC is linear: appending zeros to data maps its CRC by a matrix of bits, and the CRC of two pieces is the
first one's, so mapped, xor the second one's. Neighbours are joined, all pairs at a time, until one is left.
"""

from __future__ import annotations

from functools import cache

import numpy as np

POLYNOMIAL = 0x82F63B78  # reflected
ONES = 0xFFFFFFFF
MASK_DELTA = 0xA282EAD8
CHUNK_BYTES = 2**20  # a power of two; its values stay in the processor's cache


def masked(data: bytes | memoryview) -> int:
    """As TensorFlow stores it: rotated and added to, so that data may hold its own checksum.

    >>> hex(masked(b"123456789"))
    '0xc78ab0e5'
    """
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + MASK_DELTA) & ONES


def crc32c(data: bytes | memoryview) -> int:
    """The checksum of RFC 3720.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    data = memoryview(data).cast("B")
    crc = 0
    first = len(data) % CHUNK_BYTES  # the odd part comes first, where zeros before it change nothing
    if first:
        crc = _of_chunk(bytes(-first % 4) + data[:first])
    for start in range(first, len(data), CHUNK_BYTES):
        crc = _appended(crc, CHUNK_BYTES) ^ _of_chunk(data[start : start + CHUNK_BYTES])
    return crc ^ _appended(ONES, len(data)) ^ ONES


def _of_chunk(chunk: bytes | memoryview) -> int:
    """The CRC that starts from zero, of whole words."""
    words, size = np.frombuffer(chunk, "<u4").astype(np.uint32), 4
    while len(words) > 1:
        if len(words) % 2:
            words = np.concatenate((np.zeros(1, np.uint32), words))
        words = _apply(_zeros(size), words[0::2]) ^ words[1::2]
        size *= 2
    return _appended(int(words[0]), 4)


def _appended(crc: int, count: int) -> int:
    """The CRC after `count` zero bytes more."""
    value = np.array([crc], np.uint32)
    for bit in range(count.bit_length()):
        if count >> bit & 1:
            value = _apply(_zeros(1 << bit), value)
    return int(value[0])


def _apply(table: np.ndarray, values: np.ndarray) -> np.ndarray:
    return table[0][values & 0xFFFF] ^ table[1][values >> 16]


@cache
def _zeros(count: int) -> np.ndarray:
    """What `count` zero bytes, a power of two, do to each lower and to each upper half of a CRC."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    if count == 1:
        for _ in range(8):
            bits = np.where(bits & 1, bits >> 1 ^ np.uint32(POLYNOMIAL), bits >> 1)
    else:
        half = _zeros(count // 2)
        bits = _apply(half, _apply(half, bits))
    tables = np.zeros((2, 2**16), np.uint32)
    for half, images in enumerate((bits[:16], bits[16:])):
        for bit, image in enumerate(images):
            tables[half, 1 << bit : 2 << bit] = tables[half, : 1 << bit] ^ image
    return tables
