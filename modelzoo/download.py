"""One URL and what is known of its content -> a verified file. Knows no models."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from modelzoo.errors import DownloadError
from modelzoo.files import CHUNK, appearing

SECURE = "https"
SHA256 = re.compile("[0-9a-f]{64}")
TIMEOUTS = (10, 60)  # seconds to connect, and between two packets
WEB_PAGE = (b"<!doctype html", b"<html")


def cache_folder() -> Path:
    """Where weight files are kept: MODELZOO_CACHE, or the platform's cache folder for this user."""
    import platformdirs

    chosen = os.environ.get("MODELZOO_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("modelzoo", False))


def fetch(
    url: str, target: Path, *, checksums: Mapping[str, str] | None = None, size: int | None = None
) -> list[str]:
    """Downloads to `target`, which appears only when `size` (bytes) and every checksum fit.

    `checksums` maps algorithms to hexadecimal digests; without any, what the host itself states is
    demanded. Returns which of the host's statements fitted, in words. Raises DownloadError and
    leaves nothing.
    """
    import requests

    try:
        with requests.get(url, stream=True, timeout=TIMEOUTS) as response:
            response.raise_for_status()
            stated = {} if checksums else _stated_checksums(response)
            with appearing(target) as temporary:
                _receive(response, temporary, checksums or stated, size)
    except requests.HTTPError as error:
        raise DownloadError(f"HTTP {error.response.status_code} {error.response.reason}") from error
    except requests.Timeout as error:
        raise DownloadError(f"no answer within {TIMEOUTS[1]} s") from error
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
        raise DownloadError("no connection, or it broke off") from error
    except requests.RequestException as error:
        raise DownloadError(f"{type(error).__name__}: {error}") from error
    return [f"{algorithm} stated by the host" for algorithm in stated]


def _stated_checksums(response) -> dict[str, str]:
    """The sha256 that the Hugging Face hub states in the answer that redirects to the file's storage.

    Only the host that was asked is believed, and only over https. Of small files it states git's sha1,
    which is not that of their content.
    """
    answers = [*response.history, response]
    asked = urlsplit(answers[0].url)
    for answer in answers:
        place = urlsplit(answer.url)
        etag = answer.headers.get("X-Linked-ETag", "").strip('"').lower()
        if place.scheme == SECURE and place.netloc == asked.netloc and SHA256.fullmatch(etag):
            return {"sha256": etag}
    return {}


def _receive(response, path: Path, checksums: Mapping[str, str], size: int | None) -> None:
    from tqdm import tqdm

    hashes = {algorithm: hashlib.new(algorithm, usedforsecurity=False) for algorithm in checksums}
    length = response.headers.get("Content-Length")
    expected = size if size is not None else int(length) if length and length.isdigit() else None
    received = 0
    with (
        path.open("wb") as file,
        tqdm(
            total=expected,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            desc=path.name.strip(".").removesuffix(".part").rpartition(".")[0],
            disable=not sys.stderr.isatty(),
        ) as bar,
    ):
        for chunk in response.iter_content(CHUNK):
            if received == 0 and chunk.lstrip()[:14].lower().startswith(WEB_PAGE):
                raise DownloadError("a web page came instead of a file")
            received += len(chunk)
            if size is not None and received > size:
                raise DownloadError(f"wanted {size:,} bytes, more came")
            file.write(chunk)
            bar.update(len(chunk))
            for hash_ in hashes.values():
                hash_.update(chunk)
    if expected is not None and received != expected:
        raise DownloadError(f"wanted {expected:,} bytes, {received:,} came")
    for algorithm, hash_ in hashes.items():
        if hash_.hexdigest() != checksums[algorithm]:
            raise DownloadError(f"wanted {algorithm} {checksums[algorithm]}, got {hash_.hexdigest()}")
