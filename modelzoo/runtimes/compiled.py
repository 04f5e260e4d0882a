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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo import cache, pretrained
from modelzoo.errors import WeightsUnavailable
from modelzoo.files import appearing, digests
from modelzoo.registry import Entry
from modelzoo.zoo import PRETRAINED, SYNTHETIC

MARK = b"compiled by modelzoo"
PLACE = struct.Struct("<Q")  # where the JSON begins
DIGITS = 16


@dataclass(frozen=True)
class Weights:
    """Which weights a network has: `content` differs where they may; `name` begins the file's name."""

    name: str
    content: str


@dataclass(frozen=True)
class Stored:
    """A compiled network in memory that is mapped from its file, and the notes that were kept with it."""

    memory: np.ndarray
    notes: dict[str, Any]


def weights(entry: Entry, given: str | os.PathLike | None, *, top: bool) -> Weights | None:
    """What load()'s `weights` are here and now; None for what is not to be remembered, or is not here yet."""
    if given in (None, SYNTHETIC):
        return None
    if given != PRETRAINED:
        return _of_file(entry, Path(given))
    bundled = pretrained.bundled_path(entry)
    if bundled.is_file():
        return Weights(entry.key, digests(bundled, ("sha256",))["sha256"])
    held = cache.find(entry.key) or (None if top else cache.find(entry.key, top=False))
    if held is None:
        return None
    cache.use(held)
    return Weights(held.path.stem, held.pointer.sha256)


def find(weights: Weights, facts: dict[str, Any]) -> Stored | None:
    """The network of these facts from the first root that has a sound one."""
    for root in cache.roots():
        path = root / "compiled" / _file_name(weights, facts)
        with suppress(OSError, ValueError):
            stored = _read(path, facts)
            with suppress(OSError):
                os.utime(path)  # when it was used, for `modelzoo cache prune`
            return stored
    return None


def keep(weights: Weights, facts: dict[str, Any], exported: memoryview, notes: dict[str, Any]) -> None:
    """Stores a network; raises OSError where that is not possible."""
    tail = json.dumps({"facts": facts, "notes": notes}, sort_keys=True).encode()
    target = cache.home() / "compiled" / _file_name(weights, facts)
    with appearing(target) as temporary, temporary.open("wb") as file:
        for part in (exported, tail, PLACE.pack(len(exported)), MARK):
            file.write(part)
        os.fsync(file.fileno())  # the weights in it are not looked through at every start


@contextmanager
def lock(entry: Entry) -> Iterator[None]:
    """One process at a time compiles a model, where there is a cache that can be written to."""
    try:
        cache.home()
    except WeightsUnavailable:
        yield
        return
    with cache.lock(f"{entry.key}.compiled", "compiles"):
        yield


def _read(path: Path, facts: dict[str, Any]) -> Stored:
    """Raises OSError or ValueError if there is no such file, or another than it is called."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # OpenVINO refuses read-only memory
    end = len(mapped) - len(MARK) - PLACE.size
    if end < 0 or mapped[-len(MARK) :] != MARK:
        raise ValueError(f"{path} is not whole")
    (begin,) = PLACE.unpack(mapped[end : end + PLACE.size])
    tail = json.loads(mapped[begin:end])
    if not isinstance(tail, dict) or tail.get("facts") != json.loads(json.dumps(facts)):
        raise ValueError(f"{path} is of other facts")
    return Stored(np.frombuffer(mapped, np.uint8, begin), tail["notes"])


def _file_name(weights: Weights, facts: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return f"{weights.name}-{digest[:DIGITS]}.blob"


def _of_file(entry: Entry, path: Path) -> Weights | None:
    """A user's own file is not read again each time: its place, size and times tell whether it changed."""
    if not path.is_file():
        return None
    facts = path.stat()
    times = (facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)
    return Weights(f"{entry.key}-file", f"{path.resolve()} {facts.st_size} {times}")
