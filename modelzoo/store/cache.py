"""The cache: every weight file is kept under the name of its content, and a pointer says whose it is.

    ROOT/weights/MODEL-0123456789abcdef.h5    a file; the digits begin its sha256
    ROOT/models/MODEL.json                    its pointer: whole sha256, bytes, source, why it is trusted
    ROOT/downloads/                           what is on its way
    ROOT/compiled/                            networks that a runtime compiled, see modelzoo.runtimes.compiled
    ROOT/fetched/                             other files, by their sha256
    ROOT/locks/                               who is downloading what

A file without the head's weights has MODEL-notop in place of MODEL. A file and then its pointer appear by
one rename each, so that whoever finds a pointer finds a whole file. Two processes that do the same work
put the same bytes in the same place: the lock only saves the second one the work.
"""

from __future__ import annotations

import glob
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from modelzoo import settings
from modelzoo.files import atomic_write, is_sha256
from modelzoo.files import sha256 as sha256_of

LOG = logging.getLogger("modelzoo")
NOTOP = "-notop"  # no key of the registry has a hyphen
NAMED_DIGITS = 16  # of the sha256 in a file's name
DAMAGED = ".damaged"
COMPILED_DAYS = 30  # what was not used for longer is removed by prune(): it is soon compiled again
BUSY_SECONDS = 3600  # what was written to within this time may belong to a process that runs


@dataclass(frozen=True)
class Pointer:
    """What is known of a model's file: `source` is its address, `trust` why its content is believed."""

    sha256: str
    bytes: int
    source: str
    trust: str
    since: str  # the day on which it came
    upstream_sha256: str | None = None  # of the file that it was converted from


@dataclass(frozen=True)
class CachedFile:
    """A weight file in one of the roots."""

    root: Path
    model: str
    top: bool
    pointer: Pointer

    @property
    def path(self) -> Path:
        return self.root / "weights" / file_name(self.model, self.pointer.sha256, self.top)

    @property
    def pointer_path(self) -> Path:
        return self.root / "models" / f"{_stem(self.model, self.top)}.json"

    @property
    def last_use(self) -> float:
        """Seconds since 1970; access times are not kept everywhere, so use() sets the pointer's time."""
        return self.pointer_path.stat().st_mtime

    def has_expected_size(self) -> bool:
        with suppress(OSError):
            return self.path.stat().st_size == self.pointer.bytes
        return False

    def has_expected_sha256(self) -> bool:
        return self.has_expected_size() and sha256_of(self.path) == self.pointer.sha256


def file_name(model: str, sha256: str, top: bool = True) -> str:
    """The name of a weight file, here and on mirrors."""
    return f"{_stem(model, top)}-{sha256[:NAMED_DIGITS]}.h5"


def pointers(model: str, top: bool = True) -> Iterator[CachedFile]:
    """What each root says that it holds of the model, whether the file is still there or not."""
    for root in settings.cache_roots():
        if pointer := _read(root / "models" / f"{_stem(model, top)}.json"):
            yield CachedFile(root, model, top, pointer)


def find(model: str, top: bool = True) -> CachedFile | None:
    """The model's file in the first root that has one of the right size."""
    return next((cached for cached in pointers(model, top) if cached.has_expected_size()), None)


def everything() -> Iterator[CachedFile]:
    """All that the roots say that they hold."""
    for root in settings.cache_roots():
        for path in sorted((root / "models").glob("*.json")):
            model, hyphen, _ = path.stem.partition(NOTOP)
            if pointer := _read(path):
                yield CachedFile(root, model, not hyphen, pointer)


def place(model: str, sha256: str, top: bool = True) -> Path:
    """Where the home keeps a file of this content. Without a pointer it is nobody's."""
    return settings.cache_home() / "weights" / file_name(model, sha256, top)


def point(
    model: str,
    sha256: str,
    *,
    source: str,
    trust: str,
    upstream_sha256: str | None = None,
    top: bool = True,
) -> CachedFile:
    """Makes the file that is at its place the model's; the pointer keeps the rest, see Pointer."""
    size = place(model, sha256, top).stat().st_size
    pointer = Pointer(sha256, size, source, trust, date.today().isoformat(), upstream_sha256)
    cached = CachedFile(settings.cache_home(), model, top, pointer)
    with atomic_write(cached.pointer_path) as temporary:
        temporary.write_text(json.dumps(asdict(pointer), indent=2) + "\n", "utf-8")
    return cached


