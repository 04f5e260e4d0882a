"""Files that appear whole or not at all, what a killed process left of them, and checksums."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from filelock import BaseFileLock

CHUNK = 1 << 20  # bytes read at a time
SHA256 = re.compile("[0-9a-f]{64}")
CRC32C = "crc32c"  # beside hashlib's algorithms
WORK_FOLDER = "modelzoo-"  # begins the names of temporary folders
PART = ".part"
LOCK = ".lock"  # ends the name of the lock by which a temporary file or folder is known to be in use
LOOKED_AT = 2000  # names in a folder that may have any number of them
TRIES = 10
QUIET_SECONDS = 3600  # without a write, after which what no lock tells about is taken for abandoned
CANNOT_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)  # of file systems that have no fsync


@contextmanager
def atomic_write(target: Path) -> Generator[Path]:
    """A temporary path beside `target`, moved onto it if the block ends well and removed if not.

    The next call for the same target removes what a killed process left.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target.parent, f".{target.name}.", PART)
    with _in_use(target.parent, f".{target.name}.", PART) as temporary:
        temporary.open("xb").close()
        try:
            yield temporary
            replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def temporary_directory(parent: Path | None = None) -> Generator[Path]:
    """An empty folder in `parent`, by default the system's for temporary files, removed at the end.

    What a killed process leaves is for remove_abandoned().
    """
    with _in_use(parent or Path(tempfile.gettempdir()), WORK_FOLDER) as folder:
        folder.mkdir(0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def replace(source: Path, target: Path) -> None:
    """Gives a file its name: a power cut leaves under it the whole file, or what was there before."""
    sync(source)
    os.replace(source, target)
    sync_folder(target.parent)


def sync(path: Path) -> None:
    """Returns when the file's content is on the disk."""
    flags = os.O_RDWR | os.O_BINARY if sys.platform == "win32" else os.O_RDONLY
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Returns when the names in a folder are on the disk, where that can be asked for."""
    if sys.platform != "win32":  # which opens no folders
        with suppress(PermissionError):  # a folder that may be written to but not read
            sync(path)


def create_beside(target: Path, prefix: str) -> tuple[BinaryIO, Path]:
    """A new empty file `prefix`*.part in the folder of `target`, with a name that nobody else has."""
    target.parent.mkdir(parents=True, exist_ok=True)
    while True:
        path = target.with_name(f"{prefix}{secrets.token_hex(4)}{PART}")
        try:
            return path.open("xb"), path  # unlike tempfile's, as readable as the user's umask says
        except FileExistsError:
            continue


def remove_abandoned(
    folder: Path | None = None,
    prefix: str = WORK_FOLDER,
    suffix: str = "",
    undo: Callable[[Path], int] = lambda path: 0,
) -> list[tuple[Path, int]]:
    """Removes temporary files or folders whose process has ended; returns their paths and bytes.

    By default the temporary folders in the system's folder for them. If there are none, this costs less than
    a millisecond: not more than LOOKED_AT names are read. `undo` is called with each before it is removed,
    and returns the bytes of what it removed beside; an OSError keeps it for later.
    """
    folder = folder or Path(tempfile.gettempdir())
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in islice(entries, LOOKED_AT) if e.name.startswith(prefix)]
    except OSError:  # there is no such folder
        return []
    rest = re.compile(rf"(([0-9a-f]{{8}})-[0-9a-f]{{12}}{re.escape(suffix)})({LOCK})?")
    matches = [match for name in names if (match := rest.fullmatch(name, len(prefix)))]
    found = {folder / f"{prefix}{match[1]}": match[2] for match in matches}
    removed = [(path, _remove_if_abandoned(path, machine, undo)) for path, machine in found.items()]
    return [(path, size) for path, size in removed if size is not None]


@contextmanager
def _in_use(folder: Path, prefix: str, suffix: str = "") -> Generator[Path]:
    """A path that nothing has, and that remove_abandoned() passes by for as long as this process lives."""
    path, lock = folder, None
    for _ in range(TRIES):  # somebody who cleans up may take the new lock for an abandoned one
        path = folder / f"{prefix}{_machine()}-{secrets.token_hex(6)}{suffix}"
        with suppress(_Held):
            lock = _locked(path)  # before there is anything that could look abandoned
            break
    try:
        yield path
    finally:
        _unlock(path, lock)


class _Held(Exception):
    """Another process has the lock, or has just removed its file."""


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + LOCK)


def _locked(path: Path) -> BaseFileLock | None:
    """The lock of a temporary path; None where files cannot be locked. Raises _Held."""
    from filelock import FileLock, Timeout  # takes a twentieth of a second

    lock = FileLock(_lock_of(path))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise _Held from error
    except (OSError, NotImplementedError):
        return None
    if not _lock_of(path).exists():
        lock.release()
        raise _Held
    return lock


def _unlock(path: Path, lock: BaseFileLock | None) -> None:
    if sys.platform == "win32" and lock is not None:  # where an open file cannot be removed
        lock.release()
    with suppress(OSError):
        _lock_of(path).unlink(missing_ok=True)
    if lock is not None:
        lock.release()


def _remove_if_abandoned(path: Path, machine: str, undo: Callable[[Path], int]) -> int | None:
    """The bytes of what was removed; None if it may be in use, or cannot be removed."""
    with suppress(OSError, _Held):
        quiet = _is_quiet(path)
        if not _is_ours(path) or not (quiet or machine == _machine()):
            return None
        lock = _locked(path)
        if lock is None and not quiet:
            return None
        try:
            size = size_of(path) + undo(path)
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            return size
        finally:
            _unlock(path, lock)
    return None


def _is_ours(path: Path) -> bool:
    """Whether this user made the temporary path and its lock: others may write in the same folder."""
    for file in (path, _lock_of(path)):
        with suppress(FileNotFoundError):
            facts = file.lstat()
            kind = stat.S_IFMT(facts.st_mode)
            if kind != stat.S_IFREG and (kind != stat.S_IFDIR or file != path):
                return False
            if sys.platform != "win32" and facts.st_uid != os.geteuid():
                return False
    return True


def _is_quiet(path: Path) -> bool:
    files = [path, *files_in(path)] if path.exists() else [_lock_of(path)]
    return max(file.stat().st_mtime for file in files) < time.time() - QUIET_SECONDS


def files_in(path: Path) -> Iterator[Path]:
    """All files in a folder and the folders in it; of a file itself."""
    return (file for file in (path.rglob("*") if path.is_dir() else (path,)) if file.is_file())


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in files_in(path))


@cache
def _machine() -> str:
    """Digits of the kernel's start: only processes of the same one are sure to see each other's locks."""
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
    except OSError:  # not Linux
        import platform

        start = platform.node()
    return hashlib.sha256(start.encode()).hexdigest()[:8]


def digests(path: Path, algorithms: Sequence[str]) -> dict[str, str]:
    """The file's checksums in hexadecimal, from one reading: hashlib's algorithms and "crc32c"."""
    hashes = {
        algorithm: _Crc32c() if algorithm == CRC32C else hashlib.new(algorithm, usedforsecurity=False)
        for algorithm in algorithms
    }
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            for hash_ in hashes.values():
                hash_.update(chunk)
    return {algorithm: hash_.hexdigest() for algorithm, hash_ in hashes.items()}


class _Crc32c:
    """CRC-32C as a hash of hashlib: finds what disks and memory do to a file, not what people do."""

    def __init__(self) -> None:
        self._crc = 0

    def update(self, data: bytes) -> None:
        self._crc = crc32c_of(data, self._crc)

    def hexdigest(self) -> str:
        return f"{self._crc:08x}"


def sha256(path: Path) -> str:
    """The file's sha256 in hexadecimal."""
    return digests(path, ("sha256",))["sha256"]


def crc32c(path: Path) -> str:
    """The file's CRC-32C, eight hexadecimal digits: ten times as fast as its sha256."""
    return digests(path, (CRC32C,))[CRC32C]


def crc32c_of(data: Any, before: int = 0) -> int:
    """The CRC-32C of bytes or of a C-contiguous array; `before` is that of what comes before it."""
    import google_crc32c

    untyped: Any = google_crc32c
    return int(untyped.extend(before, data))


def is_sha256(text: object) -> bool:
    """Whether this is a sha256 as it is written everywhere: 64 lower-case hexadecimal digits."""
    return isinstance(text, str) and SHA256.fullmatch(text) is not None
