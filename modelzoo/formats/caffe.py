"""Caffe's two files: a .prototxt, the layers as text, and a .caffemodel, their weights in protobuf's bytes.

https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto says what the fields mean. A layer's
weights are found by its name.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np

from modelzoo.formats import protobuf
from modelzoo.formats.commented import comments

NAME, LAYER = 1, 100  # fields of NetParameter
LAYER_NAME, LAYER_TYPE, LAYER_BLOBS = 1, 2, 7  # of LayerParameter
BLOB_DATA, BLOB_SHAPE = 5, 7  # of BlobProto
LARGEST = 2**31 - 1  # bytes of a message
FLOAT32 = np.dtype("<f4")

Parameters: TypeAlias = (
    "Mapping[str, bool | int | float | str | Sequence[int] | Parameters]"  # a str is an enum's
)


@dataclass(frozen=True)
class Blob:
    """Weights of a layer; the array is asked for once, when it is written."""

    shape: tuple[int, ...]
    array: Callable[[], np.ndarray]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * FLOAT32.itemsize


@dataclass(frozen=True)
class Layer:
    """A layer: what it takes (bottoms) and gives (tops), its parameters in their message, and its weights."""

    name: str
    kind: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    parameters: Parameters = field(default_factory=dict)
    blobs: tuple[Blob, ...] = ()


def write_prototxt(path: Path, name: str, layers: Sequence[Layer], texts: Mapping[str, str]) -> None:
    """Writes the layers; texts are comments before them."""
    lines = comments(texts)
    lines.append(f"name: {json.dumps(name)}")
    for layer in layers:
        facts = [f"name: {json.dumps(layer.name)}", f'type: "{layer.kind}"']
        facts += [f"bottom: {json.dumps(bottom)}" for bottom in layer.bottoms]
        facts += [f"top: {json.dumps(top)}" for top in layer.tops]
        lines += ["layer {", *(f"  {fact}" for fact in (*facts, *_lines(layer.parameters))), "}"]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def _lines(parameters: Parameters) -> Iterator[str]:
    """The fields of a message as text."""
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            yield f"{name} {{"
            yield from (f"  {line}" for line in _lines(value))
            yield "}"
        elif isinstance(value, bool):
            yield f"{name}: {str(value).lower()}"
        elif isinstance(value, (str, int, float)):
            yield f"{name}: {value}"
        else:
            yield from (f"{name}: {number}" for number in value)


def write_caffemodel(file: BinaryIO, name: str, layers: Sequence[Layer]) -> None:
    """Writes the weights, one at a time. Raises ValueError for more than 2 GiB, and for wrong arrays."""
    weighted = [layer for layer in layers if layer.blobs]
    size = sum(blob.bytes for layer in weighted for blob in layer.blobs)
    if size > LARGEST:
        raise ValueError(f"Expected weights of at most 2 GiB for Caffe, got {size / 2**30:.1f} GiB.")
    file.write(protobuf.field(NAME, name.encode()))
    for layer in weighted:
        heads = [_head(blob) for blob in layer.blobs]
        facts = protobuf.field(LAYER_NAME, layer.name.encode())
        facts += protobuf.field(LAYER_TYPE, layer.kind.encode())
        length = len(facts) + sum(map(len, heads)) + sum(blob.bytes for blob in layer.blobs)
        file.write(_tag(LAYER) + protobuf.varint(length) + facts)
        for head, blob in zip(heads, layer.blobs, strict=True):
            array = np.ascontiguousarray(blob.array(), FLOAT32)
            if array.nbytes != blob.bytes:
                raise ValueError(
                    f"Expected weights of shape {blob.shape} in {layer.name!r}, got {array.shape}."
                )
            file.write(head)
            file.write(array.reshape(-1).view(np.uint8).data)


def _tag(number: int) -> bytes:
    return protobuf.varint(number << 3 | protobuf.LENGTH)


def _head(blob: Blob) -> bytes:
    """What comes before the values of a blob, the lengths included."""
    sides = b"".join(protobuf.varint(side) for side in blob.shape)
    facts = (
        protobuf.field(BLOB_SHAPE, protobuf.field(1, sides)) + _tag(BLOB_DATA) + protobuf.varint(blob.bytes)
    )
    return _tag(LAYER_BLOBS) + protobuf.varint(len(facts) + blob.bytes) + facts


def read_caffemodel(path: Path) -> Iterator[tuple[str, list[np.ndarray]]]:
    """The name and the weights of each layer that has some, one layer at a time.

    Raises OSError, and ValueError for what is no .caffemodel of layers in this form (since 2014).
    """
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    for number, layer in protobuf.fields(memoryview(mapped)):
        if number == LAYER and not isinstance(layer, int):
            parts = list(protobuf.fields(layer))
            names = [
                bytes(part).decode() for n, part in parts if n == LAYER_NAME and not isinstance(part, int)
            ]
            blobs = [_blob(part) for n, part in parts if n == LAYER_BLOBS and not isinstance(part, int)]
            if blobs:
                yield "".join(names), blobs


def _blob(message: memoryview) -> np.ndarray:
    sides: list[int] = []
    values = np.empty(0, FLOAT32)
    for number, part in protobuf.fields(message):
        if number == BLOB_SHAPE and not isinstance(part, int):
            sides = [side for _, packed in protobuf.fields(part) for side in _packed(packed)]
        elif number == BLOB_DATA and not isinstance(part, int):
            values = np.frombuffer(part, FLOAT32)
    if math.prod(sides) != values.size:
        raise ValueError(f"expected {math.prod(sides)} values of a blob, got {values.size}")
    return values.reshape(sides)


def _packed(part: int | memoryview) -> list[int]:
    return [part] if isinstance(part, int) else list(protobuf.varints(part))
