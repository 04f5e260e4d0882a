"""Whether a weight file still has the content that it had when it was kept: told by reading all of it."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from pathlib import Path
from typing import Literal

from modelzoo import files
from modelzoo.files import CRC32C
from modelzoo.store import cache
from modelzoo.store.cache import CachedFile, Pointer

Condition = Literal["sound", "damaged", "missing"]


def condition(cached: CachedFile, *, thorough: bool = False) -> Condition:
    """Reads a file of the cache; `thorough` compares its sha256, too, which takes ten times as long.

    Raises OSError if the file cannot be read just now, which says nothing of its content. What its pointer
    states wrongly of a file that has the right sha256, or does not state yet, is written down.
    """
    try:
        if not thorough and has_crc32c(cached.path, cached.pointer):
            return "sound"
        found = files.digests(cached.path, ("sha256", CRC32C))
        size = cached.path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    if found["sha256"] != cached.pointer.sha256:
        return "damaged"
    pointer = dataclasses.replace(cached.pointer, crc32c=found[CRC32C], bytes=size)
    if pointer != cached.pointer:
        with suppress(OSError):  # WeightsUnavailable, too: nothing can be written
            cache.correct(cached, pointer)
    return "sound"


def move_if_damaged(cached: CachedFile) -> Path | None:
    """Moves a damaged file away and returns its new place; None if it is not damaged, or cannot be moved."""
    try:
        with cache.lock(cached.model, "uses"):  # or it could be another by now
            damaged = condition(cached, thorough=True) == "damaged"
            return cache.quarantine(cached) if damaged else None
    except OSError:  # WeightsUnavailable, too: nothing can be written
        return None


def has_crc32c(path: Path, pointer: Pointer) -> bool:
    """Whether the file has the size and the CRC-32C of the pointer; raises OSError if it cannot be read."""
    return (
        pointer.crc32c is not None
        and path.stat().st_size == pointer.bytes
        and files.crc32c(path) == pointer.crc32c
    )
