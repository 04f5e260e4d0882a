"""Limits for untrusted HDF5 files: only what lies in the file is read, and never more than the file's size.

HDF5 can link to other files, keep values there, unpack a few bytes into terabytes and load code to do so.
Nothing of that is followed: a dataset is accepted if its values lie in the file one after the other, as many
as its shape says. What is refused raises ValueError with the reason.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import h5py
import numpy as np

from modelzoo.errors import ModelZooError

MAX_NAME_BYTES = 4096
MAX_NAMES = 100_000  # of one list, and of all layers or weights of a file
MAX_NAMES_BYTES = 2**24  # of one list; an attribute as HDF5 usually keeps it has at most 64 KiB
MAX_STRINGS_BYTES = 2**29  # of a list whose strings have lengths of their own: as many times the longest one
NUMERIC = "fiub"  # NumPy's kinds: floating-point, signed, unsigned, boolean
# A global heap (HDF5 File Format Specification, III.E) holds the strings that have a length of their own.
LOOKED_THROUGH = 1 << 24  # bytes of a file at a time
HEAP_START = b"GCOL\x01"
HEAP_HEADER, HEAP_OBJECT = struct.Struct("<5s3xQ"), struct.Struct("<HHIQ")
HEAP_FREE = 0  # the index of the object that is the free space; its size counts its header
MAX_HEAP_OBJECTS = 2**16  # of one file; Keras' have four
Kind = TypeVar("Kind", h5py.Group, h5py.Dataset)
ELSEWHERE = "the values of {!r} do not lie in the file one after the other, as many as its shape says"


@contextmanager
def refused_as(error: type[ModelZooError], what: str) -> Generator[None]:
    """What h5py and this module raise becomes one sentence: `what` and the reason."""
    try:
        yield
    except (ModelZooError, MemoryError):
        raise
    except Exception as cause:  # of h5py's, on damaged files: nearly every built-in error
        reason = (str(cause).splitlines() or [type(cause).__name__])[0].rstrip(".")
        raise error(f"{what}: {reason}.") from cause


def member(group: h5py.Group, name: str, kind: type[Kind]) -> Kind:
    """What lies at `name` inside the file: no link may lead elsewhere, into another file least of all."""
    found: Any = group
    for part in name.strip("/").split("/"):
        link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
        if link is None:
            raise ValueError(f"{group.name} names {name!r}, which is not there")
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{name!r} is a link to elsewhere")
        found = found[part]
    if not isinstance(found, kind):
        raise ValueError(f"{name!r} is not a {kind.__name__.lower()}")
    if isinstance(found, h5py.Dataset):
        _require_plain(name, found)
    return found


def has(group: object, name: str) -> bool:
    """Whether there is a link of this name; h5py's `in` would open the file that it may lead to."""
    if not isinstance(group, h5py.Group):
        return False
    links: Any = group
    return links.get(name, getlink=True) is not None


def _require_plain(name: str, dataset: h5py.Dataset) -> None:
    if dataset.dtype.kind not in NUMERIC:
        raise ValueError(f"{name!r} is not numeric")
    shape, place = dataset.shape, dataset.id
    size = math.prod(shape) * dataset.dtype.itemsize if shape is not None else None
    plan = place.get_create_plist()
    inside = plan.get_layout() == h5py.h5d.CONTIGUOUS and not plan.get_external_count()
    if not inside or size is None or size != place.get_storage_size():
        raise ValueError(ELSEWHERE.format(name))
    if size and place.get_offset() + size > dataset.file.id.get_filesize():
        raise ValueError(ELSEWHERE.format(name))


def text(item: h5py.Group, attribute: str) -> str:
    """The string in an attribute; "" if there is none."""
    if attribute not in item.attrs:
        return ""
    found = h5py.h5a.open(item.id, attribute.encode())
    kind = h5py.check_string_dtype(found.dtype)
    if found.shape != () or kind is None or (kind.length or 0) > MAX_NAMES_BYTES:
        raise ValueError(f"the attribute {attribute!r} is not a string")
    if kind.length is None:
        _longest_string(item.file)
    value: Any = item.attrs[attribute]
    return _decoded(value)


def names(item: h5py.Group, attribute: str) -> list[str]:
    """The strings in an attribute."""
    found = h5py.h5a.open(item.id, attribute.encode())
    shape: tuple[int, ...] | None = found.shape
    if shape is not None and math.prod(shape) == 0:
        return []  # of any type: Keras writes an empty list as one of floats
    kind = h5py.check_string_dtype(found.dtype)
    if kind is None or shape is None or len(shape) != 1:
        raise ValueError(f"the attribute {attribute!r} is not a list of strings")
    if shape[0] > MAX_NAMES:
        raise ValueError(f"the attribute {attribute!r} has more than {MAX_NAMES} strings")
    length, longest, most = kind.length, MAX_NAME_BYTES, MAX_NAMES_BYTES
    if length is None:  # each may stand for the longest string in the file, such as the model's configuration
        length, longest, most = _longest_string(item.file), math.inf, MAX_STRINGS_BYTES
    if length > longest or shape[0] * length > most:
        raise ValueError(f"the attribute {attribute!r} claims {shape[0]} strings of {length} bytes")
    value: Any = item.attrs[attribute]
    return [_decoded(name) for name in value]


