"""Addresses: what may be shown of one, and where a redirect may lead."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit, urlunsplit

from modelzoo.errors import DownloadError

PACKAGE = "pkg:pypi/"  # begins the address of a package, whichever index delivers it
PORTS = {"http": 80, "https": 443}
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def needs_network(url: str) -> bool:
    """Whether the address is not of a local file."""
    return url.lower().startswith(("http://", "https://", PACKAGE))


def without_password(url: str) -> str:
    """The address as it may be shown and recorded: without "user:password@"."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError where the password has a "/" and thus ends the host
    except ValueError:  # no address at all, but a password may be in it
        return re.sub(r"//.*@", "//", url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def is_private(url: str) -> bool:
    """Whether nobody on the way can listen or answer: https, or this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in LOOPBACK


def same_origin(url: str, other: str) -> bool:
    """Whether scheme, host and port are the same, so that a secret may travel along."""
    try:
        return _origin(url) == _origin(other)
    except ValueError:  # one of them is no address
        return False


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme)


def next_address(url: str, location: str) -> str:
    """Where a redirect or a form leads. Never from a secure address to one that anybody can listen to."""
    try:
        address = urljoin(url, location)
        before, after = urlsplit(url).scheme, urlsplit(address).scheme
    except ValueError:
        raise DownloadError("the address cannot be understood") from None  # the error may quote a password
    if after not in ("http", "https") or (before, after) == ("https", "http"):
        raise DownloadError(f"the host redirects from {before} to {after}")
    return address
