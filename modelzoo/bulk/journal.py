"""Rows that survive an interruption: kept in OUTPUT.unfinished until the last, then published whole.

The journal is text: the job on the first line, then each row as JSON. A run that was killed is taken up again
after the last whole row, by the same command.
"""

from __future__ import annotations

import base64
import errno
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from modelzoo.bulk import formats
from modelzoo.bulk.job import Job
from modelzoo.errors import OutputError

Row = dict[str, Any]


class Journal:
    """The rows of one job on their way into one output file; a context, because only one run may write it."""

    def __init__(self, output: str | os.PathLike, job: Job):
        self.output, self.job = Path(output), job
        self.publisher = formats.publisher(self.output, job)
        self.path = self.output.with_name(f"{self.output.name}.unfinished")
        self.lock = FileLock(f"{self.path}.lock")
        self.pictures = self.failed = self.resumed = 0

    def __enter__(self) -> Journal:
        self.output.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.lock.acquire(timeout=0)
        except Timeout as error:
            raise OutputError(f"Another process is writing {self.output}; wait for it.") from error
        try:
            self.file = self._opened()
        except BaseException:
            self._unlock()
            raise
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        failed = error
        try:
            self.file.close()
        except OSError as cause:  # on a full disk what failed before fails again
            failed = error or cause
        if not self.pictures:  # nothing to take up again
            self.path.unlink(missing_ok=True)
        self._unlock()
        if isinstance(failed, OSError) and failed.errno == errno.ENOSPC:
            left = f": it goes on from {self.path}" if self.pictures else ""
            raise OutputError(
                f"{self.output} cannot be written ({failed.strerror}). Make room and give the same command "
                f"again{left}."
            ) from failed
        if failed is not error:
            raise failed

    def _unlock(self) -> None:
        self.lock.release()
        Path(self.lock.lock_file).unlink(missing_ok=True)

    def _opened(self):
        """The journal, read and written after its first line, which says what job was begun."""
        file = self.path.open("r+b" if self.path.is_file() else "w+b")
        first = file.readline()
        wanted = _line(asdict(self.job))
        if first.endswith(b"\n") and first != wanted:
            file.close()
            raise OutputError(
                f"{self.path} was begun with other settings: {first.decode(errors='replace').strip()}. "
                "Ask for the same to go on, or remove it to begin anew."
            )
        if first != wanted:  # new, or killed in its first moment
            file.seek(0)
            file.truncate()
            file.write(wanted)
        return file

    def remaining(self, names: Iterable[str]) -> Iterator[str]:
        """The pictures that have no row yet. A row that was cut is dropped, and what comes after it."""
        names = iter(names)
        end = self.file.tell()
        for row in _whole_rows(self.file):
            name = next(names, None)
            if name is None or encodable(name) != row["picture"]:
                raise OutputError(
                    f"{self.path} has {row['picture']} where there now is {name or 'no picture'}: "
                    "the pictures have changed. Remove it to begin anew."
                )
            self._count(row)
            end = self.file.tell()
        self.resumed = self.pictures
        self.file.seek(end)
        self.file.truncate()
        return names

    def append(self, rows: Iterable[Row]) -> None:
        """Adds rows; when this returns, no kill loses them."""
        for row in rows:
            self._count(row)
            self.file.write(_line(row))
        self.file.flush()

    def _count(self, row: Row) -> None:
        self.pictures += 1
        self.failed += "error" in row

    def publish(self) -> None:
        """Writes the output, whole or not at all, and removes the journal."""
        self.publisher(self)
        self.file.close()
        self.path.unlink()

    def rows(self) -> Iterator[Row]:
        """All rows that were appended, read from the file again."""
        with self.path.open("rb") as file:
            file.readline()
            yield from _whole_rows(file)


def encodable(name: str) -> str:
    """A file's name as text that every format can hold: bytes that are no UTF-8 are spelt out."""
    return name.encode("utf-8", "backslashreplace").decode()


def _line(row: Row) -> bytes:
    return json.dumps(row, ensure_ascii=False, default=_base64).encode() + b"\n"


def _base64(features: np.ndarray) -> str:
    return base64.b64encode(features.astype("<f4").tobytes()).decode()


def _whole_rows(file) -> Iterator[Row]:
    """Up to the first line that is none of ours: cut, or zeros after a loss of power."""
    while line := file.readline():  # not `for`, which would make tell() impossible
        try:
            row = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            return
        if not isinstance(row, dict) or "picture" not in row:
            return
        if "features" in row:
            row["features"] = np.frombuffer(base64.b64decode(row["features"]), "<f4")
        yield row
