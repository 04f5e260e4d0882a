"""One transfer: asks until the whole file is there, verified, or until it is clear that it will not come."""

from __future__ import annotations

import random
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from modelzoo import settings
from modelzoo.download.connections import Deadline
from modelzoo.download.failures import Interrupted, ResumeRefused, Unreachable
from modelzoo.download.http import Host
from modelzoo.download.local import LocalFile
from modelzoo.download.partial import Partial, WrongContent
from modelzoo.download.progress import bar_of, is_watched
from modelzoo.download.responses import Response
from modelzoo.errors import DownloadError, quoted, readable

RETRIES = 4  # without progress, and also how often a file is started over
BACKOFF, LONGEST_BACKOFF = 1.0, 30.0  # seconds; doubled from one retry to the next
PROGRESS = 1 << 16  # bytes; less does not count, or a host that sends one byte a minute would never end
sleep = time.sleep


@dataclass(frozen=True)
class Expected:
    """What is known of a file before it comes."""

    checksums: Mapping[str, str]
    size: int | None  # bytes
    limit: int  # bytes that are taken at most


def run(url: str, target: Path, expected: Expected) -> list[str]:
    """See download.fetch."""
    deadline = Deadline(settings.timeout())
    host = LocalFile(url) if url[:5].lower() == "file:" else Host(url, deadline)
    try:
        with Partial(url, target, expected.checksums) as partial:
            return _Transfer(host, partial, expected, _Patience(deadline, partial.received)).run()
    finally:
        host.close()


class _Transfer:
    """The requests and answers by which one file comes."""

    def __init__(self, host: Host | LocalFile, partial: Partial, expected: Expected, patience: _Patience):
        self.host, self.partial, self.expected, self.patience = host, partial, expected, patience
        self.answered = False

    def run(self) -> list[str]:
        distrusted = False
        while True:
            try:
                stated = self._receive()
                self.partial.verify(self.expected.checksums or stated)
                self.partial.commit()
                return [f"{algorithm} stated by the host" for algorithm in stated]
            except Interrupted as error:
                if isinstance(error, Unreachable) and not self.answered:
                    raise
                if self.partial.received and not self.partial.can_be_continued:
                    self.partial.discard()
                    self.patience.start_over(error)
                self.partial.touch()
                self.patience.wait(error)
            except ResumeRefused as error:
                self.partial.discard()
                self.patience.start_over(error)
            except WrongContent as error:
                # Bytes of several answers may not fit together, though the host's file is right.
                if distrusted or not self.partial.pieced:
                    raise
                distrusted = True
                self.partial.discard()
                self.patience.start_over(error)

    def _receive(self) -> dict[str, str]:
        """Takes one answer to its end; returns the checksums that the host states."""
        with self.host.answer(self.partial.received, self.partial.version) as answer:
            self.answered = True
            self._check(answer)
            if answer.start:
                self.partial.pieced = True
            else:
                if self.partial.received:
                    self.patience.start_over(Interrupted("the host starts the file over each time"))
                self.partial.start(answer.version)
            announced = answer.version.size
            expected = announced if self.expected.size is None else self.expected.size
            self._check_room(expected)
            with bar_of(self.partial.target.name, expected, self.partial.received) as bar:
                for block in answer.blocks:
                    self.partial.write(block)
                    if expected is not None and self.partial.received > expected:
                        raise WrongContent(f"expected {expected:,} bytes, got more")
                    self._check_limit(self.partial.received)
                    bar.update(len(block))
                    self.patience.progress(self.partial.received)
                bar.leave = self.partial.received == expected  # one line a file, however often it broke off
            if expected is not None and self.partial.received < expected:
                if announced is not None or not answer.delimited:
                    raise Interrupted("the connection broke off")
                raise WrongContent(f"expected {expected:,} bytes, got {self.partial.received:,}")
            return {} if self.expected.checksums else answer.stated

    def _check(self, answer: Response) -> None:
        """Refuses, before anything is received, what cannot become the file that is expected."""
        size, announced = self.expected.size, answer.version.size
        if size is not None and announced is not None and announced != size:
            raise WrongContent(f"expected {size:,} bytes, the host has {announced:,}")
        self._check_limit(max(announced or 0, size or 0))
        provable = self.expected.checksums or answer.stated
        if answer.encoding != "identity" and not provable:  # an archive's .gz may be taken for an encoding
            raise DownloadError(f"the host sends the file encoded with {quoted(answer.encoding)}, unasked")
        if not (answer.delimited or size is not None or provable):
            raise DownloadError("the host does not say where the file ends")

    def _check_limit(self, count: int) -> None:
        if count > self.expected.limit:
            name = readable(self.partial.target.name)
            raise WrongContent(f"expected at most {self.expected.limit:,} bytes of {name}, the host has more")

    def _check_room(self, expected: int | None) -> None:
        folder = self.partial.target.parent
        missing = (expected or 0) - self.partial.received
        free = shutil.disk_usage(folder).free
        if missing > free:
            raise DownloadError(f"{missing:,} bytes are still to come, {folder} has room for {free:,}")


class _Patience:
    """How often and how long a transfer is tried again. Progress renews it: long files, flaky lines."""

    def __init__(self, deadline: Deadline, received: int):
        self.deadline, self.received = deadline, received
        self.tries = self.restarts = 0
        deadline.renew()  # to copy what an earlier transfer left takes its time

    def progress(self, received: int) -> None:
        if received - self.received >= PROGRESS:
            self.tries, self.received = 0, received
            self.deadline.renew()
        else:
            self.deadline.require()

    def start_over(self, error: DownloadError) -> None:
        """From the first byte; that alone is no progress."""
        self.restarts += 1
        if self.restarts > RETRIES:
            raise error
        self.tries = self.received = 0

    def wait(self, error: Interrupted) -> None:
        """Sleeps before the next try; raises the error after enough tries, or if the wait is too long."""
        self.deadline.require()
        self.tries += 1
        backoff = min(BACKOFF * 2 ** (self.tries - 1), LONGEST_BACKOFF)
        delay = backoff * random.uniform(0.5, 1) if error.wait is None else error.wait
        if self.tries > RETRIES:
            raise error
        if delay > self.deadline.left:
            asked = "" if error.wait is None else f", and the host asks to wait {error.wait:,.0f} s"
            raise DownloadError(f"{error}{asked}") from error
        if is_watched():
            tqdm.write(f"{error}: the next try follows in {delay:.0f} s", file=sys.stderr)
        sleep(delay)
