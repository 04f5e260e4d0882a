"""Small upstream files; those of MXNet byte by byte, of any version and with any lie."""

from __future__ import annotations

import struct

import numpy as np

MEBIBYTE = 2**20
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
FLOAT32, BFLOAT16 = 0, 12
TYPES = {
    0: np.float32,
    1: np.float64,
    2: np.float16,
    3: np.uint8,
    4: np.int32,
    5: np.int8,
    6: np.int64,
    7: np.bool_,
    8: np.int16,
    9: np.uint16,
    10: np.uint32,
    11: np.uint64,
}


def mxnet_array(
    values: np.ndarray, *, version: int | None = V2, type: int = FLOAT32, storage: int = 0
) -> bytes:
    """The bytes of one array as NDArray::Save writes them; version None is the oldest format."""
    shape = values.shape
    if version is None:
        head = struct.pack(f"<I{len(shape)}I", len(shape), *shape)
    else:
        head = struct.pack("<I", version)
        head += b"" if version == V1 else struct.pack("<i", storage)
        head += struct.pack(f"<i{len(shape)}q", len(shape), *shape)
    return head + struct.pack("<iii", 1, 0, type) + values.tobytes()


def mxnet_file(arrays: dict[str, bytes]) -> bytes:
    names = b"".join(struct.pack("<Q", len(name.encode())) + name.encode() for name in arrays)
    head = struct.pack("<QQQ", 0x112, 0, len(arrays))
    return head + b"".join(arrays.values()) + struct.pack("<Q", len(arrays)) + names


def float32_file(*names: str) -> bytes:
    return mxnet_file({name: mxnet_array(np.float32([[1, 2, 3]])) for name in names})


# TensorFlow's

SHARD = ".data-00000-of-00001"
VARIABLES = {
    "conv/weights": np.arange(60, dtype=np.float32).reshape(3, 20),
    "conv/biases": np.float32([0.5, -0.5]),
    "global_step": np.int64(7),
}
