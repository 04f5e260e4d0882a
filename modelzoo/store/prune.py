"""prune(): what the cache holds that nobody needs."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from modelzoo import files, settings
from modelzoo.errors import WeightsUnavailable
from modelzoo.store import cache
from modelzoo.store.cache import DAMAGED, CachedFile
from modelzoo.store.trust import BY_HAND

LOG = logging.getLogger("modelzoo")
COMPILED_DAYS = 30  # what was not used for longer is soon compiled again
DAY = 24 * 3600  # seconds
UNKNOWN = ("weights/*", "downloads/*", "models/.*", "compiled/.*", "fetched/.*", ".work-*")  # if no pointer's


def prune(older_than_days: float | None = None) -> Iterator[tuple[Path, int]]:
    """Removes from the home what is of no use, and yields each path with its bytes.

    That is: what killed processes worked on, damaged files, files without a pointer, downloads that broke
    off, compiled networks that were not used for COMPILED_DAYS, and with `older_than_days` all that was not
    used for so long. A damaged file that was added by hand stays, with a warning: it may be the only one.
    """
    yield from cache.remove_abandoned()
    try:
        home = settings.cache_home()
    except WeightsUnavailable:
        if settings.cache_roots():
            raise
        return  # this user has no cache
    oldest = time.time() - (COMPILED_DAYS if older_than_days is None else older_than_days) * DAY
    yield from _compiled(home, oldest)
    if older_than_days is not None:
        for cached in [cached for cached in _of(home) if cached.last_use < oldest]:
            yield cached.path, cached.pointer.bytes
            cache.remove(cached)
    yield from _unknown(home)


def _of(home: Path) -> list[CachedFile]:
    return [cached for cached in cache.everything() if cached.root == home]


def _compiled(home: Path, oldest: float) -> Iterator[tuple[Path, int]]:
    for path in home.glob("compiled/[!.]*"):
        if path.stat().st_mtime < oldest:
            yield path, path.stat().st_size
            path.unlink()


def _unknown(home: Path) -> Iterator[tuple[Path, int]]:
    kept, unread = _kept(home), tuple(f"{path.stem}-" for path in cache.unreadable(home))
    for path in [path for pattern in UNKNOWN for path in home.glob(pattern)]:
        if path in kept or path.name.startswith(unread):
            continue
        if path.suffix == DAMAGED or not _may_be_in_use(path):
            yield path, files.size_of(path)
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _kept(home: Path) -> set[Path]:
    """What pointers point at; where a file that was added by hand is damaged, that one."""
    kept: set[Path] = set()
    for cached in _of(home):
        kept.add(cached.path)
        by_hand = cached.pointer.trust.startswith(BY_HAND)
        if by_hand and cached.damaged_path.exists() and not cached.path.exists():
            kept.add(cached.damaged_path)
            LOG.warning(
                "%s was added by hand and is damaged; it is kept until the file is added again, or "
                "`modelzoo cache remove %s`",
                cached.damaged_path,
                cached.model,
            )
    return kept


def _may_be_in_use(path: Path) -> bool:
    newest = max(file.stat().st_mtime for file in [path, *files.files_in(path)])
    return newest > time.time() - files.QUIET_SECONDS
