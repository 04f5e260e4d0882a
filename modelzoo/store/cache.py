"""The cache: every weight file is kept under the name of its content, and a pointer says whose it is.

    ROOT/weights/MODEL-0123456789abcdef.h5    a file; the digits begin its sha256
    ROOT/models/MODEL.json                    its pointer: whole sha256, bytes, source, why it is trusted
    ROOT/downloads/                           what is on its way
    ROOT/compiled/                            networks that a runtime compiled, see modelzoo.runtimes.compiled
    ROOT/folders/MODEL/                       model folders that came in a bundle
    ROOT/hub/OWNER--NAME/COMMIT/              small files of model hubs, and their model folders
    ROOT/wheels/NAME-VERSION-DIGITS/          model folders that came in a wheel
    ROOT/fetched/                             other files, by their sha256
    ROOT/locks/                               who is downloading what
    ROOT/modelzoo-*                           what a process works on, removed with it or after it

A file without the head's weights has MODEL-notop in place of MODEL. A file and then its pointer appear by
one rename each, so that whoever finds a pointer finds a whole file. Two processes that do the same work
put the same bytes in the same place: the lock only saves the second one the work.
"""

from __future__ import annotations

import dataclasses
import functools
import glob
import hashlib
import json
import logging
import os
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import date
from io import BufferedRandom
from pathlib import Path

from modelzoo import files, settings
from modelzoo.errors import WeightsMismatch, WeightsUnavailable
from modelzoo.files import CRC32C, is_sha256

LOG = logging.getLogger("modelzoo")
NOTOP = "-notop"  # no key of the registry has a hyphen
NAMED_DIGITS = 16  # of the sha256 in a file's name
DAMAGED = ".damaged"
PLACING = "placing"  # in a temporary folder: whose file is on its way to which name
CRC32C_DIGITS = re.compile("[0-9a-f]{8}")


@dataclass(frozen=True)
class Pointer:
    """What is known of a model's file: `source` is its address, `trust` why its content is believed."""

    sha256: str
    bytes: int
    source: str
    trust: str
    since: str  # the day on which it came
    upstream_sha256: str | None = None  # of the file that it was converted from
    crc32c: str | None = None  # compared whenever the file is read; None of earlier versions


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

    @property
    def damaged_path(self) -> Path:
        """Where the file is kept if it turns out to be damaged."""
        return self.path.with_name(self.path.name + DAMAGED)

    def has_expected_size(self) -> bool:
        """Raises OSError if that cannot be told just now."""
        try:
            return self.path.stat().st_size == self.pointer.bytes
        except (FileNotFoundError, NotADirectoryError):
            return False


def file_name(model: str, sha256: str, top: bool = True) -> str:
    """The name of a weight file, here and on mirrors."""
    return f"{_stem(model, top)}-{sha256[:NAMED_DIGITS]}.h5"


def pointers(model: str, top: bool = True) -> Iterator[CachedFile]:
    """What each root says that it holds of the model, whether the file is still there or not.

    Raises WeightsUnavailable if the home has a pointer that cannot be read just now: to go on as if there
    were none would lose it.
    """
    for root in settings.cache_roots():
        path = root / "models" / f"{_stem(model, top)}.json"
        try:
            pointer = _read(path)
        except OSError as error:
            raise_or_pass_by(root, path, error)
            continue
        if pointer:
            yield CachedFile(root, model, top, pointer)


def raise_or_pass_by(root: Path, path: Path, error: OSError) -> None:
    """What cannot be read just now is left as it is: in the home that is an error, elsewhere a warning."""
    sentence = f"{path} cannot be read just now ({error.strerror or error})"
    if root in settings.cache_roots()[:1]:
        raise WeightsUnavailable(
            f"{sentence}. Nothing was changed: make it readable, or set {settings.CACHE} to another folder."
        ) from error
    _warn_once(f"{sentence}: it is passed by")


@functools.cache
def _warn_once(sentence: str) -> None:
    LOG.warning("%s", sentence)


def find(model: str, top: bool = True) -> CachedFile | None:
    """The model's file in the first root that has one of the right size, as far as that can be read."""
    with suppress(OSError):
        return next((cached for cached in pointers(model, top) if cached.has_expected_size()), None)
    return None


def everything() -> Iterator[CachedFile]:
    """All that the roots say that they hold, as far as that can be read."""
    for root in settings.cache_roots():
        for path in sorted((root / "models").glob("*.json")):
            with suppress(OSError):
                if pointer := _read(path):
                    yield CachedFile(root, *_model_of(path), pointer)


def unreadable(root: Path) -> list[Path]:
    """The pointers of a root that cannot be read just now: what they point at is not known."""
    found: list[Path] = []
    for path in sorted((root / "models").glob("*.json")):
        try:
            _read(path)
        except OSError:
            found.append(path)
    return found


def place(model: str, sha256: str, top: bool = True) -> Path:
    """Where the home keeps a file of this content. Without a pointer it is nobody's."""
    return settings.cache_home() / "weights" / file_name(model, sha256, top)


def point(model: str, sha256: str, *, source: str, trust: str, top: bool = True) -> CachedFile:
    """Makes the file that is at its place the model's; `source` and `trust` as in Pointer.

    Raises WeightsMismatch if the file is not what it is called.
    """
    path = place(model, sha256, top)
    found = files.digests(path, ("sha256", CRC32C))
    if found["sha256"] != sha256:
        raise WeightsMismatch(f"{path}: expected sha256 {sha256}, found {found['sha256']} on the disk.")
    files.sync(path)
    files.sync_folder(path.parent)  # before there is a pointer to it
    return _point(model, top, _pointer(path, found, source, trust))


