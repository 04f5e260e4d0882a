"""An upstream weight file as a mapping of tensor names, whose values are read one at a time.

Names, shapes and types are known as soon as a file is open; a conversion that reads a tensor, writes
it and forgets it needs the memory of one tensor. Nothing here knows what the tensors are for.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import struct
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import safe_open

from modelzoo.errors import SHOWN, ConversionError, some


@dataclass(frozen=True)
class TensorInfo:
    shape: tuple[int, ...]
    dtype: np.dtype  # of the array that read() returns


class Tensors(Mapping[str, TensorInfo]):
    """The tensors of one file by name; use it in a `with` statement, which closes the file."""

    def __init__(self, path: Path, infos: dict[str, TensorInfo]):
        self.path = path
        self._infos = infos

    def __getitem__(self, name: str) -> TensorInfo:
        return self._infos[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def __len__(self) -> int:
        return len(self._infos)

    def __enter__(self) -> Tensors:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def read(self, name: str) -> np.ndarray:
        """The values of one tensor, in memory of their own, with the shape and dtype of `self[name]`."""
        if name not in self._infos:
            similar = difflib.get_close_matches(name, self._infos, n=SHOWN, cutoff=0.0)
            raise ConversionError(
                f"{self.path} holds no tensor {name!r}; of its {len(self)} tensors, "
                f"the names most like it are {', '.join(map(repr, similar)) or '(none)'}."
            )
        return self._read(name)

    @abstractmethod
    def _read(self, name: str) -> np.ndarray: ...

    @abstractmethod
    def close(self) -> None: ...


# TensorFlow checkpoints: V1 is one file; V2 is PREFIX.index and PREFIX.data-00000-of-0000N.

# Both kinds of table end with this number (tensorflow/core/lib/io/format.h, kTableMagicNumber).
TABLE_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
PATTERN_CHARACTERS = set("*?[\\")  # load_checkpoint() has no way to escape them
CHECKPOINT_PART = re.compile(r"(?<=.)\.(index|meta|data-\d{5}-of-\d{5})$")
CHECKPOINT_STATE = re.compile(r'^\s*model_checkpoint_path:\s*"([^"]*)"', re.MULTILINE)


def open_tensorflow_checkpoint(path: Path) -> Tensors:
    """The variables of a checkpoint, V1 or V2.

    `path` is the checkpoint's prefix, any of its files, or a folder. In a folder, the file named
    `checkpoint` decides; without it, there must be exactly one checkpoint there or one level below.
    """
    prefix = _checkpoint_prefix(Path(path))
    _require_whole_checkpoint(prefix)
    return _TensorFlowTensors(prefix)


class _TensorFlowTensors(Tensors):
    def __init__(self, prefix: Path):
        import tensorflow as tf

        with _as_conversion_error(f"The TensorFlow checkpoint {prefix} cannot be opened"):
            self._reader: Any = tf.train.load_checkpoint(prefix.as_posix())
            dtypes = self._reader.get_variable_to_dtype_map()
            shapes = self._reader.get_variable_to_shape_map()
        super().__init__(
            prefix,
            {name: TensorInfo(tuple(shapes[name]), _native(dtypes[name])) for name in sorted(shapes)},
        )

    def _read(self, name: str) -> np.ndarray:
        if self._reader is None:
            raise ConversionError(f"{self.path} is closed; read its tensors inside the `with` statement.")
        with _as_conversion_error(f"Tensor {name!r} of {self.path} cannot be read"):
            return np.asarray(self._reader.get_tensor(name), dtype=self[name].dtype)

    def close(self) -> None:
        self._reader = None


def _native(dtype: Any) -> np.dtype:
    """The NumPy dtype of a TensorFlow one; bfloat16 and its like, which NumPy has not, become float32."""
    native = np.dtype(dtype.as_numpy_dtype)
    return np.dtype(np.float32) if native.isbuiltin == 2 else native


@contextmanager
def _as_conversion_error(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # TensorFlow's native readers raise OpError, but also IndexError and others
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
        raise ConversionError(f"{what}: {reason}; the file may be damaged, fetch it again.") from error


def _with_ending(prefix: Path, ending: str) -> Path:
    return prefix.with_name(prefix.name + ending)


def _checkpoint_prefix(path: Path) -> Path:
    if not path.is_dir():
        return path.with_name(CHECKPOINT_PART.sub("", path.name))
    return _only(path, "TensorFlow checkpoint", _checkpoints_in)


def _checkpoints_in(folder: Path) -> list[Path]:
    """The prefixes of the checkpoints that lie in a folder, or the one that its state file names."""
    state = folder / "checkpoint"
    if state.is_file():
        found = CHECKPOINT_STATE.search(state.read_text("utf-8", errors="replace"))
        if found:  # the folder may have moved since, also from Windows: only the base name holds
            return [folder / re.split(r"[/\\]", found.group(1))[-1]]
    files = [file for file in _visible(folder) if file.is_file()]
    prefixes = {
        file.with_name(CHECKPOINT_PART.sub("", file.name))
        for file in files
        if file.suffix in (".ckpt", ".index") or ".data-" in file.suffix or _ends_as_table(file)
    }
    return sorted(prefixes)


def _ends_as_table(file: Path) -> bool:
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - len(TABLE_MAGIC)))
        return stream.read() == TABLE_MAGIC


def _require_whole_checkpoint(prefix: Path) -> None:
    """Find what is wrong before TensorFlow does, whose messages name neither file nor remedy."""
    if set(prefix.as_posix()) & PATTERN_CHARACTERS:
        raise ConversionError(
            f"TensorFlow takes the path {prefix} for a pattern: rename what contains * ? [ or a backslash."
        )
    index, shards = _with_ending(prefix, ".index"), _shards(prefix)
    if index.is_file():
        table = index
        _require_shards(prefix, shards)
    elif prefix.is_file():
        table = prefix
    elif shards:
        raise ConversionError(f"The TensorFlow checkpoint {prefix} has data files but no {index.name}.")
    else:
        raise ConversionError(
            f"There is no TensorFlow checkpoint {prefix}: neither that file nor {index.name} exists."
        )
    if not _ends_as_table(table):
        raise ConversionError(
            f"{table} does not end as a TensorFlow checkpoint does: it is cut off, or another kind of file."
        )


def _shards(prefix: Path) -> list[Path]:
    if not prefix.parent.is_dir():
        return []
    name = re.compile(re.escape(prefix.name) + r"\.data-\d{5}-of-\d{5}")
    return [file for file in prefix.parent.iterdir() if name.fullmatch(file.name)]


def _require_shards(prefix: Path, shards: list[Path]) -> None:
    present = {file.name for file in shards}
    totals = {int(file.name[-5:]) for file in shards} or {1}
    missing: list[str] = []
    for total in sorted(totals):
        wanted = [f"{prefix.name}.data-{shard:05}-of-{total:05}" for shard in range(total)]
        missing = [name for name in wanted if name not in present]
        if not missing:
            return
    raise ConversionError(
        f"The TensorFlow checkpoint {prefix} lacks {some(missing)}; its data files belong beside its index."
    )


# MXNet .params: the list format of src/ndarray/ndarray.cc (NDArray::Save), little-endian throughout:
#   uint64 0x112, uint64 0, uint64 count, the arrays, uint64 count, the names (uint64 length, bytes).
# An array is a magic number, from V2 on an int32 storage type, int32 ndim, int64 dims, int32 device
# type and id, int32 element type, values. The oldest files have no magic number: uint32 ndim and dims.

MXNET_LIST_MAGIC = 0x112
MXNET_V1, MXNET_V2, MXNET_V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA  # V3: a shape () is a scalar
MXNET_STORAGE = {-1: "undefined", 0: "dense", 1: "row_sparse", 2: "csr"}
MXNET_TYPES = ["<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8", "?", "<i2", "<u2", "<u4", "<u8", "<u2"]
MXNET_BFLOAT16 = 12  # the last of them: the upper halves of float32 values
MODULE_PREFIX = re.compile(r"^(arg|aux):")
MAX_DIMENSIONS = 32  # NumPy 1's limit; a network has at most 5
MAX_NAME_BYTES = 4096


def open_mxnet_params(path: Path) -> Tensors:
    """The arrays of a .params file, without Module's prefixes `arg:` and `aux:`.

    `path` is the file, or a folder with exactly one .params file there or one level below.
    """
    path = Path(path)
    if path.is_dir():
        path = _only(path, "MXNet .params file", _params_in)
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConversionError(f"{path} cannot be opened: {error.strerror}.") from error
    try:
        return _StoredTensors(path, file, _scan_params(_Scanner(path, file)))
    except BaseException:
        file.close()
        raise


def _params_in(folder: Path) -> list[Path]:
    return [file for file in _visible(folder) if file.suffix == ".params" and file.is_file()]


@dataclass(frozen=True)
class _Stored:
    """Where the values of an array lie in its file, and as what."""

    offset: int  # bytes
    shape: tuple[int, ...]
    type: int  # an index into MXNET_TYPES

    @property
    def info(self) -> TensorInfo:
        dtype = np.float32 if self.type == MXNET_BFLOAT16 else MXNET_TYPES[self.type]
        return TensorInfo(self.shape, np.dtype(dtype).newbyteorder("="))


class _StoredTensors(Tensors):
    def __init__(self, path: Path, file: BinaryIO, stored: dict[str, _Stored]):
        super().__init__(path, {name: array.info for name, array in stored.items()})
        self._file = file
        self._stored = stored

    def _read(self, name: str) -> np.ndarray:
        if self._file.closed:
            raise ConversionError(f"{self.path} is closed; read its tensors inside the `with` statement.")
        stored, dtype = self._stored[name], self[name].dtype
        count = math.prod(stored.shape)
        self._file.seek(stored.offset)
        values = np.fromfile(self._file, MXNET_TYPES[stored.type], count)
        if len(values) != count:
            raise ConversionError(f"{self.path} became shorter while it was read; fetch it again.")
        if stored.type == MXNET_BFLOAT16:
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(dtype, copy=False).reshape(stored.shape)

    def close(self) -> None:
        self._file.close()


class _Scanner:
    """Goes through a file once, and compares every length with what is left of it before using it."""

    def __init__(self, path: Path, file: BinaryIO):
        self.path = path
        self._file = file
        self.offset = 0
        self._size = os.fstat(file.fileno()).st_size

    def numbers(self, format: str, what: str) -> tuple[int, ...]:
        return struct.unpack("<" + format, self.bytes(struct.calcsize("<" + format), what))

    def number(self, format: str, what: str) -> int:
        return self.numbers(format, what)[0]

    def bytes(self, count: int, what: str) -> bytes:
        self._advance(count, what)
        self._file.seek(self.offset - count)
        return self._file.read(count)

    def skip(self, count: int, what: str) -> int:
        """The offset of the next `count` bytes."""
        self._advance(count, what)
        return self.offset - count

    def _advance(self, count: int, what: str) -> None:
        left = self._size - self.offset
        if count > left:
            raise self.error(f"{what} should take {count} bytes and {left} are left, so the file is cut off")
        self.offset += count

    def require_end(self) -> None:
        if self.offset != self._size:
            raise self.error(f"{self._size - self.offset} bytes follow where it should end")

    def error(self, reason: str) -> ConversionError:
        return ConversionError(f"{self.path} cannot be read as an MXNet .params file: {reason}.")


def _scan_params(scan: _Scanner) -> dict[str, _Stored]:
    magic, _reserved = scan.numbers("QQ", "the header")
    if magic != MXNET_LIST_MAGIC:
        raise scan.error(f"it should start with {MXNET_LIST_MAGIC:#x} and starts with {magic:#x}")
    count = scan.number("Q", "the number of arrays")
    arrays = [_scan_array(scan, f"array {number} of {count}") for number in range(1, count + 1)]
    named = scan.number("Q", "the number of names")
    if named != count:
        raise scan.error(f"it holds {count} arrays and {named} names")
    names = [_scan_name(scan, f"name {number} of {count}") for number in range(1, count + 1)]
    scan.require_end()
    stored = dict(zip(names, arrays, strict=True))
    if len(stored) != len(names):
        double = sorted(name for name, times in Counter(names).items() if times > 1)
        raise scan.error(f"more than one array, counting `arg:` and `aux:`, is named {some(double)}")
    return stored


def _scan_array(scan: _Scanner, what: str) -> _Stored:
    shape = _scan_shape(scan, what)
    scan.numbers("ii", f"{what}, its device,")
    type = scan.number("i", f"{what}, its element type,")
    if not 0 <= type < len(MXNET_TYPES):
        raise scan.error(f"{what} has the element type {type}, and 0 to {len(MXNET_TYPES) - 1} are known")
    length = math.prod(shape) * np.dtype(MXNET_TYPES[type]).itemsize
    return _Stored(scan.skip(length, f"{what}, its values of shape {shape},"), shape, type)


def _scan_shape(scan: _Scanner, what: str) -> tuple[int, ...]:
    magic = scan.number("I", what)
    if magic in (MXNET_V2, MXNET_V3):
        storage = scan.number("i", f"{what}, its storage type,")
        if storage != 0:
            kind = MXNET_STORAGE.get(storage, f"unknown ({storage})")
            raise scan.error(f"{what} has the storage type {kind}, and only dense arrays can be converted")
    if magic in (MXNET_V1, MXNET_V2, MXNET_V3):
        dimensions, format = scan.number("i", f"{what}, its shape,"), "q"
    else:
        dimensions, format = magic, "I"
    if not 0 <= dimensions <= MAX_DIMENSIONS:
        raise scan.error(f"{what} starts with {magic:#x} and has {dimensions} dimensions, which no array has")
    if dimensions == 0 and magic != MXNET_V3:
        raise scan.error(f"{what} has no shape and no values")
    shape = scan.numbers(f"{dimensions}{format}", f"{what}, its shape,")
    if any(side < 0 for side in shape):
        raise scan.error(f"{what} has the shape {shape}, which no array has")
    return shape


def _scan_name(scan: _Scanner, what: str) -> str:
    length = scan.number("Q", what)
    if length > MAX_NAME_BYTES:
        raise scan.error(f"{what} should have {length} characters, and {MAX_NAME_BYTES} are the most")
    try:
        name = scan.bytes(length, what).decode("utf-8")
    except UnicodeDecodeError as error:
        raise scan.error(f"{what} is not UTF-8") from error
    return MODULE_PREFIX.sub("", name)


# Keras' .h5 files, of Keras 1 and 2: a group for each layer, a dataset for each weight, names in attributes.

MODEL_WEIGHTS = "model_weights"  # the group of the weights in a file that holds a whole model
TENSORFLOW_SUFFIX = re.compile(r":\d+$")


def open_keras_h5(path: Path) -> KerasTensors:
    """The weights in a Keras 1 or 2 .h5 file, of weights alone or of a whole model, as "layer/weight".

    The layer is the file's own name, which may hold slashes; the weight is the last part of its name,
    without TensorFlow's ":0". A layer that is a model itself has its weights under its own layers' names.
    """
    import h5py

    path = Path(path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ConversionError(f"{path} is not an HDF5 file that can be read; fetch it again.") from error
    try:
        return KerasTensors(path, file)
    except BaseException:
        file.close()
        raise


class KerasTensors(Tensors):
    """Also says which backend wrote the file, if the file says so: Theano's kernels are flipped."""

    def __init__(self, path: Path, file: Any):
        self._file = file
        self._path = path  # for errors before super().__init__
        try:
            self._datasets = self._find(file)
            infos = {
                name: TensorInfo(dataset.shape, dataset.dtype) for name, dataset in self._datasets.items()
            }
            self.backend = _text(self._root(file).attrs.get("backend", ""))
        except ConversionError:
            raise
        except Exception as error:  # h5py's own: KeyError, OSError, RuntimeError, ValueError and others
            raise self._error(f"{type(error).__name__}: {error}") from error
        super().__init__(path, infos)

    def _find(self, file: Any) -> dict[str, Any]:
        root = self._root(file)
        datasets: dict[str, Any] = {}
        for layer in self._names(root, "layer_names"):
            group = self._member(root, layer, "group")
            weights = self._names(group, "weight_names")
            for name, weight in zip(_weight_names(layer, weights), weights, strict=True):
                if name in datasets:
                    raise self._error(f"it holds two weights named {name}")
                datasets[name] = self._member(group, weight, "dataset")
        return datasets

    def _root(self, file: Any) -> Any:
        return self._member(file, MODEL_WEIGHTS, "group") if MODEL_WEIGHTS in file else file

    def _names(self, group: Any, attribute: str) -> list[str]:
        """A list of names; Keras cuts one that is too long for an attribute into numbered ones."""
        if attribute in group.attrs:
            return [_text(name) for name in group.attrs[attribute]]
        names: list[str] = []
        part = 0
        while f"{attribute}{part}" in group.attrs:
            names += [_text(name) for name in group.attrs[f"{attribute}{part}"]]
            part += 1
        if not part:
            raise self._error(
                f"{group.name} has no attribute {attribute!r}; Keras 3's own files have another layout"
            )
        return names

    def _member(self, group: Any, name: str, kind: str) -> Any:
        """What lies at `name` inside the file: no link may lead elsewhere, into another file least of all."""
        import h5py

        member = group
        for part in name.strip("/").split("/"):
            link = member.get(part, getlink=True) if isinstance(member, h5py.Group) else None
            if link is None:
                raise self._error(f"{group.name} names {name!r}, which is not there")
            if not isinstance(link, h5py.HardLink):
                raise self._error(f"{name!r} is a link to elsewhere")
            member = member[part]
        if not isinstance(member, h5py.Group if kind == "group" else h5py.Dataset):
            raise self._error(f"{name!r} is not a {kind}")
        if kind == "dataset" and (member.external or member.is_virtual):
            raise self._error(f"the values of {name!r} lie in another file")
        return member

    def _error(self, reason: str) -> ConversionError:
        return ConversionError(f"{self._path} cannot be read as a Keras 1 or 2 .h5 file: {reason}.")

    def _read(self, name: str) -> np.ndarray:
        if not self._file:
            raise ConversionError(f"{self.path} is closed; read its tensors inside the `with` statement.")
        try:
            return np.asarray(self._datasets[name][()])
        except (OSError, RuntimeError, ValueError) as error:
            raise self._error(f"the values of {name!r}: {error}") from error

    def close(self) -> None:
        self._file.close()


