"""Asking a host for a file, or for the rest of one: redirects, tokens, certificates, confirmations, refusals.

Proxies (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) and REQUESTS_CA_BUNDLE are requests' own; SSL_CERT_FILE is added.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from http.client import responses
from itertools import chain
from pathlib import Path
from urllib.parse import unquote, urlencode, urljoin, urlsplit
from urllib.request import url2pathname

import requests
import urllib3

from modelzoo.download import without_password
from modelzoo.download.partial import Version
from modelzoo.errors import DownloadError

CONNECT_TIMEOUT, READ_TIMEOUT = 10, 60  # seconds to connect, and between two packets
BLOCK = 1 << 16  # bytes taken from the network at a time, at most
REDIRECTS = 10
LOOPBACK = ("localhost", "127.0.0.1", "::1")
SECURE = "https"
SHA256 = re.compile("[0-9a-f]{64}")
PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416
MAY_GET_BETTER = (408, 425, 429)  # and all from 500
HEAD = 512  # bytes by which a web page is told from a file
WEB_PAGE = (b"<!doctype html", b"<html")
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
DRIVE = ("drive.google.com", "docs.google.com", "drive.usercontent.google.com")
DRIVE_QUOTA = (b"Quota exceeded", b"Too many users have viewed or downloaded this file")
PAGE = 1 << 20  # bytes of a web page that are read


class Interrupted(DownloadError):
    """The transfer may succeed if it is tried again, after `wait` seconds if the host says so."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


class Unreachable(Interrupted):
    """No connection came about: another source is likelier to help than another try."""


class Changed(DownloadError):
    """The host cannot continue the file where it broke off: it has to be begun anew."""


@dataclass
class Answer:
    """The bytes of a file from `start` on; `delimited` if their end can be told from a broken connection."""

    start: int
    version: Version
    delimited: bool
    stated: dict[str, str]
    encoding: str
    blocks: Iterator[bytes]


class LocalFile:
    """A file:// address, asked as if it were a host. It is always sent whole."""

    def __init__(self, url: str, limit: float):
        with reasons():
            parts = urlsplit(url)
        if parts.netloc not in ("", "localhost"):
            raise DownloadError("a file:// address has three slashes and no host")
        self.path, self.limit = Path(url2pathname(parts.path)), limit

    def close(self) -> None:
        pass

    @contextmanager
    def answer(self, offset: int, version: Version) -> Iterator[Answer]:
        try:
            file = self.path.open("rb")
        except FileNotFoundError as error:
            raise DownloadError("no such file") from error
        except OSError as error:
            raise DownloadError(f"it cannot be read: {error.strerror}") from error
        with file:
            head, blocks = _peeked(iter(lambda: file.read(BLOCK), b""))
            _check_head(head)
            size = os.fstat(file.fileno()).st_size
            yield Answer(0, Version(size=size), True, {}, "identity", blocks)


class Host:
    """The host of an address, with one session: cookies, and a connection that serves several requests."""

    def __init__(self, url: str, limit: float):
        with reasons():
            if urlsplit(url).scheme not in ("http", "https"):
                raise DownloadError("an address must begin with https://, http:// or file://")
            self.url, self.limit = without_password(url), limit
            self.authorisation = _authorisation(url)
        self.session = _Session()
        self.session.verify = os.environ.get("SSL_CERT_FILE") or True

    def close(self) -> None:
        self.session.close()

    @contextmanager
    def answer(self, offset: int, version: Version) -> Iterator[Answer]:
        """What the host sends if asked for all from `offset` on, provided that it still has `version`."""
        headers = {"Accept-Encoding": "identity"}  # lengths and checksums are of the file's own bytes
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if version.condition:
                headers["If-Range"] = version.condition
        answers = self._follow(self.url, headers)
        try:
            head, blocks = _peeked(_blocks(answers[-1]))
            if answers[-1].status_code == 200:
                if _is_page(head) and urlsplit(answers[-1].url).hostname in DRIVE:
                    answers += self._follow(_confirmed_address(answers[-1].url, blocks), headers)
                    head, blocks = _peeked(_blocks(answers[-1]))
                if answers[-1].status_code == 200:
                    _check_head(head)
            yield _understood(answers, blocks, offset, version)
        finally:
            for answer in answers:
                answer.close()

    def _follow(self, url: str, headers: dict[str, str]) -> list[requests.Response]:
        """The host's answer, and before it those that redirected to it."""
        answers: list[requests.Response] = []
        while len(answers) <= REDIRECTS:
            answers.append(self._ask(url, headers))
            location = self.session.location(answers[-1])
            if location is None:
                _check_status(answers[-1], "Range" in headers)
                return answers
            answers[-1].close()
            url = _next_address(url, location)
        raise DownloadError(f"the host redirects more than {REDIRECTS} times")

    def _ask(self, url: str, headers: dict[str, str]) -> requests.Response:
        with reasons():
            trusted = _origin(url) == _origin(self.url)  # what another host asks for gets no secret
            return self.session.get(
                url,
                headers=headers,
                stream=True,
                timeout=(min(CONNECT_TIMEOUT, self.limit), min(READ_TIMEOUT, self.limit)),
                allow_redirects=False,
                auth=self.authorisation if trusted else None,
            )


