"""A .npy file that holds one dict of dicts of arrays, as np.save makes of one: {layer: {weight: array}}.

The dict is a pickle. It is read by carrying out the few instructions that such a dict needs (pickles.py); the
names of NumPy's that it gives stand for functions here, and all else is refused. The arrays stay in the
file until they are asked for.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from modelzoo.errors import quoted
from modelzoo.formats.pickles import Built, Content, Reader, RefusedPickle, read_pickle
from modelzoo.formats.tensors import MAX_DIMENSIONS, MAX_TENSORS, first_bytes

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 2**12
KINDS = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1", "O8", "O4", "O"}
OBJECT = "O"
NEWEST = "numpy.core.multiarray", "numpy._core.multiarray"  # where NumPy 1 and 2 have _reconstruct


@dataclass
class _Dtype(Built):
    kind: str
    order: str = "<"

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise RefusedPickle("a type of NumPy's has a state that no number's has")
        self.order = state[1]


class _Array(Built):
    shape: tuple[int, ...]
    dtype: _Dtype
    fortran: bool
    content: Any

    def set_state(self, state: Any) -> None:
        match state:
            case (int(), tuple(shape), _Dtype() as dtype, fortran, content):
                pass
            case _:
                raise RefusedPickle("an array has a state that no array has")
        if len(shape) > MAX_DIMENSIONS or any(type(side) is not int or side < 0 for side in shape):
            raise RefusedPickle("an array has a shape that no array has")
        self.shape, self.dtype, self.fortran, self.content = shape, dtype, bool(fortran), content


@dataclass(frozen=True)
class StoredArray:
    """An array in the file."""

    path: Path
    shape: tuple[int, ...]
    type: str
    fortran: bool
    content: Content | bytes

    def array(self) -> np.ndarray:
        """The values, in memory of their own."""
        if isinstance(self.content, bytes):
            raw = self.content
        else:
            with self.path.open("rb") as file:
                raw = self.content.read(file)
        found = np.frombuffer(raw, self.type)
        if len(found) != math.prod(self.shape):
            raise RefusedPickle(f"an array of shape {self.shape} has {len(found)} values")
        return np.array(found.reshape(self.shape, order="F" if self.fortran else "C"), order="C")


def read_npy_dict(path: Path) -> dict[str, StoredArray]:
    """The arrays by "layer/weight". Raises OSError, and ValueError for another file or a damaged one."""
    with path.open("rb") as file:
        _read_header(file)
        reader = Reader(file)
        meanings = {f"{module}._reconstruct": _reconstruct for module in NEWEST}
        meanings |= {"numpy.ndarray": _no_call, "numpy.dtype": _dtype, "_codecs.encode": _encoded}
        value = read_pickle(reader, meanings, _no_call, arrays=True)
    if isinstance(value, _Array):
        value = value.content[0] if isinstance(value.content, list) and len(value.content) == 1 else None
    if not isinstance(value, dict):
        raise RefusedPickle("expected one dict of arrays")
    return dict(_arrays(path, value))


def _read_header(file: BinaryIO) -> None:
    """Raises ValueError unless this is one object that NumPy pickled."""
    start = file.read(8)
    if len(start) != 8 or not start.startswith(MAGIC) or start[6] not in (1, 2, 3):
        raise ValueError("it is not NumPy's")
    format = "<H" if start[6] == 1 else "<I"
    length = file.read(struct.calcsize(format))
    (count,) = struct.unpack(format, length) if len(length) == struct.calcsize(format) else (0,)
    header = file.read(min(count, LONGEST_HEADER))
    if b"'O'" not in header and b"'|O'" not in header:
        raise ValueError("it holds an array of numbers, and no dict")


def _reconstruct(kind: Any, shape: Any, type: Any) -> _Array:
    return _Array()


def _dtype(kind: Any, *options: Any) -> _Dtype:
    text = _text(kind)
    if text is None or text not in KINDS:
        raise RefusedPickle(f"expected a type of numbers, got {quoted(kind)}")
    return _Dtype(text)


def _encoded(text: Any, encoding: Any = "latin1") -> Any:
    """Bytes that were written as a text, as Python 3 does for Python 2."""
    if isinstance(text, Content):
        return text
    if not isinstance(text, str):
        raise RefusedPickle("it encodes something that is no text")
    try:
        return text.encode("latin-1").decode("latin-1")
    except UnicodeError as error:
        raise RefusedPickle("bytes that are written as a text have other characters") from error


def _no_call(*arguments: Any) -> Any:
    raise RefusedPickle("it makes an object that no dict of arrays needs")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _arrays(path: Path, value: Mapping[Any, Any]) -> Iterator[tuple[str, StoredArray]]:
    count = 0
    for layer, weights in value.items():
        if not isinstance(layer, str) or not isinstance(weights, dict):
            raise RefusedPickle(f"expected the weights of a layer by name, got {quoted(layer)}")
        for name, array in weights.items():
            count += 1
            if count > MAX_TENSORS:
                raise RefusedPickle(f"it has more than {MAX_TENSORS} arrays")
            if isinstance(name, str) and isinstance(array, _Array):
                yield f"{layer}/{name}", _stored(path, f"{layer}/{name}", array)


def _stored(path: Path, name: str, array: _Array) -> StoredArray:
    """Where an array lies, whose bytes are as many as its shape says."""
    if not hasattr(array, "content") or array.dtype.kind.startswith(OBJECT):
        raise RefusedPickle(f"{quoted(name)} is no array of numbers")
    content = array.content
    if isinstance(content, str):
        content = content.encode("latin-1", errors="replace")
    order = "<" if array.dtype.order in "|=" else array.dtype.order
    size = math.prod(array.shape) * np.dtype(array.dtype.kind).itemsize
    given = (
        content.length if isinstance(content, Content) else len(content) if isinstance(content, bytes) else -1
    )
    most = 2 * size if isinstance(content, Content) and content.is_text else size
    if not size <= given <= most:
        raise RefusedPickle(f"{quoted(name)} of shape {array.shape} has {given} bytes instead of {size}")
    return StoredArray(path, array.shape, order + array.dtype.kind, array.fortran, content)


def is_npy(path: Path) -> bool:
    """Whether the file begins as NumPy's do."""
    return first_bytes(path, len(MAGIC)) == MAGIC


