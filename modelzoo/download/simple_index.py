"""The simple API of a package index (PEP 503 and 691): which address has a wheel. For where there is no pip.

The index is pip's: PIP_INDEX_URL, index-url in a configuration file of pip, or else PyPI.
"""

from __future__ import annotations

import configparser
import json
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import unquote, urldefrag, urlsplit, urlunsplit

from modelzoo import settings
from modelzoo.download.addresses import next_address, same_origin
from modelzoo.download.connections import Deadline
from modelzoo.download.fetch import fetch as fetch_file
from modelzoo.download.http import Host
from modelzoo.errors import DownloadError

if TYPE_CHECKING:
    from modelzoo.download.packages import Wheel

PYPI = "https://pypi.org/simple"
JSON_TYPE = "application/vnd.pypi.simple.v1+json"
ACCEPT = f"{JSON_TYPE}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
PAGE_BYTES = 32 << 20
SECTIONS = ("download", "global")  # of pip's configuration, the nearer first
NAME = "index-url"


class _File(NamedTuple):
    """A file that an index lists."""

    name: str
    url: str
    sha256: str | None


def fetch(wheel: Wheel, target: Path) -> None:
    """Downloads the wheel to `target`, verified; raises DownloadError."""
    fetch_file(find(wheel), target, checksums={"sha256": wheel.sha256}, size=wheel.bytes)


def find(wheel: Wheel) -> str:
    """The address of the wheel, with the credentials of the index's if it is of the same host.

    Raises DownloadError if the index has no such wheel, or states the sha256 of another.
    """
    index = _index()
    host = Host(f"{index.rstrip('/')}/{_normalized(wheel.distribution)}/", Deadline(settings.timeout()))
    try:
        place, kind, content = host.page(ACCEPT, PAGE_BYTES)
    except DownloadError as error:
        raise DownloadError(f"the package index does not list {wheel}: {error}") from error
    finally:
        host.close()
    found = [file for file in _files(kind, content) if _is_of(wheel, file.name)]
    if not found:
        raise DownloadError(f"the package index has no wheel of {wheel}")
    same = [file for file in found if file.sha256 == wheel.sha256]
    unstated = [file for file in found if file.sha256 is None]
    if not same and not unstated:
        raise DownloadError(
            f"the package index has another wheel of {wheel}: expected sha256 {wheel.sha256}, "
            f"got {found[0].sha256}"
        )
    return _with_credentials(next_address(place, urldefrag((same + unstated)[0].url).url), index)


def _index() -> str:
    """The address of the index; its credentials may be in it."""
    return settings.package_index() or next(_configured(), PYPI)


def _configured() -> Iterator[str]:
    """What pip's configuration files say, the nearest first; what cannot be read says nothing."""
    named = settings.package_configuration()
    for path in [Path(named)] if named else _configuration_files():
        parser = configparser.RawConfigParser()
        with suppress(OSError, UnicodeDecodeError, configparser.Error):
            parser.read(path, "utf-8")
            for section in SECTIONS:
                if value := parser.get(section, NAME, fallback="").strip():
                    yield value


def _configuration_files() -> list[Path]:
    """Where pip looks: in the environment, for the user, for the machine."""
    import platformdirs

    name = "pip.ini" if sys.platform == "win32" else "pip.conf"
    found = [Path(sys.prefix) / name]
    with suppress(RuntimeError, KeyError):  # a user without a home
        found.append(Path(platformdirs.user_config_dir("pip", False, roaming=True)) / name)
        found.append(Path("~").expanduser() / ("pip" if sys.platform == "win32" else ".pip") / name)
    machine = Path(platformdirs.site_config_dir("pip", False)) / name
    return [*found, machine, *([] if sys.platform == "win32" else [Path("/etc") / name])]


def _normalized(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub("[-_.]+", "-", name).lower()


def _is_of(wheel: Wheel, name: str) -> bool:
    """Whether a file is a wheel of this distribution and version."""
    parts = name.removesuffix(".whl").split("-")
    return (
        name.endswith(".whl")
        and len(parts) in (5, 6)
        and _normalized(parts[0]) == _normalized(wheel.distribution)
        and parts[1].lower() == wheel.version.lower()
    )


def _files(kind: str, content: bytes) -> Iterator[_File]:
    """The files of a page in JSON or HTML; raises DownloadError if it is neither."""
    text = content.decode("utf-8", "replace")
    if kind.partition(";")[0].strip().lower() not in (JSON_TYPE, "application/json"):
        yield from _Links(text).files
        return
    try:
        for file in cast("dict[str, Any]", json.loads(text))["files"]:
            yield _File(str(file["filename"]), str(file["url"]), _digest(file["hashes"].get("sha256")))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DownloadError(f"the package index's page is malformed ({type(error).__name__})") from error


def _digest(value: object) -> str | None:
    return value.lower() if isinstance(value, str) and re.fullmatch("[0-9a-fA-F]{64}", value) else None


class _Links(HTMLParser):
    """The links of a page: an address ends in the file's name and maybe, after "#sha256=", its checksum."""

    def __init__(self, page: str):
        super().__init__()
        self.files: list[_File] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get("href")
        if tag != "a" or not address:
            return
        url, fragment = urldefrag(address)
        name = unquote(url.partition("?")[0].rpartition("/")[2])
        algorithm, _, value = fragment.partition("=")
        self.files.append(_File(name, url, _digest(value) if algorithm == "sha256" else None))


def _with_credentials(url: str, index: str) -> str:
    """The address with the index's user and password, if both are of one host and it has none of its own."""
    user, at, _ = urlsplit(index).netloc.rpartition("@")
    parts = urlsplit(url)
    if not at or "@" in parts.netloc or not same_origin(url, index):
        return url
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc}"))
