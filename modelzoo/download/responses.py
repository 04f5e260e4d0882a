"""What a host's answer says: a file, a part of one, or something that is sent in place of it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.client import responses
from itertools import chain
from urllib.parse import urlsplit

import requests

from modelzoo import settings
from modelzoo.download.addresses import is_private, same_origin
from modelzoo.download.failures import ERROR_CODE, HostRefused, Interrupted, ResumeRefused, reasons
from modelzoo.download.partial import Version
from modelzoo.errors import DownloadError
from modelzoo.files import SHA256

BLOCK = 1 << 16  # bytes taken from the network at a time, at most
SECURE = "https"
PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416
RETRYABLE_STATUS = (408, 425, 429)  # and all from 500
HEAD = 512  # bytes by which a web page is told from a file
WEB_PAGE = (b"<!doctype html", b"<html")
# What model hubs say beside the status, in words.
HUB_CODES = {
    "EntryNotFound": "the repository has no such file",
    "GatedRepo": "the repository is gated",
    "RepoNotFound": "there is no such repository, or it is private",
    "RevisionNotFound": "the repository has no such revision",
}
LFS_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass
class Response:
    """The bytes of a file from `start` on; `delimited` if their end can be told from a broken connection."""

    start: int
    version: Version
    delimited: bool
    stated: dict[str, str]
    encoding: str
    blocks: Iterator[bytes]


def check_status(response: requests.Response, partial: bool) -> None:
    """Raises unless the answer is a file, or, if a part was asked for, a part or that there is none."""
    status = response.status_code
    if status == 200 or (partial and status in (PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE)):
        return
    response.close()
    reason = f"HTTP {status} {responses.get(status, '')}".rstrip()  # the host's own words may be any
    if status in (*RETRYABLE_STATUS, PARTIAL_CONTENT) or status >= 500:
        raise Interrupted(reason, _retry_after(response.headers.get("Retry-After")))
    code = HUB_CODES.get(response.headers.get(ERROR_CODE, ""))
    raise HostRefused(f"{reason}, {code}" if code else reason, status, response.headers)


def _retry_after(value: str | None) -> float | None:
    """Seconds, from a number or from a date."""
    if value is None:
        return None
    if re.fullmatch("[0-9]{1,18}", value.strip()):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None  # neither: as if the host had said nothing
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time())


def blocks_of(response: requests.Response) -> Iterator[bytes]:
    """The bytes as they arrive; not more than the host has announced."""
    left = _length(response)
    while left is None or left > 0:
        with reasons():
            block = response.raw.read1(BLOCK if left is None else min(BLOCK, left), decode_content=False)
        if not block:
            return
        left = None if left is None else left - len(block)
        yield block


def peek(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, and all blocks from the first one on."""
    head = b""
    for block in blocks:
        head += block
        if len(head) >= HEAD:
            break
    return head, chain([head] if head else [], blocks)


def is_page(head: bytes) -> bool:
    return head.lstrip()[:14].lower().startswith(WEB_PAGE)


def check_head(head: bytes) -> None:
    """Raises if the first bytes are of something that hosts send in place of a file."""
    if is_page(head):
        raise DownloadError("a web page came instead of a file")
    if head.startswith(LFS_POINTER):
        raise DownloadError("a Git LFS pointer came instead of the file that it points to")


def understand(
    answers: list[requests.Response], blocks: Iterator[bytes], offset: int, version: Version
) -> Response:
    """What the last answer's headers say; raises ResumeRefused if it does not go on at `offset`."""
    response = answers[-1]
    headers = response.headers
    etag, modified = headers.get("ETag"), headers.get("Last-Modified")
    etag = etag if etag and etag.startswith('"') else None
    length = _length(response)
    if response.status_code == 200:
        offset, version = 0, Version(etag, modified, length)
    else:
        part = re.fullmatch(
            r"bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18}|\*)", headers.get("Content-Range", "").strip()
        )
        if not part or int(part[1]) != offset:
            raise ResumeRefused("the host sent another part of the file than asked for")
        size = version.size if part[2] == "*" else int(part[2])
        came = Version(etag or version.etag, modified or version.modified, size)
        if came != Version(version.etag, version.modified, version.size or size):
            raise ResumeRefused("the file at the host changed in the meantime")
        version = came
    delimited = length is not None or headers.get("Transfer-Encoding", "").lower() == "chunked"
    encoding = headers.get("Content-Encoding", "identity").lower()
    return Response(offset, version, delimited, _stated_checksums(answers), encoding, blocks)


def _length(response: requests.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    chunked = "Transfer-Encoding" in response.headers  # goes before a length, says RFC 9112
    return int(length) if re.fullmatch("[0-9]{1,18}", length) and not chunked else None


def _stated_checksums(answers: list[requests.Response]) -> dict[str, str]:
    """The sha256 that the Hugging Face hub states in the answer that redirects to the file's storage.

    Only the host that was asked is believed, and only over https, or where HF_ENDPOINT is this machine. Of
    small files it states git's sha1, which is not that of their content.
    """
    asked = urlsplit(answers[0].url)
    for answer in answers:
        place, hub = urlsplit(answer.url), same_origin(answer.url, settings.hub_endpoint())
        etag = answer.headers.get("X-Linked-ETag", "").strip('"').lower()
        private = place.scheme == SECURE or (hub and is_private(answer.url))
        if private and place.netloc == asked.netloc and SHA256.fullmatch(etag):
            return {"sha256": etag}
    return {}
