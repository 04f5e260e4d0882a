"""One URL and what is known of its content -> a verified file. Knows no models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from modelzoo.errors import DownloadError

OFFLINE = "MODELZOO_OFFLINE"  # the variable: with any value but these no socket is opened
ONLINE_VALUES = ("", "0", "false", "no", "off")


def offline() -> bool:
    return os.environ.get(OFFLINE, "").lower() not in ONLINE_VALUES


def needs_network(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def fetch(
    url: str, target: Path, *, checksums: Mapping[str, str] | None = None, size: int | None = None
) -> list[str]:
    """Downloads to `target`, which appears only when `size` (bytes) and every checksum fit.

    `url` is of http, https or file. `checksums` maps algorithms to hexadecimal digests; without any, what
    the host itself states is demanded. Returns which of the host's statements fitted, in words. A transfer
    that breaks off is continued, in this call or, if the host allows it safely, in a later one with the same
    `url` and `target`: until then a hidden `.part` file stays beside `target`. Raises DownloadError, whose
    message holds no address and no secret. Any number of threads and processes may call it at once.
    """
    if offline() and needs_network(url):
        raise DownloadError(f"{OFFLINE} is set, so that nothing is fetched")
    from modelzoo.download import transfer  # brings requests, which takes a fifth of a second

    try:
        return transfer.run(url, Path(target), dict(checksums or {}), size)
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(f"cannot write in {target.parent}: {error.strerror or error}") from error


def without_password(url: str) -> str:
    """The address as it may be shown and recorded: without "user:password@"."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
