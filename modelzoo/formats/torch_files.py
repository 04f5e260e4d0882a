"""The two kinds of files that torch.save writes: which value they hold, and where their tensors lie."""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from modelzoo.errors import quoted
from modelzoo.formats.pickles import PlainObject, Reader, RefusedPickle, checked_pairs, read_pickle
from modelzoo.formats.tensors import BFLOAT16, MAX_DIMENSIONS, Stored, first_bytes, stored_dtype

STORAGE_TYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
LEGACY_START = b"\x80\x02\x8a\x0a" + MAGIC.to_bytes(10, "little")
ZIP_START = b"PK\x03\x04"
LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, then the lengths of the name and of what follows it
LONGEST_NAME = 512  # bytes, of an archive's first member
PICKLE = "data.pkl"  # the member that holds the state dict, in the archive's one folder
CONSTANTS = "constants.pkl"  # beside it in a TorchScript archive
MAX_STORAGES = 1_000_000  # an optimizer's beside those of the tensors


@dataclass(frozen=True, eq=False)
class Storage:
    """Values in a row."""

    key: str
    type: str  # NumPy's, or BFLOAT16
    count: int


class TensorView(NamedTuple):
    """A tensor: every `strides[d]`-th value of a storage along dimension d, from `offset` on."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def span(self) -> int:
        """How many values in a row it covers, those that it passes by included."""
        if 0 in self.shape:
            return 0
        return sum((n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True)) + 1


@dataclass(frozen=True)
class StoredView(Stored):
    """A stored array whose values lie in another order than C's, or apart."""

    strides: tuple[int, ...]  # in values
    span: int  # values in a row

    def raw(self, file: BinaryIO) -> np.ndarray:
        file.seek(self.offset)
        row = np.fromfile(file, stored_dtype(self.type), self.span)
        if len(row) < self.span or not self.span:
            return row[:0]
        steps = tuple(stride * row.itemsize for stride in self.strides)
        return np.lib.stride_tricks.as_strided(row, self.shape, steps, writeable=False).flatten()


@dataclass
class _Storages:
    """The storages that a pickle spoke of, by key."""

    by_key: dict[str, Storage] = field(default_factory=dict)

    def find(self, id: Any) -> Storage:
        """The storage of a persistent id: "storage", type, key, device, count, and maybe None."""
        if (
            not isinstance(id, tuple)
            or len(id) not in (5, 6)
            or id[0] != "storage"
            or id[5:] not in ((), (None,))
        ):
            raise RefusedPickle("it refers to something else than a whole storage")
        _, type, key, _, count = id[:5]
        if not (isinstance(type, _StorageType) and isinstance(key, str) and _is_count(count)):
            raise RefusedPickle("it refers to a storage without a type, key and size")
        known = self.by_key.setdefault(key, Storage(key, type.dtype, count))
        if (known.type, known.count) != (type.dtype, count):
            raise RefusedPickle(f"it gives storage {quoted(key)} two sizes or types")
        if len(self.by_key) > MAX_STORAGES:
            raise RefusedPickle(f"expected at most {MAX_STORAGES} storages")
        return known


class _StorageType(NamedTuple):
    """What torch.FloatStorage and its siblings stand for; it can only be spoken of."""

    dtype: str


def _ordered_dict(*arguments: Any) -> dict[str | int, Any]:
    pairs = arguments[0] if arguments else ()  # Python 2 gives them at once
    if len(arguments) > 1 or not _is_pairs(pairs):
        raise RefusedPickle("expected pairs of keys and values for an OrderedDict")
    return checked_pairs(pairs)


def _is_pairs(value: Any) -> bool:
    kinds = (list, tuple)
    return isinstance(value, kinds) and all(isinstance(pair, kinds) and len(pair) == 2 for pair in value)


def _tensor(*arguments: Any) -> TensorView:
    """A tensor: storage, offset, shape and strides; what follows says whether it has gradients."""
    given: tuple[Any, ...] = (*arguments[:4], *[None] * (4 - len(arguments)))
    storage, offset, shape, strides = given
    whole = _is_count(offset) and _is_shape(shape) and _is_shape(strides)
    if not isinstance(storage, Storage) or not whole:
        raise RefusedPickle("a tensor has no storage, offset, shape and strides")
    if len(shape) != len(strides):
        raise RefusedPickle(f"a tensor has {len(shape)} dimensions and {len(strides)} strides")
    steps = tuple(stride if side > 1 else 0 for side, stride in zip(shape, strides, strict=True))
    tensor = TensorView(storage, offset, shape, steps)
    if math.prod(shape) > storage.count or (tensor.span and offset + tensor.span > storage.count):
        raise RefusedPickle(
            f"a tensor of shape {quoted(shape)} and strides {quoted(strides)} at {offset} lies outside its "
            f"storage of {storage.count} values"
        )
    return tensor


def _parameter(*arguments: Any) -> TensorView:
    if not arguments or not isinstance(arguments[0], TensorView):
        raise RefusedPickle("a parameter has no tensor")
    return arguments[0]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 2**63


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) <= MAX_DIMENSIONS and all(map(_is_count, value))


def _counter(*arguments: Any) -> dict[str | int, Any]:
    """What a scheduler of learning rates keeps of its milestones."""
    (counts,) = arguments or ({},)
    if not isinstance(counts, dict):
        raise RefusedPickle("expected a dict for a Counter")
    return counts


def _namespace(*arguments: Any) -> dict[str | int, Any]:
    """The options of the program that trained, in which no tensors are looked for."""
    if arguments:
        raise RefusedPickle("expected nothing for a Namespace")
    return {}


MEANINGS: Mapping[str, Any] = {
    "argparse.Namespace": PlainObject(_namespace),
    "collections.Counter": _counter,
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,  # before torch 0.4
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    **{f"torch.{name}": _StorageType(dtype) for name, dtype in STORAGE_TYPES.items()},
}