# Writing: a pickle of protocol 3, which Python 3 reads; one array at a time.

HEADER = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
NDARRAY, DTYPE = b"cnumpy\nndarray\n", b"cnumpy\ndtype\n"
EMPTY = b"K\x00\x85C\x01b\x87R"  # (0,), b"b": what _reconstruct is called with before the state comes
FLOAT_STATE = b"(K\x03" + b"X\x01\x00\x00\x00<" + b"NNN" + b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
OBJECT_STATE = b"(K\x03" + b"X\x01\x00\x00\x00|" + b"NNN" + b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"


def write_npy_dict(path: Path, arrays: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes {layer: {weight: array}} in float32, as np.load(path, allow_pickle=True).item() reads it.

    Each value is a function that gives the array, which is asked for once.
    """
    padding = b" " * (-(10 + len(HEADER) + 1) % 64)
    with path.open("wb") as file:
        length = len(HEADER) + len(padding) + 1
        file.write(MAGIC + b"\x01\x00" + struct.pack("<H", length) + HEADER + padding + b"\n")
        file.write(b"\x80\x03" + RECONSTRUCT + NDARRAY + EMPTY + b"(K\x01)")
        file.write(DTYPE + _short("O8") + b"K\x00K\x01\x87R" + OBJECT_STATE + b"\x89](}(")
        for layer, weights in arrays.items():
            file.write(_short(layer) + b"}(")
            for name, array in weights.items():
                file.write(_short(name))
                file.writelines(_array_parts(np.ascontiguousarray(array(), "<f4")))
            file.write(b"u")
        file.write(b"uetb.")


def _array_parts(array: np.ndarray) -> Iterable[bytes | memoryview]:
    yield RECONSTRUCT + NDARRAY + EMPTY + b"(K\x01("
    yield b"".join(b"J" + struct.pack("<i", side) for side in array.shape) + b"t"
    yield DTYPE + _short("f4") + b"K\x00K\x01\x87R" + FLOAT_STATE + b"\x89"
    if array.nbytes >= 2**32:
        raise ValueError("Expected arrays of less than 4 GiB for a .npy file.")
    yield b"B" + struct.pack("<I", array.nbytes)
    yield array.reshape(-1).view(np.uint8).data
    yield b"tb"


def _short(text: str) -> bytes:
    content = text.encode()
    return b"X" + struct.pack("<I", len(content)) + content