class _Session(requests.Session):
    """Follows no redirect by itself: requests would read a redirecting page to its end, however long."""

    def get_redirect_target(self, resp):
        return None

    def location(self, response: requests.Response) -> str | None:
        return super().get_redirect_target(response)


class _Bearer(requests.auth.AuthBase):
    """A token as the `auth` of a request: only so does it go before what ~/.netrc holds."""

    def __init__(self, token: str):
        self.token = token

    def __call__(self, request):
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def _authorisation(url: str) -> requests.auth.AuthBase | None:
    """The address's own user and password, or MODELZOO_TOKEN if it is an address of MODELZOO_MIRROR."""
    parts = urlsplit(url)
    if parts.username is not None:
        return requests.auth.HTTPBasicAuth(unquote(parts.username), unquote(parts.password or ""))
    token = os.environ.get("MODELZOO_TOKEN", "").strip()
    mirrors = [base.strip() for base in os.environ.get("MODELZOO_MIRROR", "").split("|")]
    private = parts.scheme == "https" or parts.hostname in LOOPBACK
    if not token or not private or _origin(url) not in map(_origin, mirrors):
        return None
    if not re.fullmatch("[!-~]+", token):
        raise DownloadError("MODELZOO_TOKEN holds a character that a token cannot hold")
    return _Bearer(token)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


