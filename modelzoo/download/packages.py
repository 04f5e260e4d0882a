"""A wheel of a package index -> a verified file. It is data: never installed, never run. Knows no models.

pip fetches it where there is pip: mirrors, proxies and credentials are then the user's own configuration of
pip. Where there is none, the simple API of the same index is asked. Only wheels come: building any other kind
of package runs its code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from modelzoo import settings
from modelzoo.download.addresses import PACKAGE
from modelzoo.errors import DownloadError


@dataclass(frozen=True)
class Wheel:
    """A wheel for every platform, as it is expected; `bytes` None where that is not known."""

    distribution: str
    version: str
    sha256: str
    bytes: int | None = None

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"

    @property
    def address(self) -> str:
        """The package URL, which says nothing of the index that delivers it."""
        return f"{PACKAGE}{self.distribution}@{self.version}"

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{re.sub('[-_.]+', '_', self.distribution).lower()}-{self.version}-py3-none-any.whl"


def fetch_wheel(wheel: Wheel, target: Path) -> None:
    """Downloads a wheel to `target`, which appears only when size and sha256 fit.

    Raises DownloadError, in one sentence that holds no secret: for no index, no such wheel, another wheel.
    """
    if settings.offline():
        raise DownloadError(f"{settings.OFFLINE} is set: nothing is downloaded")
    from modelzoo.download import pip_download, simple_index  # the latter brings requests

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not pip_download.fetch(wheel, target):
            simple_index.fetch(wheel, target)
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(f"cannot write in {target.parent}: {error.strerror or error}") from error


def indexed(wheel: Wheel) -> str:
    """The address at which the configured index has the wheel, by its simple API; raises DownloadError."""
    if settings.offline():
        raise DownloadError(f"{settings.OFFLINE} is set: nothing is downloaded")
    from modelzoo.download import simple_index

    return simple_index.find(wheel)