def keep(
    file: Path, model: str, *, source: str, trust: str, upstream_sha256: str | None = None
) -> CachedFile:
    """Moves a file of the home to its place and points the model at it."""
    sha256 = sha256_of(file)
    target = place(model, sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(file, target)
    except PermissionError:  # Windows, where another process reads the file that is there
        if sha256_of(target) != sha256:
            raise
    return point(model, sha256, source=source, trust=trust, upstream_sha256=upstream_sha256)


def use(cached: CachedFile) -> None:
    """Remembers that the file was used now, where that can be written."""
    with suppress(OSError):
        os.utime(cached.pointer_path)


def quarantine(cached: CachedFile) -> Path | None:
    """Renames a damaged file, so that it is not found again; None in a root that is not ours to change."""
    place = cached.path.with_name(cached.path.name + DAMAGED)
    try:
        os.replace(cached.path, place)
    except OSError:
        return None
    return place


def remove(cached: CachedFile) -> None:
    cached.pointer_path.unlink(missing_ok=True)
    cached.path.unlink(missing_ok=True)
    for path in (cached.root / "compiled").glob(f"{glob.escape(cached.path.stem)}-*"):
        path.unlink(missing_ok=True)


def prune(older_than_days: float | None = None) -> Iterator[tuple[Path, int]]:
    """Removes from the home what is of no use, and yields each path with its bytes.

    That is: damaged files, files without a pointer, downloads that broke off, compiled networks that were
    not used for COMPILED_DAYS, and with `older_than_days` all that was not used for so long.
    """
    folder = settings.cache_home()
    days = COMPILED_DAYS if older_than_days is None else older_than_days
    oldest = time.time() - days * 24 * 3600
    for path in folder.glob("compiled/*"):
        if path.stat().st_mtime < oldest:
            yield path, path.stat().st_size
            path.unlink()
    if older_than_days is not None:
        for cached in [
            cached for cached in everything() if cached.root == folder and cached.last_use < oldest
        ]:
            yield cached.path, cached.pointer.bytes
            remove(cached)
    pointed = {cached.path for cached in everything()}
    for path in [*folder.glob("weights/*"), *folder.glob("downloads/*"), *folder.glob(".work-*")]:
        if path not in pointed and (path.suffix == DAMAGED or not _busy(path)):
            yield path, sum(file.stat().st_size for file in _files(path))
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def lock(name: str, verb: str = "downloads") -> Generator[None]:
    """One process and thread at a time for each name; where files cannot be locked, nobody waits."""
    from filelock import FileLock, Timeout

    lock = FileLock(settings.cache_home() / "locks" / f"{name}.lock")
    try:
        Path(lock.lock_file).parent.mkdir(exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            LOG.warning("waiting for another process that %s %s", verb, name)
            lock.acquire()
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        lock.release()


@contextmanager
def temporary_directory() -> Generator[Path]:
    """An empty folder in the home, from where files can be renamed to their places."""
    with tempfile.TemporaryDirectory(prefix=".work-", dir=settings.cache_home()) as folder:
        yield Path(folder)


def download_folder(url: str) -> Path:
    """Where what comes from an address is collected: the same at every try, so that it can be resumed."""
    return settings.cache_home() / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:NAMED_DIGITS]


def _stem(model: str, top: bool) -> str:
    return model if top else model + NOTOP


def _read(path: Path) -> Pointer | None:
    """The pointer, or None if there is none that can be used."""
    try:
        pointer = Pointer(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    strings = (pointer.source, pointer.trust, pointer.since, pointer.upstream_sha256 or "")
    sound = is_sha256(pointer.sha256) and type(pointer.bytes) is int and all(type(s) is str for s in strings)
    return pointer if sound else None


def _busy(path: Path) -> bool:
    return max(file.stat().st_mtime for file in [path, *_files(path)]) > time.time() - BUSY_SECONDS


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
