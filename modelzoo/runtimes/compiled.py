"""The cache's folder of compiled networks: files that say what they are, so that none is taken for another.

    ROOT/compiled/MODEL-0123456789abcdef-fedcba9876543210.blob

The middle digits are of the weights, the last ones of all the facts that the network depends on. A file is
what the runtime exported, then JSON with these facts, then its place and a mark: what breaks off lacks the
mark.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, cast

import numpy as np

import modelzoo
from modelzoo import settings
from modelzoo.errors import WeightsUnavailable
from modelzoo.files import atomic_write
from modelzoo.registry import Entry
from modelzoo.store import Located
from modelzoo.store import cache as weight_cache
from modelzoo.zoo import NetworkOptions

MARK = b"compiled by modelzoo"
PLACE = struct.Struct("<Q")  # where the JSON begins
DIGITS = 16
BUILT_BY_KERAS = "keras_applications"  # the family whose graphs Keras' own functions build


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
        "model": weights.entry.key,
        "graph": asdict(graph),
        "weights": weights.content,
        "options": asdict(options),
        "modelzoo": modelzoo.__version__,
        "architectures": architectures(),
        **runtime,
    }
    if graph.family == BUILT_BY_KERAS:
        facts["keras"] = keras_version()
    return Key(weights.name, json.dumps(facts, sort_keys=True))


def find(key: Key) -> Stored | None:
    """The network of this key from the first root that has a sound one."""
    for root in settings.cache_roots():
        path = root / "compiled" / key.file_name
        with suppress(OSError, ValueError):
            stored = _read(path, key)
            with suppress(OSError):
                os.utime(path)  # when it was used, for `modelzoo cache prune`
            return stored
    return None


def keep(key: Key, exported: memoryview, warning: str | None) -> None:
    """Stores a network, where that can be written."""
    tail = json.dumps({"facts": key.facts, "warning": warning}, sort_keys=True).encode()
    with suppress(OSError):  # WeightsUnavailable, too: there is no cache
        target = settings.cache_home() / "compiled" / key.file_name
        with atomic_write(target) as temporary, temporary.open("wb") as file:
            for part in (exported, tail, PLACE.pack(len(exported)), MARK):
                file.write(part)
            os.fsync(file.fileno())  # the weights in it are not looked through at every start


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


def _read(path: Path, key: Key) -> Stored:
    """Raises OSError or ValueError if there is no such file, or another than it is called."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # OpenVINO refuses read-only memory
    end = len(mapped) - len(MARK) - PLACE.size
    if end < 0 or mapped[-len(MARK) :] != MARK:
        raise ValueError(f"{path} is not whole")
    (begin,) = PLACE.unpack(mapped[end : end + PLACE.size])
    tail: Any = json.loads(mapped[begin:end])
    if not isinstance(tail, dict) or tail.keys() != {"facts", "warning"} or tail["facts"] != key.facts:
        raise ValueError(f"{path} is of other facts")
    warning: str | None = cast("dict[str, Any]", tail)["warning"]
    return Stored(np.frombuffer(mapped, np.uint8, begin), warning)


@cache
def architectures() -> str:
    """A checksum of all that defines networks: a family may use another's blocks."""
    folder = resources.files("modelzoo") / "architectures"
    sources = sorted((file for file in folder.iterdir() if file.name.endswith(".py")), key=lambda f: f.name)
    digest = hashlib.sha256()
    for file in sources:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


@cache
def keras_version() -> str:
    from importlib.metadata import version

    return version("keras")
