"""Google Drive asks for a confirmation before it sends a large file: its page is read, its form sent."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlencode, urlsplit

from modelzoo.download.addresses import next_address
from modelzoo.errors import DownloadError

HOSTS = ("drive.google.com", "docs.google.com", "drive.usercontent.google.com")
QUOTA = (b"Quota exceeded", b"Too many users have viewed or downloaded this file")
PAGE = 1 << 20  # bytes of a web page that are read


class _Form(HTMLParser):
    """The first form of a page: where it leads, and what it sends along unseen."""

    def __init__(self, page: str):
        super().__init__()
        self.action: str | None = None
        self.inputs: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action = attributes.get("action", "")
        elif tag == "input" and self.action is not None and attributes.get("type") == "hidden":
            self.inputs[attributes.get("name", "")] = attributes.get("value", "")


def confirmed_address(url: str, blocks: Iterator[bytes]) -> str:
    """Where Google Drive's "too large to scan for viruses, download anyway" leads."""
    page = b""
    for block in blocks:
        page += block
        if len(page) > PAGE:
            break
    if any(sentence in page for sentence in QUOTA):
        raise DownloadError("Google Drive's quota for this file is used up: try again in a day")
    form = _Form(page.decode("utf-8", "replace"))
    address = next_address(url, f"{form.action or ''}?{urlencode(form.inputs)}")
    if not form.action or urlsplit(address).hostname not in HOSTS:
        raise DownloadError("a web page came instead of a file")
    return address
