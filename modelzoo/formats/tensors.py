"""What the formats share: the mapping that reading returns, arrays stored as they are, and folders."""

from __future__ import annotations

import difflib
import math
from abc import abstractmethod
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from modelzoo.errors import SHOWN, ConversionError, abbreviated

BFLOAT16 = "bfloat16"  # the upper halves of float32 values
# What readers put after a variable's name for its moving average, the second copy that some programs keep: as
# tf.train.ExponentialMovingAverage names it.
AVERAGE = "/ExponentialMovingAverage"
MAX_DIMENSIONS = 32  # NumPy 1's limit; a network has at most 5
MAX_TENSORS = 100_000  # PNASNet's checkpoint with its moving averages has fewer than 5,000
MAX_NAME_BYTES = 4096  # of one tensor, in UTF-8
MAX_NAMES_BYTES = 2**24  # of all tensors of a file
DTYPES = frozenset(  # little-endian, what every format with names can hold
    np.dtype(type)
    for type in ("?", "i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8")
)


@dataclass(frozen=True)
class TensorInfo:
    shape: tuple[int, ...]
    dtype: np.dtype  # of the array that read() returns


class Tensors(Mapping[str, TensorInfo]):
    """The tensors of one file by name; use it in a `with` statement, which closes the file."""

    def __init__(self, path: Path, infos: dict[str, TensorInfo]):
        self.path = path
        self.beside: tuple[str, ...] = ()  # what else the file holds, which is left out
        self._infos = infos

    def __getitem__(self, name: str) -> TensorInfo:
        return self._infos[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def __len__(self) -> int:
        return len(self._infos)

    def __enter__(self) -> Self:
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


@dataclass(frozen=True)
class Stored:
    """Where the values of an array lie in its file, and as what."""

    offset: int  # bytes
    shape: tuple[int, ...]
    type: str  # NumPy's, with its byte order, or BFLOAT16

    @property
    def info(self) -> TensorInfo:
        dtype = np.dtype(np.float32 if self.type == BFLOAT16 else self.type)
        return TensorInfo(self.shape, dtype.newbyteorder("="))

    def raw(self, file: BinaryIO) -> np.ndarray:
        """The values as the file has them, in a row; they are fewer if the file became shorter."""
        file.seek(self.offset)
        return np.fromfile(file, stored_dtype(self.type), math.prod(self.shape))

    def array(self, raw: np.ndarray) -> np.ndarray:
        if self.type == BFLOAT16:
            raw = (raw.astype(np.uint32) << 16).view(np.float32)
        return raw.astype(self.info.dtype, copy=False).reshape(self.shape)


def stored_dtype(type: str) -> np.dtype:
    return np.dtype("<u2" if type == BFLOAT16 else type)


def stored_bytes(shape: tuple[int, ...], type: str) -> int:
    return math.prod(shape) * stored_dtype(type).itemsize


class StoredTensors(Tensors):
    def __init__(self, path: Path, file: BinaryIO, stored: dict[str, Stored]):
        super().__init__(path, {name: array.info for name, array in stored.items()})
        self._file = file
        self._stored = stored

    def _read(self, name: str) -> np.ndarray:
        if self._file.closed:
            raise ConversionError(f"{self.path} is closed; read its tensors inside the `with` statement.")
        stored = self._stored[name]
        raw = stored.raw(self._file)
        if len(raw) != math.prod(stored.shape):
            raise ConversionError(f"{self.path} became shorter while it was read; download it again.")
        return stored.array(raw)

    def close(self) -> None:
        self._file.close()


def as_stored(name: str, array: np.ndarray, kind: str, dtypes: Collection[np.dtype] = DTYPES) -> np.ndarray:
    """The array in C order and little-endian; ConversionError if this kind of file cannot hold its dtype."""
    dtype = array.dtype.newbyteorder("<")
    if dtype not in dtypes:
        raise ConversionError(
            f"{name!r} cannot be written into {kind}: "
            f"expected {' or '.join(sorted(known.name for known in dtypes))}, got {array.dtype}."
        )
    return np.asarray(array, dtype, order="C")


def require_storable_names(names: Collection[str], kind: str) -> None:
    """Raises ConversionError for a name, or for more of them, than would be read back."""
    total = sum(len(name) for name in names)  # characters, of which none has less than a byte
    if total > MAX_NAMES_BYTES:
        raise ConversionError(f"Expected names of at most {MAX_NAMES_BYTES} bytes for {kind}, got {total}.")
    if len(names) > MAX_TENSORS:
        raise ConversionError(f"Expected at most {MAX_TENSORS} tensors for {kind}, got {len(names)}.")
    for name in names:
        length = len(name.encode("utf-8", errors="replace"))
        if not 0 < length <= MAX_NAME_BYTES or name.encode("utf-8", errors="ignore").decode() != name:
            raise ConversionError(
                f"Expected names of 1 to {MAX_NAME_BYTES} bytes in UTF-8 for {kind}, got {name[:50]!r}."
            )


@contextmanager
def as_conversion_error(what: str) -> Generator[None]:
    try:
        yield
    except (ConversionError, MemoryError):
        raise
    except Exception as error:  # those who read damaged files raise ValueError, OSError and others
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
        raise ConversionError(f"{what}: {reason}; the file may be damaged, download it again.") from error


def only_file(folder: Path, kind: str, find: Callable[[Path], list[Path]]) -> Path:
    """The one file of a kind that `find` finds in a folder or, if none is there, in its subfolders."""
    found = files_in(folder, find)
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConversionError(f"There is no {kind} in {folder} or in a folder directly below it.")
    names = abbreviated([str(path.relative_to(folder)) for path in found])
    raise ConversionError(f"There is more than one {kind} in {folder}: {names}; give the path of one.")


def files_in(folder: Path, find: Callable[[Path], list[Path]]) -> list[Path]:
    return find(folder) or [path for child in visible_in(folder) if child.is_dir() for path in find(child)]


def visible_in(folder: Path) -> list[Path]:
    """What lies in a folder, without the `._NAME` companions that archives made on a Mac contain."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def first_bytes(path: Path, count: int = 8) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(count)
