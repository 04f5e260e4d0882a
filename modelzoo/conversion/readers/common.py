"""What the readers share: the mapping that they return, arrays stored as they are, and folders."""

from __future__ import annotations

import difflib
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from modelzoo.errors import SHOWN, ConversionError, some

BFLOAT16 = "bfloat16"  # the upper halves of float32 values


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
        stored, dtype = self._stored[name], self[name].dtype
        count = math.prod(stored.shape)
        self._file.seek(stored.offset)
        values = np.fromfile(self._file, stored_dtype(stored.type), count)
        if len(values) != count:
            raise ConversionError(f"{self.path} became shorter while it was read; fetch it again.")
        if stored.type == BFLOAT16:
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(dtype, copy=False).reshape(stored.shape)

    def close(self) -> None:
        self._file.close()


@contextmanager
def as_conversion_error(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # TensorFlow's native readers raise OpError, but also IndexError and others
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
        raise ConversionError(f"{what}: {reason}; the file may be damaged, fetch it again.") from error


def only_file(folder: Path, kind: str, find: Callable[[Path], list[Path]]) -> Path:
    """The one file of a kind that `find` finds in a folder or, if none is there, in its subfolders."""
    found = files_in(folder, find)
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConversionError(f"There is no {kind} in {folder} or in a folder directly below it.")
    names = some([str(path.relative_to(folder)) for path in found])
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
