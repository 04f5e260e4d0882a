"""What has arrived of an unfinished transfer: a hidden file, which a later transfer can continue.

Every transfer writes a file of its own, so that no two ever write the same one, with or without working
locks. What an earlier transfer left is copied rather than written on: whether its process is still alive
cannot be told reliably (containers, network file systems).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from modelzoo.errors import DownloadError
from modelzoo.files import CHUNK, create_beside, sha256

STALE = 900  # seconds without a write after which nobody writes the file any more; longer than any wait
RECORD = ".json.part"


class WrongContent(DownloadError):
    """What came is whole, but not the file that was expected."""


@dataclass(frozen=True)
class Version:
    """What the host says about the file it is sending, by which it is known again."""

    etag: str | None = None  # strong ones only: a weak one promises equal meaning, not equal bytes
    modified: str | None = None
    size: int | None = None

    @property
    def condition(self) -> str | None:
        """The value for If-Range: continue only if the file is still this one."""
        return self.etag or self.modified


class _OwnFile:
    """The file that one transfer writes, open, and the checksums of what is in it."""

    def __init__(self, target: Path, prefix: str, algorithms: Collection[str]):
        self.file, self.path = create_beside(target, prefix)
        self.hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}

    def write(self, block: bytes) -> None:
        self.file.write(block)
        for hash_ in self.hashes.values():
            hash_.update(block)


class Partial:
    """One transfer's own file; `with` ends in it being committed, or kept to be continued, or removed."""

    def __init__(self, url: str, target: Path, checksums: Mapping[str, str]):
        self.target = target
        self.checksums = checksums
        self.prefix = f".{target.name}.{hashlib.sha256(url.encode()).hexdigest()[:16]}."
        self.version = Version()
        self.received = 0
        self.pieced = False  # holds bytes of more than one answer
        self._own: _OwnFile | None = None

    def __enter__(self) -> Partial:
        left = [path for path in self._named() if not path.name.endswith(RECORD)]
        left.sort(key=_length, reverse=True)
        continued = any(self._continue(path) for path in left)
        own = self._own if continued else None
        now = _modified(own.path) if own else time.time()  # the file server's clock may differ
        for path in left:
            if now - _modified(path) >= STALE:
                _remove(path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._own is None:
            return
        if not self.received or not self.can_be_continued or isinstance(error, WrongContent):
            self.discard()
            return
        self._own.file.close()
        released = _modified(self._own.path) - STALE  # says to the next transfer that nobody writes it now
        os.utime(self._own.path, (released, released))

    def start(self, version: Version) -> None:
        """Begins an empty file. Never empties the old one: another process may be copying it."""
        self.discard()
        self._own = _OwnFile(self.target, self.prefix, {"sha256", *self.checksums})
        self.version = version
        if self.can_be_continued:
            _record(self._own.path).write_text(json.dumps(asdict(version)), "utf-8")

    @property
    def can_be_continued(self) -> bool:
        """Whether bytes of a later answer that do not belong to these would be noticed."""
        version = self.version
        return bool(self.checksums or version.etag or (version.modified and version.size is not None))

    def write(self, block: bytes) -> None:
        self._started().write(block)
        self.received += len(block)

    def touch(self) -> None:
        """Says to other processes that somebody still works on this file."""
        if self._own is not None:
            with suppress(OSError):
                os.utime(self._own.path)

    def discard(self) -> None:
        if self._own is not None:
            self._own.file.close()
            _remove(self._own.path)
        self._own, self.version, self.received, self.pieced = None, Version(), 0, False

    def verify(self, checksums: Mapping[str, str]) -> None:
        for algorithm, expected in checksums.items():
            came = self._started().hashes[algorithm].hexdigest()
            if came != expected.lower():
                raise WrongContent(f"expected {algorithm} {expected}, got {came}")

    def commit(self) -> None:
        """Moves the file onto its target, and removes what other transfers of it left."""
        own = self._started()
        own.file.flush()
        os.fsync(own.file.fileno())  # or a power cut could leave the name with nothing in it
        own.file.close()
        try:
            os.replace(own.path, self.target)
        except FileNotFoundError:
            # Another process has finished the same transfer, and took this one for a leftover.
            if not self.target.is_file() or sha256(self.target) != own.hashes["sha256"].hexdigest():
                raise DownloadError("another process removed the partial file") from None
        self._own = None
        for path in self._named():
            _remove(path)

    def _started(self) -> _OwnFile:
        if self._own is None:
            raise RuntimeError("start() comes before anything is written.")
        return self._own

    def _named(self) -> list[Path]:
        """The files of all transfers from this address to this target, and their records."""
        with suppress(FileNotFoundError):
            files = self.target.parent.iterdir()
            return [file for file in files if file.name.startswith(self.prefix) and file.suffix == ".part"]
        return []

    def _continue(self, path: Path) -> bool:
        """Copies what another transfer has received; False if that is nothing, or of an unknown version."""
        try:
            version = _recorded(path)
            with path.open("rb") as file:
                length = _length(path)
                if version.size is not None:
                    length = min(length, version.size - 1)  # so that the host is asked in any case
                room = shutil.disk_usage(self.target.parent).free
                if length <= 0 or room < (version.size or length):
                    return False
                self.start(version)
                while self.received < length and (block := file.read(min(CHUNK, length - self.received))):
                    self.write(block)
        except (OSError, ValueError, TypeError):  # it was just committed or removed, or was never recorded
            self.discard()
            return False
        if not self.can_be_continued:  # the earlier transfer knew a checksum that this one does not
            self.discard()
        return self.received > 0


def _record(path: Path) -> Path:
    """Where the version of the partial file is written down."""
    return path.with_suffix(RECORD)


def _recorded(path: Path) -> Version:
    """The version of the partial file; raises OSError, ValueError or TypeError if it cannot be told."""
    version = Version(**json.loads(_record(path).read_text("utf-8")))
    kinds = {"etag": str, "modified": str, "size": int}
    if not all(isinstance(value, kinds[name] | None) for name, value in asdict(version).items()):
        raise TypeError(f"not a version: {version}")
    return version


def _length(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _modified(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _remove(path: Path) -> None:
    for file in (path, _record(path)):
        with suppress(OSError):  # on Windows a file that is being read stays
            file.unlink(missing_ok=True)