class Place(NamedTuple):
    """Where a weight lies, and what it is. HDF5 needs 13 KB for each dataset that is held open: none is."""

    layer: str
    weight: str
    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self, root: h5py.Group) -> np.ndarray:
        """The values, from the group in which it was found to be sound."""
        found = h5py.h5d.open(root.id, f"{self.layer.strip('/')}/{self.weight.strip('/')}".encode())
        return np.asarray(h5py.Dataset(found)[()])


Lister = Callable[[h5py.Group, str], Iterable[str]]


def layers(root: h5py.Group, listed: Lister = names) -> Iterator[tuple[str, list[Place]]]:
    """Each layer and its weights, as the attributes `layer_names` and `weight_names` list them."""
    layers = weights = length = 0
    for layer in listed(root, "layer_names"):
        group = member(root, layer, h5py.Group)
        found = list(islice(listed(group, "weight_names"), MAX_NAMES + 1))
        layers, weights = layers + 1, weights + len(found)
        length += sum(len(layer) + len(weight) for weight in found)
        if max(layers, weights) > MAX_NAMES:
            raise ValueError(f"it has more than {MAX_NAMES} layers or weights")
        if length > MAX_NAMES_BYTES:
            raise ValueError(f"the names of its weights have more than {MAX_NAMES_BYTES} bytes")
        yield layer, [_place(group, layer, weight) for weight in found]


def _place(group: h5py.Group, layer: str, weight: str) -> Place:
    dataset = member(group, weight, h5py.Dataset)
    return Place(layer, weight, dataset.shape, dataset.dtype)


def _longest_string(file: h5py.File) -> int:
    """The bytes of the largest object in the global heaps, which are sound."""
    if file.id.get_create_plist().get_sizes() != (8, 8):
        raise ValueError("its addresses and sizes do not have 8 bytes")
    state = os.stat(file.filename)
    return _longest_in(file.filename, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=16)
def _longest_in(path: str, _size: int, _changed: int) -> int:
    """HDF5 1.14 hangs at a heap that has an object of no size: they are checked first."""
    longest = objects = 0
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for heap in _heap_starts(data):
            for size in _heap_objects(data, heap):
                longest, objects = max(longest, size), objects + 1
                if objects > MAX_HEAP_OBJECTS:
                    raise ValueError(f"its global heaps have more than {MAX_HEAP_OBJECTS} objects")
    return longest


def _heap_starts(data: mmap.mmap) -> Iterator[int]:
    """Where heaps may begin. What was looked through is given back, or all of a large file stays mapped."""
    for begin in range(0, len(data), LOOKED_THROUGH):
        end = min(begin + LOOKED_THROUGH + len(HEAP_START) - 1, len(data))
        heap = data.find(HEAP_START, begin, end)
        while heap >= 0:
            yield heap
            heap = data.find(HEAP_START, heap + 1, end)
        if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
            data.madvise(mmap.MADV_DONTNEED, begin, end - begin)


def _heap_objects(data: mmap.mmap, heap: int) -> Iterator[int]:
    """The sizes of a heap's objects; none if it is not a heap, as its own size shows."""
    size = HEAP_HEADER.unpack_from(data, heap)[1] if heap + HEAP_HEADER.size <= len(data) else len(data)
    at, end = heap + HEAP_HEADER.size, heap + size
    while end <= len(data) and at + HEAP_OBJECT.size <= end:
        index, _, _, length = HEAP_OBJECT.unpack_from(data, at)
        taken = length if index == HEAP_FREE else HEAP_OBJECT.size + -(-length // 8) * 8
        if not HEAP_OBJECT.size <= taken <= end - at:
            raise ValueError("an object in a global heap goes beyond it, or nowhere")
        yield 0 if index == HEAP_FREE else length
        at += taken


def _decoded(value: str | bytes) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def check_plain(path: os.PathLike[str]) -> None:
    """Raises ValueError unless all datasets of the file lie in it as `member` wants them, by hard links only.

    What another library will read is looked at first: it may follow what is refused here.
    """
    with h5py.File(path, "r") as file:
        open_groups: list[h5py.Group] = [file]
        seen = 0
        while open_groups:
            group = open_groups.pop()
            for name in group:
                seen += 1
                if seen > MAX_NAMES:
                    raise ValueError(f"it has more than {MAX_NAMES} groups and datasets")
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise ValueError(f"{name!r} is a link to elsewhere")
                found: Any = group[name]
                if isinstance(found, h5py.Group):
                    open_groups.append(found)
                else:
                    member(group, name, h5py.Dataset)
