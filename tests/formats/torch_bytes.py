"""torch files of the old kind and pickles of any kind, byte by byte: what torch would not write, too."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from modelzoo.formats.torch_files import MAGIC

PROTOCOL, STOP = b"\x80\x02", b"."
ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


class View(NamedTuple):
    """A tensor as torch stores it: a view of the float32 values of a storage."""

    storage: np.ndarray
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    content = value.to_bytes(16, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(key: str, view: View, *, count: int | None = None, view_of: bytes = b"N") -> bytes:
    """A tensor whose storage claims `count` values, by default those that it has."""
    size = number(len(view.storage) if count is None else count)
    storage = (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + size + view_of + b"tQ"
    )
    place = number(view.offset) + numbers(view.shape) + numbers(view.strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + place + b"\x89" + ORDERED_DICT + b"tR"


def state(items: Mapping[str, bytes]) -> bytes:
    """A state dict of pickled values, without the end of a pickle."""
    return ORDERED_DICT + b"(" + b"".join(text(name) + value for name, value in items.items()) + b"u"


def legacy(value: bytes, storages: Mapping[str, np.ndarray], *, little_endian: bool = True) -> bytes:
    """A file from before torch 1.6 with the pickled value."""
    magic = b"\x8a\x0a" + MAGIC.to_bytes(10, "little")
    machine = b"}(" + text("little_endian") + (b"\x88" if little_endian else b"\x89") + b"u"
    keys = b"](" + b"".join(map(text, storages)) + b"e"
    pickles = [PROTOCOL + part + STOP for part in (magic, b"M\xe9\x03", machine, value, keys)]
    return b"".join([*pickles, *(struct.pack("<q", len(v)) + v.tobytes() for v in storages.values())])


def legacy_of(views: Mapping[str, View]) -> bytes:
    """A file from before torch 1.6 with these tensors, each in a storage of its own."""
    items = {name: tensor(str(key), view) for key, (name, view) in enumerate(views.items())}
    return legacy(state(items), {str(key): view.storage for key, view in enumerate(views.values())})