def keep(
    file: Path, model: str, *, source: str, trust: str, top: bool = True, upstream_sha256: str | None = None
) -> CachedFile:
    """Moves a file of the home to its place and points the model at it."""
    found = files.digests(file, ("sha256", CRC32C))
    target = place(model, found["sha256"], top)
    target.parent.mkdir(parents=True, exist_ok=True)
    with placing(model, target):
        try:
            files.replace(file, target)
        except PermissionError:  # Windows, where another process reads the file that is there
            if files.sha256(target) != found["sha256"]:
                raise
        pointer = _pointer(target, found, source, trust)
        return _point(model, top, dataclasses.replace(pointer, upstream_sha256=upstream_sha256))


def _pointer(path: Path, digests: Mapping[str, str], source: str, trust: str) -> Pointer:
    today = date.today().isoformat()
    return Pointer(digests["sha256"], path.stat().st_size, source, trust, today, crc32c=digests[CRC32C])


def _point(model: str, top: bool, pointer: Pointer) -> CachedFile:
    cached = CachedFile(settings.cache_home(), model, top, pointer)
    _write_pointer(cached)
    return cached


def correct(cached: CachedFile, pointer: Pointer) -> None:
    """Writes down what was found out about a file of the home, if its pointer is still the same."""
    if cached.root == settings.cache_home() and _read(cached.pointer_path) == cached.pointer:
        _write_pointer(dataclasses.replace(cached, pointer=pointer))


def _write_pointer(cached: CachedFile) -> None:
    text = json.dumps(asdict(cached.pointer), indent=2) + "\n"
    with writing(cached.pointer_path) as file:
        file.write(text.encode())


@contextmanager
def writing(target: Path) -> Generator[BufferedRandom]:
    """A new file of the home, whole or not at all; what a killed process leaves is soon removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with temporary_directory() as folder:
        with (folder / target.name).open("w+b") as file:
            yield file
        files.replace(folder / target.name, target)


def use(cached: CachedFile) -> None:
    """Remembers that the file was used now, where that can be written."""
    with suppress(OSError):
        os.utime(cached.pointer_path)


def quarantine(cached: CachedFile) -> Path | None:
    """Renames a damaged file, so that it is not found again; None in a root that is not ours to change."""
    try:
        os.replace(cached.path, cached.damaged_path)
    except OSError:
        return None
    return cached.damaged_path


def remove(cached: CachedFile) -> None:
    """Removes a model's file, also where it is kept as damaged, and what was compiled of it."""
    cached.pointer_path.unlink(missing_ok=True)
    cached.path.unlink(missing_ok=True)
    cached.damaged_path.unlink(missing_ok=True)
    for path in (cached.root / "compiled").glob(f"{glob.escape(cached.path.stem)}-*"):
        path.unlink(missing_ok=True)


@contextmanager
def lock(name: str, verb: str = "downloads", *, wait: bool = True) -> Generator[None]:
    """One process and thread at a time for each name; where files cannot be locked, nobody waits.

    Raises filelock.Timeout, an OSError, if another has it and this one does not `wait`.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(settings.cache_home() / "locks" / f"{name}.lock")
    try:
        Path(lock.lock_file).parent.mkdir(exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                raise
            LOG.warning("waiting for another process that %s %s", verb, name)
            lock.acquire()
    except Timeout:
        raise
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
    remove_abandoned()
    with files.temporary_directory(settings.cache_home()) as folder:
        yield folder


@contextmanager
def placing(model: str, path: Path) -> Generator[None]:
    """While a file comes to its place and is pointed at: a process that is killed between leaves neither."""
    with temporary_directory() as folder:
        (folder / PLACING).write_text(f"{model}\n{path.name}", "utf-8")
        yield


def remove_abandoned() -> list[tuple[Path, int]]:
    """Removes what killed processes worked on, in the home and in the system's folder for temporary files.

    Returns paths and bytes.
    """
    removed = files.remove_abandoned()
    for home in settings.cache_roots()[:1]:
        removed += files.remove_abandoned(home, undo=functools.partial(_undo_placing, home))
    return removed


def _undo_placing(home: Path, folder: Path) -> int:
    """Removes what a killed process placed and did not point at; returns the bytes."""
    try:
        model, name = (folder / PLACING).read_text("utf-8").split("\n")
        path = home / "weights" / Path(name).name
        size = path.stat().st_size
    except (FileNotFoundError, ValueError):
        return 0
    with lock(model, wait=False):  # another process may be placing the same
        if unreadable(home) or any(cached.path == path for cached in everything()):
            return 0
        path.unlink()
        return size


def download_folder(url: str) -> Path:
    """Where what comes from an address is collected: the same at every try, so that it can be resumed."""
    return settings.cache_home() / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:NAMED_DIGITS]


def _stem(model: str, top: bool) -> str:
    return model if top else model + NOTOP


def _model_of(pointer_path: Path) -> tuple[str, bool]:
    model, hyphen, _ = pointer_path.stem.partition(NOTOP)
    return model, not hyphen


def _read(path: Path) -> Pointer | None:
    """The pointer, or None if there is none that can be used; raises OSError if it cannot be read."""
    try:
        pointer = Pointer(**json.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, RecursionError):
        return None
    strings = (pointer.source, pointer.trust, pointer.since, pointer.upstream_sha256 or "")
    sound = is_sha256(pointer.sha256) and type(pointer.bytes) is int and all(type(s) is str for s in strings)
    crc32c = pointer.crc32c
    sound &= crc32c is None or (type(crc32c) is str and CRC32C_DIGITS.fullmatch(crc32c) is not None)
    return pointer if sound else None
