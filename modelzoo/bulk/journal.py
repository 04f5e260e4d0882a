"""Rows that survive an interruption: kept in OUTPUT.unfinished until the last, then written whole.

The journal is text: on the first line all that decides a row, then each row as JSON. The same command resumes
a killed run after its last whole row; it is refused where anything of the first line has changed.
"""

from __future__ import annotations

import base64
import errno
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from modelzoo.bulk.lock import RunLock
from modelzoo.bulk.outputs import Writer, writer_for
from modelzoo.bulk.rows import Request, Results, Row, differences
from modelzoo.errors import OutputError, readable
from modelzoo.images import encodable


class Journal:
    """The rows of one request on their way into one output; a context, because only one run may write it.

    `write` is called with the output and all rows when the last is there; by default it writes the format of
    the output's ending.
    """

    def __init__(self, output: str | os.PathLike[str], request: Request, write: Writer | None = None):
        self.output, self.request = Path(output), request
        self.write = write or writer_for(self.output, request)
        self.path = self.output.with_name(f"{self.output.name}.unfinished")
        self.lock = RunLock(self.output.with_name(f"{self.path.name}.lock"))
        self.facts: dict[str, Any] = {}
        self.images = self.failed = self.resumed = 0

    def __enter__(self) -> Journal:
        self.output.parent.mkdir(parents=True, exist_ok=True)
        if not self.lock.acquire():
            raise OutputError(f"Another process is writing {readable(str(self.output))}; wait for it.")
        try:
            self.facts = self.request.facts()
            self.file = self._opened()
        except BaseException:
            self.lock.release()
            raise
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        failed = error
        try:
            self.file.close()
        except OSError as cause:  # on a full disk what failed before fails again
            failed = error or cause
        if not self.images:  # nothing to resume
            self.path.unlink(missing_ok=True)
        self.lock.release()
        if isinstance(failed, OSError) and failed.errno == errno.ENOSPC:
            resumed = f" to resume from {readable(str(self.path))}" if self.images else ""
            advice = f"Make room and rerun the same command{resumed}."
            raise OutputError(
                f"{readable(str(self.output))} cannot be written ({failed.strerror}). {advice}"
            ) from failed
        if failed is not None and failed is not error:
            raise failed

    def _opened(self) -> IO[bytes]:
        """The journal, read and written after its first line, which says what decides its rows."""
        resumable = self.path.is_file() and not self.request.is_random
        file = self.path.open("r+b" if resumable else "w+b")
        first = file.readline()
        expected = _line(self.facts)
        if first.endswith(b"\n") and first != expected:
            file.close()
            raise OutputError(f"{readable(str(self.path))} {self._why_refused(first)}")
        if first != expected:  # new, or killed in its first moment
            file.seek(0)
            file.truncate()
            file.write(expected)
        return file

    def _why_refused(self, first: bytes) -> str:
        try:
            before: Any = json.loads(first)
        except ValueError:
            before = None
        if not isinstance(before, dict) or "model" not in before:
            return "was not written by modelzoo; remove it, or give the output another name."
        changes = differences(cast(dict[str, Any], before), self.facts) or "they are written otherwise"
        return (
            f"was begun with other settings: {changes}. Restore them to resume, or remove it to start over."
        )

    def remaining(self, names: Iterable[str]) -> Iterator[str]:
        """The images that have no row yet. A truncated row is dropped, and what comes after it."""
        names = iter(names)
        end = self.file.tell()
        for row in _whole_rows(self.file):
            name = next(names, None)
            if name is None or encodable(name) != row["image"]:
                raise OutputError(
                    f"{readable(str(self.path))} has {readable(row['image'])} where there now is "
                    f"{readable(name) if name else 'no image'}: "
                    "the images have changed. Remove it to start over."
                )
            self._count(row)
            end = self.file.tell()
        self.resumed = self.images
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
        self.images += 1
        self.failed += "error" in row

    def finish(self) -> None:
        """Writes the output, whole or not at all, and removes the journal."""
        self.write(self.output, Results(self.request, self.facts, self.rows, self.images, self.failed))
        self.file.close()
        self.path.unlink()

    def rows(self) -> Iterator[Row]:
        """All rows that were appended, read from the file again."""
        with self.path.open("rb") as file:
            file.readline()
            yield from _whole_rows(file)


def _line(row: Row) -> bytes:
    return json.dumps(row, ensure_ascii=False, default=_base64).encode() + b"\n"


def _base64(embedding: np.ndarray) -> str:
    return base64.b64encode(embedding.astype("<f4").tobytes()).decode()


def _whole_rows(file: IO[bytes]) -> Iterator[Row]:
    """Up to the first line that is not a row: truncated, or zeros after a loss of power."""
    while line := file.readline():  # not `for`, which would make tell() impossible
        try:
            found: Any = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            return
        if not isinstance(found, dict) or "image" not in found:
            return
        row = cast(Row, found)
        if "embedding" in row:
            row["embedding"] = np.frombuffer(base64.b64decode(row["embedding"]), "<f4")
        yield row
