"""The cache's folder of compiled networks: files that say what they are, so that none is taken for another.

    ROOT/compiled/MODEL-0123456789abcdef-fedcba9876543210.blob

The middle digits are of the weights, the last ones of all the facts that the network depends on. A file is
what the runtime exported, then JSON with these facts and the sha256 of the export, then the JSON's place, the
CRC-32C of all before, which every start compares, and a mark.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import mmap
import os
import struct
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from io import BufferedRandom
from pathlib import Path
from typing import Any

import numpy as np

import modelzoo
from modelzoo import settings
from modelzoo.errors import WeightsUnavailable
from modelzoo.files import crc32c_of
from modelzoo.registry import Entry
from modelzoo.store import Located
from modelzoo.store import cache as weight_cache
from modelzoo.zoo import NetworkOptions

LOG = logging.getLogger("modelzoo")
MARK = b"compiled by modelzoo, 2"
PLACE = struct.Struct("<Q")  # where the JSON begins
CRC32C = struct.Struct("<I")  # of all that is before it
DIGITS = 16
DEFINING = ("architectures", "backends", "graph")  # the folders whose files decide what a network computes


@dataclass(frozen=True)
class Key:
    """What a compiled network depends on: `name` begins its file's name, `facts` is JSON."""

    name: str
    facts: str

    @property
    def file_name(self) -> str:
        digest = hashlib.sha256(self.facts.encode()).hexdigest()
        return f"{self.name}-{digest[:DIGITS]}.blob"


@dataclass(frozen=True)
class Stored:
    """A compiled network in memory that is mapped from its file, and the warning that its weights carry."""

    memory: np.ndarray
    warning: str | None


def key(weights: Located, options: NetworkOptions, runtime: dict[str, Any]) -> Key:
    """The key of a network with these weights; `runtime` are the facts of what compiles it."""
    graph = weights.entry.graph
    facts = {
        "model": weights.entry.owner,
        "graph": graph.facts(),
        "weights": weights.content,
        "options": asdict(options),
        "modelzoo": modelzoo.__version__,
        "architectures": architectures(),
        **runtime,
    }
    return Key(weights.name, json.dumps(facts, sort_keys=True))


def find(key: Key) -> Stored | None:
    """The network of this key from the first root that has a sound one; a damaged one is removed."""
    for root in settings.cache_roots():
        path = root / "compiled" / key.file_name
        try:
            memory, tail = _read(path)
        except OSError:  # there is none, or it cannot be read just now
            continue
        except ValueError:
            LOG.warning("%s is damaged: the network is compiled again", path)
            with suppress(OSError):
                path.unlink()
            continue
        if tail["facts"] == key.facts:
            with suppress(OSError):
                os.utime(path)  # when it was used, for `modelzoo cache prune`
            return Stored(memory, tail["warning"])
    return None


def keep(key: Key, export: Callable[[io.BytesIO], None], warning: str | None) -> None:
    """Stores the network that export(file) writes where that can be written, or else says what to set."""
    try:
        with weight_cache.writing(settings.cache_home() / "compiled" / key.file_name) as file:
            _write(file, export, {"facts": key.facts, "warning": warning})
    except OSError as error:  # WeightsUnavailable, too: there is no cache
        reason = str(error) if isinstance(error, WeightsUnavailable) else f"{error.strerror or error}."
        if roots := os.pathsep.join(map(str, settings.cache_roots())):
            reason += f" {settings.CACHE}=FOLDER{os.pathsep}{roots} writes to FOLDER and reads from both."
        again = "cannot be kept, so that every start compiles it again"
        LOG.warning("The compiled network of %s %s: %s", key.name, again, reason)


def everything() -> Iterator[Path]:
    """The files of all networks that were compiled and kept."""
    for root in settings.cache_roots():
        yield from sorted((root / "compiled").glob("[!.]*.blob"))


def model_of(path: Path) -> str:
    """The key of the model that a compiled network is of, from its file's name."""
    return path.name.partition("-")[0]


def is_sound(path: Path) -> bool:
    """Whether a compiled network has its CRC-32C and its sha256; raises OSError if it cannot be read."""
    try:
        memory, tail = _read(path)
    except ValueError:
        return False
    return hashlib.sha256(memory.data).hexdigest() == tail["sha256"]


@contextmanager
def lock(entry: Entry) -> Generator[None]:
    """One process at a time compiles a model, where there is a cache that can be written to."""
    try:
        settings.cache_home()
    except WeightsUnavailable:
        yield
        return
    with weight_cache.lock(f"{entry.key}.compiled", "compiles"):
        yield


def _write(file: BufferedRandom, export: Callable[[io.BytesIO], None], facts: dict[str, Any]) -> None:
    """Writes a file's content: see the module's first lines."""
    export(_Through(file))
    size = file.seek(0, os.SEEK_END)
    file.flush()
    with ThreadPoolExecutor(1) as pool, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as mapped:
        digest = pool.submit(hashlib.sha256, mapped)
        os.fsync(file.fileno())  # most of it, meanwhile
        sha256 = digest.result().hexdigest()
    tail = json.dumps({**facts, "sha256": sha256}, sort_keys=True)
    file.write(tail.encode() + PLACE.pack(size))
    file.flush()
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        checksum = crc32c_of(np.frombuffer(mapped, np.uint8))
    file.write(CRC32C.pack(checksum) + MARK)


class _Through(io.BytesIO):
    """Passes a file on to OpenVINO, which writes to nothing but a BytesIO: it goes back to fill in sizes."""

    def __init__(self, file: BufferedRandom):
        super().__init__()
        self._file = file

    def write(self, part: Any, /) -> int:
        return self._file.write(part)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _read(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """What was exported, in memory that is mapped from the file, and the facts.

    Raises OSError if the file cannot be read, and ValueError if its CRC-32C is another.
    """
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # OpenVINO refuses read-only memory
    whole = np.frombuffer(mapped, np.uint8)
    end = len(whole) - len(MARK) - CRC32C.size
    if end < PLACE.size or mapped[-len(MARK) :] != MARK:
        raise ValueError(f"{path} is not a whole file")
    if crc32c_of(whole[:end]) != CRC32C.unpack_from(mapped, end)[0]:
        raise ValueError(f"{path} has another CRC-32C")
    (begin,) = PLACE.unpack_from(mapped, end - PLACE.size)
    tail: dict[str, Any] = json.loads(mapped[begin : end - PLACE.size])
    return whole[:begin], tail


@cache
def architectures() -> str:
    """A checksum of all that defines networks: a family may use another's blocks."""
    digest = hashlib.sha256()
    for name, file in sorted(_defining_files()):
        digest.update(name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _defining_files() -> Iterator[tuple[str, Traversable]]:
    open_folders = [(folder, resources.files("modelzoo") / folder) for folder in DEFINING]
    while open_folders:
        path, folder = open_folders.pop()
        for item in folder.iterdir():
            name = f"{path}/{item.name}"
            if item.is_dir():
                open_folders.append((name, item))
            elif item.name.endswith((".py", ".json.gz")):
                yield name, item


@cache
def keras_version() -> str:
    from importlib.metadata import version

    return version("keras")
