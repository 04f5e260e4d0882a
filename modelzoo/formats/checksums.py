"""CRC-32C as TensorFlow stores it, with which it protects its checkpoints."""

from __future__ import annotations

import google_crc32c
import numpy as np

MASK_DELTA = 0xA282EAD8


def masked_crc32c(data: bytes | np.ndarray) -> int:
    """The checksum of RFC 3720, rotated and added to, so that data may hold its own checksum.

    An array must be C-contiguous.

    >>> hex(masked_crc32c(b"123456789"))
    '0xc78ab0e5'
    """
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + MASK_DELTA) % 2**32
