"""The cache: every weight file is kept under the name of its content, and a pointer says whose it is.

    ROOT/weights/MODEL-0123456789abcdef.h5    a file; the digits begin its sha256
    ROOT/models/MODEL.json                    its pointer: whole sha256, bytes, source, why it is trusted
    ROOT/downloads/                           what is on its way
    ROOT/compiled/                            networks that a runtime compiled, see runtimes/compiled.py
    ROOT/fetched/                             other files, by their sha256
    ROOT/locks/                               who is fetching what

A file without the head's weights has MODEL-notop in place of MODEL. A file and then its pointer appear by
one rename each, so that whoever finds a pointer finds a whole file. Two processes that do the same work
put the same bytes in the same place: the lock only saves the second one the work.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from modelzoo import download
from modelzoo.errors import WeightsUnavailable
from modelzoo.files import appearing, digests

ROOTS = "MODELZOO_CACHE"  # the variable: folders, separated as in PATH; the first one is written to
NOTOP = "-notop"  # no key of the registry has a hyphen
NAMED_DIGITS = 16  # of the sha256 in a file's name
SHA256 = re.compile("[0-9a-f]{64}")
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
class Held:
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

    def has_its_size(self) -> bool:
        with suppress(OSError):
            return self.path.stat().st_size == self.pointer.bytes
        return False

    def has_its_sha256(self) -> bool:
        return self.has_its_size() and digests(self.path, ("sha256",))["sha256"] == self.pointer.sha256


def roots() -> list[Path]:
    """The cache's folders, from MODELZOO_CACHE or the platform's for this user; none without a home."""
    folders = [folder for folder in os.environ.get(ROOTS, "").split(os.pathsep) if folder]
    if not folders:
        import platformdirs

        folders = [platformdirs.user_cache_dir("modelzoo", False)]
    expanded = (os.path.expanduser(folder) for folder in folders)
    return [Path(folder) for folder in expanded if not folder.startswith("~")]  # a user without a home


def home() -> Path:
    """The root that is written to; raises WeightsUnavailable if there is none."""
    advice = f"set {ROOTS} to a folder for weight files that this user may write to"
    for root in roots()[:1]:
        with suppress(OSError):
            root.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.W_OK):
            raise WeightsUnavailable(f"Nothing can be written to the cache {root}: {advice}.")
        return root
    raise WeightsUnavailable(f"This user has no home folder for a cache: {advice}.")


def file_name(model: str, sha256: str, top: bool = True) -> str:
    """The name of a weight file, here and on mirrors."""
    return f"{_stem(model, top)}-{sha256[:NAMED_DIGITS]}.h5"


def pointers(model: str, top: bool = True) -> Iterator[Held]:
    """What each root says that it holds of the model, whether the file is still there or not."""
    for root in roots():
        if pointer := _read(root / "models" / f"{_stem(model, top)}.json"):
            yield Held(root, model, top, pointer)


def find(model: str, top: bool = True) -> Held | None:
    """The model's file in the first root that has one of the right size."""
    return next((held for held in pointers(model, top) if held.has_its_size()), None)


def everything() -> Iterator[Held]:
    """All that the roots say that they hold."""
    for root in roots():
        for path in sorted((root / "models").glob("*.json")):
            model, hyphen, _ = path.stem.partition(NOTOP)
            if pointer := _read(path):
                yield Held(root, model, not hyphen, pointer)


def place(model: str, sha256: str, top: bool = True) -> Path:
    """Where the home keeps a file of this content. Without a pointer it is nobody's."""
    return home() / "weights" / file_name(model, sha256, top)


def point(model: str, sha256: str, *, top: bool = True, **facts: str | None) -> Held:
    """Makes the file that is at its place the model's; `facts` go into the pointer."""
    size = place(model, sha256, top).stat().st_size
    held = Held(home(), model, top, Pointer(sha256, size, since=date.today().isoformat(), **facts))
    with appearing(held.pointer_path) as temporary:
        temporary.write_text(json.dumps(asdict(held.pointer), indent=2) + "\n", "utf-8")
    return held