def _weight_names(layer: str, weights: list[str]) -> list[str]:
    """ "layer/weight" for each weight of a group; see open_keras_h5."""
    paths = [TENSORFLOW_SUFFIX.sub("", weight) for weight in weights]
    last = [path.rpartition("/")[2] for path in paths]
    return paths if len(set(last)) < len(last) else [f"{layer}/{name}" for name in last]


def _text(name: Any) -> str:
    return name.decode("utf-8") if isinstance(name, bytes) else str(name)


# safetensors: uint64 length of a JSON header, the header, values; the package checks that lengths and
# offsets agree with one another and with the size of the file.

SAFETENSORS_LENGTH = struct.Struct("<Q")
SAFETENSORS_MAX_HEADER = 100_000_000  # bytes; the format's own limit
SAFETENSORS_TYPES = {
    "F64": "f8",
    "F32": "f4",
    "F16": "f2",
    "I64": "i8",
    "I32": "i4",
    "I16": "i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


def open_safetensors(path: Path) -> Tensors:
    """The tensors of a .safetensors file, or of the only one in a folder or one level below."""
    path = Path(path)
    if path.is_dir():
        path = _only(path, "safetensors file", _safetensors_in)
    return _Safetensors(path)


def _safetensors_in(folder: Path) -> list[Path]:
    return [file for file in _visible(folder) if file.suffix == ".safetensors" and file.is_file()]


class _Safetensors(Tensors):
    def __init__(self, path: Path):
        with _as_conversion_error(f"{path} cannot be read as a safetensors file"):
            self._file: Any = safe_open(str(path), framework="numpy")
            slices = {name: self._file.get_slice(name) for name in self._file.keys()}  # noqa: SIM118
        unknown = {s.get_dtype() for s in slices.values()} - SAFETENSORS_TYPES.keys()
        if unknown:
            raise ConversionError(
                f"{path} has values of type {some(sorted(unknown))}, which cannot be converted."
            )
        super().__init__(
            path,
            {
                name: TensorInfo(tuple(s.get_shape()), np.dtype(SAFETENSORS_TYPES[s.get_dtype()]))
                for name, s in slices.items()
            },
        )

    def _read(self, name: str) -> np.ndarray:
        if self._file is None:
            raise ConversionError(f"{self.path} is closed; read its tensors inside the `with` statement.")
        with _as_conversion_error(f"Tensor {name!r} of {self.path} cannot be read"):
            return self._file.get_tensor(name)

    def close(self) -> None:
        self._file = None


# Darknet .weights: int32 major, minor and revision, the number of pictures seen in training (int64 from
# version 0.2 on, int32 before), then float32 numbers to the end, without names or lengths, little-endian.

DARKNET_VERSION = struct.Struct("<iii")
DARKNET_LIMIT = 1000  # of major and minor; Darknet marks files of another layout by adding 1000
FLOAT_BYTES = 4


def open_darknet_weights(
    path: Path, plan: Mapping[str, tuple[int, ...]], known: Mapping[int, str]
) -> Tensors:
    """The arrays of a .weights file, cut by `plan`: the shape of each by name, in the order of the file.

    `path` is the file, or a folder with exactly one there or one level below. `known` says what a file
    with so many numbers is, for the error about one that the plan does not fit.
    """
    path = Path(path)
    if path.is_dir():
        path = _only(path, "Darknet .weights file", _darknet_weights_in)
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConversionError(f"{path} cannot be opened: {error.strerror}.") from error
    try:
        offset = _darknet_start(path, file)
        _require_length(path, os.fstat(file.fileno()).st_size - offset, plan, known)
        stored = {}
        for name, shape in plan.items():
            stored[name] = _Stored(offset, shape, MXNET_TYPES.index("<f4"))
            offset += FLOAT_BYTES * math.prod(shape)
        return _StoredTensors(path, file, stored)
    except BaseException:
        file.close()
        raise


def _darknet_weights_in(folder: Path) -> list[Path]:
    return [file for file in _visible(folder) if file.suffix == ".weights" and file.is_file()]


def _darknet_start(path: Path, file: BinaryIO) -> int:
    """The offset of the first number."""
    head = file.read(DARKNET_VERSION.size)
    if len(head) == DARKNET_VERSION.size:
        major, minor, _revision = DARKNET_VERSION.unpack(head)
        if 0 <= major < DARKNET_LIMIT and 0 <= minor < DARKNET_LIMIT:
            return DARKNET_VERSION.size + (8 if major * 10 + minor >= 2 else 4)
    raise ConversionError(
        f"{path} does not start as a Darknet .weights file does: it is cut off, or another kind of file."
    )


def _require_length(
    path: Path, length: int, plan: Mapping[str, tuple[int, ...]], known: Mapping[int, str]
) -> None:
    """The length is all that tells one cfg's file from another's."""
    wanted = FLOAT_BYTES * sum(map(math.prod, plan.values()))
    if length == wanted:
        return
    kinds = {FLOAT_BYTES * count: f"one of {name}" for count, name in known.items()}
    guess = kinds.get(length, "cut off, or of another cfg" if length < wanted else "of another cfg")
    raise ConversionError(
        f"{path} holds {length} bytes of weights and {kinds[wanted]} holds {wanted}: it seems to be {guess}."
    )


# What all have in common.


def _only(folder: Path, kind: str, find: Callable[[Path], list[Path]]) -> Path:
    """The one file of a kind that `find` finds in a folder or, if none is there, in its subfolders."""
    found = _found(folder, find)
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConversionError(f"There is no {kind} in {folder} or in a folder directly below it.")
    names = some([str(path.relative_to(folder)) for path in found])
    raise ConversionError(f"There is more than one {kind} in {folder}: {names}; give the path of one.")


def _found(folder: Path, find: Callable[[Path], list[Path]]) -> list[Path]:
    return find(folder) or [path for child in _visible(folder) if child.is_dir() for path in find(child)]


def _visible(folder: Path) -> list[Path]:
    """What lies in a folder, without the `._NAME` companions that archives made on a Mac contain."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


READERS: dict[str, Callable[..., Tensors]] = {
    "tensorflow": open_tensorflow_checkpoint,
    "mxnet": open_mxnet_params,
    "keras_h5": open_keras_h5,
    "safetensors": open_safetensors,
    "darknet": open_darknet_weights,
}


# Which format a file has, told from its name or its first bytes; only models with several sources ask.


def is_tensorflow_checkpoint(path: Path) -> bool:
    if path.is_dir():
        return bool(_found(path, _checkpoints_in))
    prefix = _checkpoint_prefix(path)
    return _with_ending(prefix, ".index").is_file() or (prefix.is_file() and _ends_as_table(prefix))


def is_mxnet_params(path: Path) -> bool:
    if path.is_dir():
        return bool(_found(path, _params_in))
    return _start(path) == struct.pack("<Q", MXNET_LIST_MAGIC)


def is_safetensors(path: Path) -> bool:
    if path.is_dir():
        return bool(_found(path, _safetensors_in))
    start = _start(path, SAFETENSORS_LENGTH.size + 1)
    if len(start) <= SAFETENSORS_LENGTH.size:
        return False
    return SAFETENSORS_LENGTH.unpack_from(start)[0] <= SAFETENSORS_MAX_HEADER and start.endswith(b"{")


def _start(path: Path, count: int = 8) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(count)


RECOGNISERS: dict[str, Callable[[Path], bool]] = {
    "tensorflow": is_tensorflow_checkpoint,
    "mxnet": is_mxnet_params,
    "safetensors": is_safetensors,
}
