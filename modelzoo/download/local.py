"""A file:// address, asked as if it were a host."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from modelzoo.download.failures import reasons
from modelzoo.download.partial import Version
from modelzoo.download.responses import BLOCK, Response, check_head, peek
from modelzoo.errors import DownloadError


class LocalFile:
    """It is always sent whole."""

    def __init__(self, url: str):
        with reasons():
            parts = urlsplit(url)
        if parts.netloc not in ("", "localhost"):
            raise DownloadError("a file:// address has three slashes and no host")
        self.path = Path(url2pathname(parts.path))

    def close(self) -> None:
        pass

    @contextmanager
    def answer(self, offset: int, version: Version) -> Generator[Response]:
        try:
            kind = self.path.stat().st_mode
            if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                raise DownloadError("it is not a file, but a device or a pipe")
            file = self.path.open("rb")
        except FileNotFoundError as error:
            raise DownloadError("no such file") from error
        except DownloadError:
            raise
        except OSError as error:
            raise DownloadError(f"it cannot be read: {error.strerror}") from error
        with file:
            head, blocks = peek(iter(lambda: file.read(BLOCK), b""))
            check_head(head)
            size = os.fstat(file.fileno()).st_size
            yield Response(0, Version(size=size), True, {}, "identity", blocks)
