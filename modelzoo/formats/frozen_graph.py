"""Frozen TensorFlow graphs, .pb: a GraphDef in which constants stand for the variables, under their names.

The messages are those of tensorflow/core/framework: graph.proto, node_def.proto, attr_value.proto,
tensor.proto.
A graph has other constants, too (axes, shapes): a variable's is the one that an operation reads which
TensorFlow made of the variable, NAME/read, or NAME/Read/ReadVariableOp and the like.
"""

from __future__ import annotations

import math
import mmap
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from modelzoo.errors import ConversionError
from modelzoo.formats.checkpoint_tensors import TYPES, require_few, shape_of
from modelzoo.formats.protobuf import LENGTH, Message, fields, first_fields
from modelzoo.formats.tensors import (
    BFLOAT16,
    MAX_NAME_BYTES,
    MAX_NAMES_BYTES,
    TensorInfo,
    Tensors,
    as_conversion_error,
    first_bytes,
    stored_bytes,
    stored_dtype,
)

KIND = "a frozen TensorFlow graph"
MAX_NODES = 2**17
NODE, NAME, OP, INPUT, ATTRIBUTE = 1, 1, 2, 3, 5  # numbers of fields
KEY, VALUE, TENSOR = 1, 2, 8
DTYPE, SHAPE, CONTENT, FLOATS = 1, 2, 4, 5
FLOAT = 1  # the type whose values may also lie in FLOATS
START_BYTES = 2**16  # in which the first operation's name and kind lie
OPERATION = re.compile(rb"[A-Z][A-Za-z0-9_>]*")
READS = re.compile(r"(.+?)(/read|(/Read[^/]*|/[^/]*)?/ReadVariableOp(_\d+)?)")


class _Constant(NamedTuple):
    content: memoryview  # as many values as the shape says, or one for all
    shape: tuple[int, ...]
    type: str

    @property
    def info(self) -> TensorInfo:
        dtype = np.dtype(np.float32 if self.type == BFLOAT16 else self.type)
        return TensorInfo(self.shape, dtype.newbyteorder("="))

    def array(self) -> np.ndarray:
        raw = np.frombuffer(self.content, stored_dtype(self.type))
        if self.type == BFLOAT16:
            raw = (raw.astype(np.uint32) << 16).view(np.float32)
        size = math.prod(self.shape)
        raw = np.repeat(raw, size) if len(raw) == 1 else raw.copy()
        return raw.astype(self.info.dtype, copy=False).reshape(self.shape)


class FrozenGraph(Tensors):
    """The constants that stand for variables."""

    def __init__(self, path: Path):
        with as_conversion_error(f"{path} cannot be read as {KIND}"), path.open("rb") as file:
            self._memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._constants = _variables(memoryview(self._memory))
        super().__init__(path, {name: constant.info for name, constant in self._constants.items()})

    def _read(self, name: str) -> np.ndarray:
        if not self._constants:
            raise ConversionError(f"{self.path} is closed; read its tensors inside the `with` statement.")
        return self._constants[name].array()

    def close(self) -> None:
        self._constants = {}
        self._memory.close()


def is_frozen_graph(path: Path) -> bool:
    """Whether the file starts as a graph does: with an operation, of which first the name, then the kind."""
    start = first_bytes(path, START_BYTES)
    return is_graph(start) if path.is_file() else False


def is_graph(start: bytes) -> bool:
    """Whether these are the first bytes of a GraphDef."""
    first = next(iter(first_fields(start, 1)), None)
    if first is None or first[:2] != (NODE, LENGTH) or not isinstance(first[2], bytes):
        return False
    names = first_fields(first[2], 2)
    if [field[:2] for field in names] != [(NAME, LENGTH), (OP, LENGTH)]:
        return False
    return isinstance(names[1][2], bytes) and OPERATION.fullmatch(names[1][2]) is not None


def _variables(graph: memoryview) -> dict[str, _Constant]:
    constants: dict[str, memoryview] = {}
    read: set[str] = set()
    length = 0
    for count, (number, node) in enumerate(fields(graph), 1):
        if number != NODE or isinstance(node, int):
            continue
        if count > MAX_NODES:
            raise ValueError(f"it has more than {MAX_NODES} operations")
        name, kind, source = _operation(node)
        length += len(name)
        if len(name) > MAX_NAME_BYTES or length > MAX_NAMES_BYTES:
            raise ValueError("the names of its operations are too long")
        if kind == "Const":
            constants[name] = node
        elif kind == "Identity" and READS.fullmatch(name):
            read.add(source.removesuffix(":0"))
    require_few(constants)
    most = len(graph)
    found = {name: _constant(node, most) for name, node in constants.items() if name in read}
    return {name: constant for name, constant in found.items() if constant is not None}


def _operation(node: memoryview) -> tuple[str, str, str]:
    """An operation's name, its kind and its first input; "" for what it does not have."""
    found: dict[int, str] = {}
    for number, value in fields(node):
        if number in (NAME, OP, INPUT) and not isinstance(value, int):
            found.setdefault(number, bytes(value[: MAX_NAME_BYTES + 1]).decode())
    return found.get(NAME, ""), found.get(OP, ""), found.get(INPUT, "")


def _constant(node: memoryview, most: int) -> _Constant | None:
    """A constant's values, of at most so many bytes; None where they are no numbers, or are not stated."""
    for number, attribute in fields(node):
        if number == ATTRIBUTE and not isinstance(attribute, int):
            pair = Message(attribute)
            if pair.bytes(KEY) == b"value":
                return _tensor(Message(Message(pair.bytes(VALUE)).bytes(TENSOR)), most)
    return None


def _tensor(tensor: Message, most: int) -> _Constant | None:
    type, shape = TYPES.get(tensor.integer(DTYPE)), shape_of(tensor.bytes(SHAPE))
    content = tensor.bytes(CONTENT)
    if not content and tensor.integer(DTYPE) == FLOAT:
        content = tensor.bytes(FLOATS)
    if type is None or not content:
        return None
    size, given = stored_bytes(shape, type), len(content)
    repeated = given == stored_bytes((), type) and size <= most  # stated once, for all places
    if given != size and not repeated:
        raise ValueError(f"a constant of shape {shape} has {given} bytes instead of {size}")
    return _Constant(content, shape, type)