def keep(file: Path, model: str, **facts: str | None) -> Held:
    """Moves a file of the home to its place and points the model at it."""
    sha256 = digests(file, ("sha256",))["sha256"]
    target = place(model, sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(file, target)
    except PermissionError:  # Windows, where another process reads the file that is there
        if digests(target, ("sha256",))["sha256"] != sha256:
            raise
    return point(model, sha256, **facts)


def use(held: Held) -> None:
    """Remembers that the file was used now, where that can be written."""
    with suppress(OSError):
        os.utime(held.pointer_path)


def set_aside(held: Held) -> Path | None:
    """Renames a damaged file, so that it is not found again; None in a root that is not ours to change."""
    place = held.path.with_name(held.path.name + DAMAGED)
    try:
        os.replace(held.path, place)
    except OSError:
        return None
    return place


def remove(held: Held) -> None:
    held.pointer_path.unlink(missing_ok=True)
    held.path.unlink(missing_ok=True)
    for path in (held.root / "compiled").glob(f"{glob.escape(held.path.stem)}-*"):
        path.unlink(missing_ok=True)


def prune(older_than_days: float | None = None) -> Iterator[tuple[Path, int]]:
    """Removes from the home what is of no use, and yields each path with its bytes.

    That is: damaged files, files without a pointer, downloads that broke off, compiled networks that were
    not used for COMPILED_DAYS, and with `older_than_days` all that was not used for so long.
    """
    folder = home()
    days = COMPILED_DAYS if older_than_days is None else older_than_days
    oldest = time.time() - days * 24 * 3600
    for path in folder.glob("compiled/*"):
        if path.stat().st_mtime < oldest:
            yield path, path.stat().st_size
            path.unlink()
    if older_than_days is not None:
        for held in [held for held in everything() if held.root == folder and held.last_use < oldest]:
            yield held.path, held.pointer.bytes
            remove(held)
    pointed = {held.path for held in everything()}
    for path in [*folder.glob("weights/*"), *folder.glob("downloads/*"), *folder.glob(".work-*")]:
        if path not in pointed and (path.suffix == DAMAGED or not _busy(path)):
            yield path, sum(file.stat().st_size for file in _files(path))
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def lock(name: str, verb: str = "fetches") -> Iterator[None]:
    """One process and thread at a time for each name; where files cannot be locked, nobody waits."""
    from filelock import FileLock, Timeout

    lock = FileLock(home() / "locks" / f"{name}.lock")
    try:
        Path(lock.lock_file).parent.mkdir(exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"modelzoo: waiting for another process that {verb} {name}", file=sys.stderr)
            lock.acquire()
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        lock.release()


@contextmanager
def workroom() -> Iterator[Path]:
    """An empty folder in the home, from where files can be renamed to their places."""
    with tempfile.TemporaryDirectory(prefix=".work-", dir=home()) as folder:
        yield Path(folder)


def download_folder(url: str) -> Path:
    """Where what comes from an address is collected: the same at every try, so that it can be resumed."""
    return home() / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:NAMED_DIGITS]


def fetched(url: str, sha256: str) -> Path:
    """A small file by its checksum, from one of the roots or else from the address."""
    for root in roots():
        path = root / "fetched" / sha256
        if path.is_file() and digests(path, ("sha256",))["sha256"] == sha256:
            return path
    path = home() / "fetched" / sha256
    download.fetch(url, path, checksums={"sha256": sha256})
    return path


def _stem(model: str, top: bool) -> str:
    return model if top else model + NOTOP


def _read(path: Path) -> Pointer | None:
    """The pointer, or None if there is none that can be used."""
    try:
        pointer = Pointer(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return pointer if SHA256.fullmatch(str(pointer.sha256)) and type(pointer.bytes) is int else None


def _busy(path: Path) -> bool:
    return max(file.stat().st_mtime for file in [path, *_files(path)]) > time.time() - BUSY_SECONDS


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
