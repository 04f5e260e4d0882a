"""One URL and what is known of its content -> a verified file. Knows no models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from modelzoo.errors import DownloadError


def cache_folder() -> Path:
    """Where weight files are kept: MODELZOO_CACHE, or the platform's cache folder for this user."""
    import platformdirs

    chosen = os.environ.get("MODELZOO_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("modelzoo", False))


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
