"""locate(): an entry and load()'s `weights` -> the file they are in, obtained from the nearest source.

In this order: bundled with the package, the cache, the mirrors of MODELZOO_MIRROR, our hosts, and the
upstream, whose file is converted on this machine. What comes from outside is checked and then kept in the
cache, with a note of why it is trusted.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelzoo import download, registry, settings
from modelzoo.errors import ConversionError, WeightsMismatch, WeightsUnavailable
from modelzoo.files import sha256
from modelzoo.registry import Entry
from modelzoo.store import cache, sources, user_files
from modelzoo.store.bundled import bundled_path
from modelzoo.store.cache import CachedFile
from modelzoo.store.convert import convert

LOG = logging.getLogger("modelzoo")
PRETRAINED = "pretrained"
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Located:
    """Weights that are at hand: in a modelzoo weight file, or in an upstream file of the user's."""

    entry: Entry
    path: Path
    name: str  # begins the names of files that are made of these weights
    content: str  # differs where the weights may: a sha256, or a user's path with its size and times
    may_be_upstream: bool = False  # a user's file: a modelzoo weight file, or still the upstream's

    @contextmanager
    def file(self, *, include_top: bool = True) -> Generator[Path]:
        """A modelzoo weight file; an upstream file is converted for as long as the block lasts.

        Of the upstream's a file without the top will do if not `include_top`. Raises ConversionError for an
        upstream file that does not fit; a modelzoo weight file is not looked into.
        """
        from modelzoo import weights

        if not self.may_be_upstream or weights.is_modelzoo_file(self.path):
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix="modelzoo-") as folder:
            converted = Path(folder) / "converted.h5"
            convert(self.entry, self.path, converted, include_top=include_top)
            yield converted

    def digest(self) -> str:
        """The sha256 of the weights' bytes; of a user's files as they are now."""
        return user_files.digest(self.path) if self.may_be_upstream else self.content

    def warning(self) -> str | None:
        """What the provenance of a modelzoo weight file warns of; None for an upstream file."""
        from modelzoo import weights

        return weights.warning(self.path) if weights.is_modelzoo_file(self.path) else None


def weights_file(name: str) -> Path:
    """The path of the model's pretrained weights, a modelzoo HDF5 file, downloaded and converted if need be.

    Raises UnknownModel, and WeightsUnavailable with everything that was tried.
    """
    return locate(registry.info(name)).path


def locate(entry: Entry, weights: str | os.PathLike[str] = PRETRAINED, *, top: bool = True) -> Located:
    """The file of "pretrained" weights, or of a user's path.

    Without `top` a file without the head's weights will do, if it is the nearest. Raises WeightsUnavailable.
    """
    if weights != PRETRAINED:
        return _of_user(entry, Path(weights))
    bundled = bundled_path(entry)
    if bundled.is_file():
        return Located(entry, bundled, entry.key, sha256(bundled))
    cached = _cached(entry, top) or _obtain(entry, top)
    return Located(entry, cached.path, cached.path.stem, cached.pointer.sha256)


def quarantine_if_damaged(located: Located) -> bool:
    """Whether the file is the cache's and has other bytes than when it came; then it is moved away."""
    for top in (True, False):
        for cached in cache.pointers(located.entry.key, top):
            if cached.path == located.path and not cached.has_expected_sha256():
                _quarantine(cached)
                return True
    return False


def _of_user(entry: Entry, path: Path) -> Located:
    """A user's own file is not read again each time: its place, size and times tell whether it changed."""
    return Located(entry, path, f"{entry.key}-file", user_files.state(path), may_be_upstream=True)


def _cached(entry: Entry, top: bool, *, move_damaged: bool = False) -> CachedFile | None:
    """The first usable file of the cache; what is damaged is passed by, or moved away."""
    for with_top in (True,) if top else (True, False):
        for cached in cache.pointers(entry.key, with_top):
            if cached.has_expected_size() and _starts_as_hdf5(cached.path):
                cache.use(cached)
                return cached
            if move_damaged and cached.path.is_file():
                _quarantine(cached)
    return None


def _starts_as_hdf5(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    except OSError:
        return False


def _quarantine(cached: CachedFile) -> None:
    if place := cache.quarantine(cached):
        LOG.warning("%s is damaged; it is now %s", cached.path, place.name)


def _obtain(entry: Entry, top: bool) -> CachedFile:
    with cache.lock(entry.key):
        if cached := _cached(entry, top, move_damaged=True):  # another process was quicker
            return cached
        tried = [f"the cache {settings.cache_home()} does not have them"]
        for address, take in sources.nearest_first(entry, top):
            if settings.offline() and download.needs_network(address):
                continue
            try:
                return take()
            except (OSError, ConversionError, WeightsMismatch) as error:  # DownloadError, a full disk
                tried.append(f"{download.without_password(address)}: {error}")
        if cached := _cached(entry, top):  # of another process, where locks do nothing
            return cached
    if settings.offline():
        tried.append(f"{settings.OFFLINE} is set, so that nothing is downloaded")
    reasons = "; ".join(part.rstrip(".") for part in tried)
    raise WeightsUnavailable(
        f"The pretrained weights of {entry.key} are not available: {reasons}. {_advice(entry)}"
    )


def _advice(entry: Entry) -> str:
    if not entry.weights and not entry.sources:
        return "None were ever published: use weights=None or train your own."
    return f"If you have the file, run: modelzoo add {entry.key} FILE"