Place = Callable[[TensorView], Stored]


def read_legacy(file: BinaryIO) -> tuple[Any, Place]:
    """The value of a file from before torch 1.6, and where each of its tensors lies."""
    if file.read(len(LEGACY_START)) != LEGACY_START:
        raise RefusedPickle("it starts neither as torch's zip files nor as its older ones do")
    file.seek(0)
    reader, storages = Reader(file), _Storages()

    def value(what: str, kind: type) -> Any:
        found = read_pickle(reader, MEANINGS, storages.find)
        if not isinstance(found, kind):
            raise RefusedPickle(f"expected {what}, got {type(found).__name__}")
        return found

    if value("torch's magic number", int) != MAGIC or value("a version", int) != VERSION:
        raise RefusedPickle("it does not start as torch's files do")
    if value("facts about the machine", dict).get("little_endian") is not True:
        raise RefusedPickle("expected little-endian values")
    state, keys = value("a value", object), value("a list of storages", list)
    offsets = {}
    for key in keys:
        storage = storages.by_key.get(key) if isinstance(key, str) else None
        if storage is None:
            raise RefusedPickle(f"nothing says what type storage {quoted(key)} has")
        count = reader.number("q")
        if count != storage.count:
            raise RefusedPickle(f"expected {storage.count} values for storage {quoted(key)}, got {count}")
        offsets[key] = reader.skip(count * stored_dtype(storage.type).itemsize)
    return state, lambda tensor: _placed(tensor, offsets.get(tensor.storage.key))


def read_zip(file: BinaryIO) -> tuple[Any, Place]:
    """The value of a file since torch 1.6, and where each of its tensors lies."""
    storages = _Storages()
    folder, members = _members(file)
    if folder + CONSTANTS in members:
        raise RefusedPickle(
            "it is a TorchScript archive, which holds a program: load it in torch, and save what its "
            "state_dict() returns"
        )
    order = folder + "byteorder"
    if order in members and _content(file, members[order]) != b"little":
        raise RefusedPickle("expected little-endian values")
    start, size = _place(file, members[folder + PICKLE])
    file.seek(start)
    value = read_pickle(Reader(file, start + size), MEANINGS, storages.find)

    def place(tensor: TensorView) -> Stored:
        storage, name = tensor.storage, f"{folder}data/{tensor.storage.key}"
        if name not in members:
            return _placed(tensor, None)
        offset, size = _place(file, members[name])
        if size != storage.count * stored_dtype(storage.type).itemsize:
            raise RefusedPickle(
                f"storage {quoted(storage.key)} has {size} bytes, not its {storage.count} values"
            )
        return _placed(tensor, offset)

    return value, place


def _members(file: BinaryIO) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    """The folder in which the pickle lies, ending in a slash, and the members by name."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = {info.filename: info for info in archive.infolist()}
    except Exception as error:  # on damaged archives zipfile raises half a dozen kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise RefusedPickle(f"{reason}; it may be truncated or damaged") from error
    folders = [name.removesuffix(PICKLE) for name in members if name.endswith("/" + PICKLE)]
    folders = [folder for folder in folders if folder.count("/") == 1]
    if len(folders) != 1:
        raise RefusedPickle(f"expected one {PICKLE} in it, got {len(folders)}")
    return folders[0], members


def _place(file: BinaryIO, info: zipfile.ZipInfo) -> tuple[int, int]:
    """Offset and bytes of a member's content; raises RefusedPickle if it is packed or not all there."""
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise RefusedPickle(
            f"its member {quoted(info.filename)} is compressed or encrypted, which torch does not do"
        )
    file.seek(0, 2)
    end = file.tell()
    if not 0 <= info.header_offset <= end - LOCAL_HEADER.size:
        raise RefusedPickle(f"its member {quoted(info.filename)} lies outside the file")
    file.seek(info.header_offset)
    signature, name, extra = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
    start = info.header_offset + LOCAL_HEADER.size + name + extra
    if signature != ZIP_START or start + info.file_size > end:
        raise RefusedPickle(f"its member {quoted(info.filename)} is truncated or damaged")
    return start, info.file_size


def _content(file: BinaryIO, info: zipfile.ZipInfo) -> bytes:
    """The first bytes of a small member."""
    start, size = _place(file, info)
    file.seek(start)
    return file.read(min(size, LONGEST_NAME)).strip()


def _placed(tensor: TensorView, start: int | None) -> Stored:
    if start is None:
        raise RefusedPickle(f"the values of storage {quoted(tensor.storage.key)} are missing")
    offset = start + tensor.offset * stored_dtype(tensor.storage.type).itemsize
    if _is_c_order(tensor.shape, tensor.strides):
        return Stored(offset, tensor.shape, tensor.storage.type)
    return StoredView(offset, tensor.shape, tensor.storage.type, tensor.strides, tensor.span)


def _is_c_order(shape: Sequence[int], strides: Sequence[int]) -> bool:
    step = 1
    for side, stride in zip(reversed(shape), reversed(strides), strict=True):
        if side > 1 and stride != step:
            return False
        step *= side
    return True


def is_torch_zip(path: Path) -> bool:
    """Whether this is an archive of torch's: its first member is NAME/data.pkl."""
    start = first_bytes(path, LOCAL_HEADER.size + LONGEST_NAME)
    if not start.startswith(ZIP_START) or len(start) < LOCAL_HEADER.size:
        return False
    length = LOCAL_HEADER.unpack_from(start)[1]
    name = start[LOCAL_HEADER.size : LOCAL_HEADER.size + length]
    return name.endswith(b"/" + PICKLE.encode()) and name.count(b"/") == 1
