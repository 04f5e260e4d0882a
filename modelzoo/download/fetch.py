"""fetch(): one URL and what is known of its content -> a verified file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from modelzoo import settings
from modelzoo.download.addresses import needs_network, same_origin
from modelzoo.errors import DownloadError
from modelzoo.files import sha256 as sha256_of

MAX_BYTES = 8 * 2**30  # of one file; the largest upstream file has less than 1 GiB
MAX_SMALL_BYTES = 32 * 2**20  # of a registry or an image


def fetch(
    url: str,
    target: Path,
    *,
    checksums: Mapping[str, str] | None = None,
    size: int | None = None,
    limit: int = MAX_BYTES,
) -> list[str]:
    """Downloads to `target`, which appears only when `size` (bytes) and every checksum fit.

    `url` is of http, https or file. `checksums` maps algorithms to hexadecimal digests; without any, what
    the host itself states is demanded. No more than `limit` bytes are taken.
    Returns which of the host's statements fitted, in words. A transfer that breaks off is continued, in this
    call or, if the host allows it safely, in a later one with the same `url` and `target`: until then a
    hidden `.part` file stays beside `target`. Raises DownloadError, whose message holds no address and no
    secret. Any number of threads and processes may call it at once.
    """
    if settings.offline() and needs_network(url):
        raise DownloadError(f"{settings.OFFLINE} is set: nothing is downloaded")
    if settings.hub_offline() and same_origin(url, settings.hub_endpoint()):
        raise DownloadError(f"{settings.HUB_OFFLINE} is set: nothing is downloaded from the hub")
    from modelzoo.download import transfer  # brings requests, which takes a fifth of a second

    try:
        return transfer.run(url, Path(target), transfer.Expected(dict(checksums or {}), size, limit))
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(f"cannot write in {target.parent}: {error.strerror or error}") from error


def by_checksum(url: str, sha256: str) -> Path:
    """A small file by its sha256, from one of the cache's folders or else from the address.

    Raises DownloadError, and WeightsUnavailable without a cache to keep it in.
    """
    for root in settings.cache_roots():
        path = root / "fetched" / sha256
        if path.is_file() and sha256_of(path) == sha256:
            return path
    path = settings.cache_home() / "fetched" / sha256
    fetch(url, path, checksums={"sha256": sha256}, limit=MAX_SMALL_BYTES)
    return path