@contextmanager
def reasons() -> Iterator[None]:
    """Turns what requests and urllib3 raise into one short reason, which never holds the address."""
    try:
        yield
    except DownloadError:
        raise
    except requests.exceptions.ProxyError as error:
        raise Unreachable("no connection through the proxy that HTTP_PROXY or HTTPS_PROXY names") from error
    except (requests.exceptions.SSLError, urllib3.exceptions.SSLError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise DownloadError(
                "the host's certificate is not trusted (SSL_CERT_FILE may name your authority's)"
            ) from error
        raise Interrupted("the secure connection broke off") from error
    except requests.exceptions.ConnectTimeout as error:
        raise Unreachable("no connection in time") from error
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise Interrupted("no answer in time") from error
    except requests.exceptions.ConnectionError as error:
        cause = getattr(error.args[0] if error.args else None, "reason", None)
        if isinstance(cause, urllib3.exceptions.NameResolutionError):
            raise Unreachable("no connection: the host's name is not known") from error
        if isinstance(cause, urllib3.exceptions.NewConnectionError):
            raise Unreachable("no connection") from error
        if isinstance(cause, urllib3.exceptions.TimeoutError):
            raise Interrupted("no answer in time") from error
        raise Interrupted("the connection broke off") from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise Interrupted("the connection broke off") from error
    except requests.RequestException as error:
        raise DownloadError(f"the host cannot be asked: {type(error).__name__}") from None
    except urllib3.exceptions.HTTPError as error:
        raise Interrupted("the connection broke off") from error
    except ValueError:
        raise DownloadError("the address cannot be understood") from None  # the error may quote a password
    except OSError as error:
        raise DownloadError(f"the host cannot be asked: {error}") from error


def _check_status(response: requests.Response, partial: bool) -> None:
    """Raises unless the answer is a file, or, if a part was asked for, a part or that there is none."""
    status = response.status_code
    if status == 200 or (partial and status in (PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE)):
        return
    response.close()
    reason = f"HTTP {status} {responses.get(status, '')}".rstrip()  # the host's own words may be any
    if status in (*MAY_GET_BETTER, PARTIAL_CONTENT) or status >= 500:
        raise Interrupted(reason, _retry_after(response.headers.get("Retry-After")))
    raise DownloadError(reason)


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


def _blocks(response: requests.Response) -> Iterator[bytes]:
    """The bytes as they arrive; not more than the host has announced."""
    left = _length(response)
    while left is None or left > 0:
        with reasons():
            block = response.raw.read1(BLOCK if left is None else min(BLOCK, left), decode_content=False)
        if not block:
            return
        left = None if left is None else left - len(block)
        yield block


def _peeked(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, and all blocks from the first one on."""
    head = b""
    for block in blocks:
        head += block
        if len(head) >= HEAD:
            break
    return head, chain([head] if head else [], blocks)


def _is_page(head: bytes) -> bool:
    return head.lstrip()[:14].lower().startswith(WEB_PAGE)


def _check_head(head: bytes) -> None:
    """Raises if the first bytes are of something that hosts send in place of a file."""
    if _is_page(head):
        raise DownloadError("a web page came instead of a file")
    if head.startswith(LFS_POINTER):
        raise DownloadError("a Git LFS pointer came instead of the file that it points to")


class _Form(HTMLParser):
    """The first form of a page: where it leads, and what it sends along unseen."""

    def __init__(self, page: str):
        super().__init__()
        self.action: str | None = None
        self.inputs: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action = attributes.get("action", "")
        elif tag == "input" and self.action is not None and attributes.get("type") == "hidden":
            self.inputs[attributes.get("name", "")] = attributes.get("value", "")


def _confirmed_address(url: str, blocks: Iterator[bytes]) -> str:
    """Where Google Drive's "too large to scan for viruses, download anyway" leads."""
    page = b""
    for block in blocks:
        page += block
        if len(page) > PAGE:
            break
    if any(sentence in page for sentence in DRIVE_QUOTA):
        raise DownloadError("Google Drive's quota for this file is used up: try again in a day")
    form = _Form(page.decode("utf-8", "replace"))
    address = _next_address(url, f"{form.action or ''}?{urlencode(form.inputs)}")
    if not form.action or urlsplit(address).hostname not in DRIVE:
        raise DownloadError("a web page came instead of a file")
    return address


def _next_address(url: str, location: str) -> str:
    """Where a redirect or a form leads. Never from a secure address to one that anybody can listen to."""
    with reasons():
        address = urljoin(url, location)
        before, after = urlsplit(url).scheme, urlsplit(address).scheme
    if after not in ("http", "https") or (before, after) == ("https", "http"):
        raise DownloadError(f"the host redirects from {before} to {after}")
    return address


def _understood(
    answers: list[requests.Response], blocks: Iterator[bytes], offset: int, version: Version
) -> Answer:
    """What the last answer's headers say. Raises Changed if it does not continue `version` at `offset`."""
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
            raise Changed("the host sent another part of the file than asked for")
        size = version.size if part[2] == "*" else int(part[2])
        came = Version(etag or version.etag, modified or version.modified, size)
        if came != Version(version.etag, version.modified, version.size or size):
            raise Changed("the file at the host changed in the meantime")
        version = came
    delimited = length is not None or headers.get("Transfer-Encoding", "").lower() == "chunked"
    encoding = headers.get("Content-Encoding", "identity").lower()
    return Answer(offset, version, delimited, _stated_checksums(answers), encoding, blocks)


def _length(response: requests.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    chunked = "Transfer-Encoding" in response.headers  # goes before a length, says RFC 9112
    return int(length) if re.fullmatch("[0-9]{1,18}", length) and not chunked else None


def _stated_checksums(answers: list[requests.Response]) -> dict[str, str]:
    """The sha256 that the Hugging Face hub states in the answer that redirects to the file's storage.

    Only the host that was asked is believed, and only over https. Of small files it states git's sha1,
    which is not that of their content.
    """
    asked = urlsplit(answers[0].url)
    for answer in answers:
        place = urlsplit(answer.url)
        etag = answer.headers.get("X-Linked-ETag", "").strip('"').lower()
        if place.scheme == SECURE and place.netloc == asked.netloc and SHA256.fullmatch(etag):
            return {"sha256": etag}
    return {}
