"""locate(): an entry and load()'s `weights` -> the file they are in, obtained from the nearest source.

In this order: bundled with the package, the cache, the mirrors of MODELZOO_MIRROR, our hosts, and the
upstream, whose file is converted on this machine: from its own addresses, then from a package index that has
it. What comes from outside is checked and then kept in the cache, with a note of why it is trusted.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelzoo import download, files, registry, settings
from modelzoo.errors import ConversionError, WeightsMismatch, WeightsUnavailable, readable
from modelzoo.registry import Entry, FolderEntry, HubEntry
from modelzoo.store import bundled, cache, folders, hub, integrity, sources, user_files
from modelzoo.store.cache import CachedFile
from modelzoo.store.convert import convert
from modelzoo.store.trust import BY_HAND

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
    top: bool = True  # whether the head's weights were asked for
    cached: CachedFile | None = None  # what is known of a file of the cache

    @contextmanager
    def file(self, *, include_top: bool = True) -> Generator[Path]:
        """A modelzoo weight file; an upstream file is converted for as long as the block lasts.

        Of the upstream's a file without the top will do if not `include_top`. Raises ConversionError for an
        upstream file that does not fit; a modelzoo weight file is not looked into, see checked().
        """
        from modelzoo import weights

        if not self.may_be_upstream or weights.is_modelzoo_file(self.path):
            yield self.path
            return
        if isinstance(self.entry, FolderEntry):
            raise ConversionError(
                f"{readable(str(self.path))} was not written by modelzoo: `modelzoo pack FILE --base FOLDER "
                "-o ANOTHER` makes a model folder of it."
            )
        with _work_folder() as folder:
            converted = folder / "converted.h5"
            convert(self.entry, self.path, converted, include_top=include_top)
            yield converted

    def digest(self) -> str:
        """The sha256 of the weights' bytes; of a user's files as they are now."""
        return user_files.digest(self.path) if self.may_be_upstream else self.content

    def warning(self) -> str | None:
        """What the provenance of a modelzoo weight file warns of; None for an upstream file."""
        from modelzoo import weights

        return weights.warning(self.path) if weights.is_modelzoo_file(self.path) else None


def weights_file(name: str | os.PathLike[str]) -> Path:
    """The path of the model's pretrained weights, a modelzoo HDF5 file, downloaded and converted if need be.

    The file was just read and has its checksum. Raises UnknownModel, and WeightsUnavailable with everything
    that was tried.
    """
    return checked(locate(registry.info(name))).path


def locate(entry: Entry, weights: str | os.PathLike[str] = PRETRAINED, *, top: bool = True) -> Located:
    """The file of "pretrained" weights, or of a user's path; checked() reads it.

    Without `top` a file without the head's weights will do, if it is the nearest. Raises WeightsUnavailable.
    """
    cache.remove_abandoned()
    if weights != PRETRAINED:
        return _of_user(entry, Path(weights), top)
    if isinstance(entry, FolderEntry):
        return _of_folder(entry, top)
    path = bundled.bundled_path(entry)
    if path.is_file():
        return Located(entry, path, entry.key, bundled.recorded(path).sha256, top=top)
    return _of_cache(entry, top, _glanced_at(entry, top) or _obtain(entry, top))


def checked(located: Located) -> Located:
    """The weights in a file that was just read and is what it was when it was kept.

    A damaged file of the cache is moved away, and the weights are obtained again: their content may be
    another. Of a user's own file nobody knows what it should be. Raises WeightsUnavailable for a file that
    cannot be read just now, or is damaged and comes from nowhere else.
    """
    cached = located.cached
    if cached is None:
        if isinstance(located.entry, FolderEntry) and not located.may_be_upstream:
            folders.check_weights(located.entry)
        elif not located.may_be_upstream:
            bundled.check(located.path)
        return located
    try:
        if integrity.condition(cached) == "sound":
            return located
    except OSError as error:
        cache.raise_or_pass_by(cached.root, cached.path, error)
    return _of_cache(located.entry, located.top, _obtain(located.entry, located.top))


@contextmanager
def _work_folder() -> Generator[Path]:
    """A temporary folder: in the cache, which has room for weights, or else the system's."""
    try:
        settings.cache_home()
        manager = cache.temporary_directory()
    except WeightsUnavailable:
        manager = files.temporary_directory()
    with manager as folder:
        yield folder


def _of_folder(entry: FolderEntry, top: bool) -> Located:
    """What its content decides, not its place: moved or renamed it is the same."""
    hub.fetch_weights(entry)
    folders.glance_at_weights(entry)
    name = cache.file_name(entry.saved_as, entry.file.sha256).removesuffix(".h5")
    return Located(entry, entry.weights_path, name, entry.file.sha256, top=top)


def _of_cache(entry: Entry, top: bool, cached: CachedFile) -> Located:
    return Located(entry, cached.path, cached.path.stem, cached.pointer.sha256, top=top, cached=cached)


def _of_user(entry: Entry, path: Path, top: bool) -> Located:
    """A user's own file is not read again each time: its place, size and times tell whether it changed."""
    content = user_files.state(path)
    return Located(entry, path, f"{entry.key}-file", content, may_be_upstream=True, top=top)


def _pointed(entry: Entry, top: bool) -> Iterator[CachedFile]:
    """What the cache says that it holds and that will do, the nearest first."""
    for with_top in (True,) if top else (True, False):
        yield from cache.pointers(entry.key, with_top)


def _glanced_at(entry: Entry, top: bool) -> CachedFile | None:
    """The first file of the cache that looks usable, told by its size and its first bytes."""
    for cached in _pointed(entry, top):
        try:
            if cached.has_expected_size() and _starts_as_hdf5(cached.path):
                cache.use(cached)
                return cached
        except OSError as error:
            cache.raise_or_pass_by(cached.root, cached.path, error)
    return None


def _starts_as_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE


def _read_through(entry: Entry, top: bool) -> CachedFile | None:
    """The first sound file of the cache; what is damaged is moved away.

    Raises WeightsUnavailable where a file is damaged or missing that was added by hand: others' weights would
    give other numbers.
    """
    for cached in _pointed(entry, top):
        try:
            condition = integrity.condition(cached)
        except OSError as error:
            cache.raise_or_pass_by(cached.root, cached.path, error)
            continue
        if condition == "sound":
            cache.use(cached)
            return cached
        if condition == "damaged" and (place := cache.quarantine(cached)):
            LOG.warning("%s is damaged; it is now %s", cached.path, place.name)
        if cached.pointer.trust.startswith(BY_HAND):
            raise WeightsUnavailable(
                f"{cached.path}, {cached.pointer.trust}, is {condition}. Add the file again: "
                f"modelzoo add {entry.key} FILE; or forget it: modelzoo cache remove {entry.key}"
            )
    return None


def _obtain(entry: Entry, top: bool) -> CachedFile:
    with cache.lock(entry.key):
        if cached := _read_through(entry, top):  # another process was quicker
            return cached
        tried: list[tuple[str, str]] = []
        for address, take in sources.nearest_first(entry, top):
            if settings.offline() and download.needs_network(address):
                continue
            try:
                return take()
            except (OSError, ConversionError, WeightsMismatch) as error:  # DownloadError, a full disk
                tried.append((download.without_password(address), str(error)))
        if cached := _glanced_at(entry, top):  # of another process, where locks do nothing
            return cached
    reasons = [f"the cache {settings.cache_home()} does not have them", *_by_reason(tried)]
    if settings.offline():
        reasons.append(f"{settings.OFFLINE} is set, so that nothing is downloaded")
    listed = "; ".join(reason.rstrip(".") for reason in reasons)
    raise WeightsUnavailable(
        f"The pretrained weights of {entry.key} are not available: {listed}. {_advice(entry)}"
    )


def _by_reason(tried: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Each reason once, with the address that it is of, or the hosts of several."""
    addresses: dict[str, list[str]] = {}
    for address, reason in tried:
        addresses.setdefault(reason, []).append(address)
    for reason, found in addresses.items():
        hosts = dict.fromkeys(address.partition("://")[2].partition("/")[0] or address for address in found)
        yield f"{found[0] if len(found) == 1 else ', '.join(hosts)}: {reason}"


def _advice(entry: Entry) -> str:
    if isinstance(entry, HubEntry):
        return f"If the repository is right, try again later, or run: modelzoo add {entry.reference} FILE"
    if not entry.weights and not entry.sources:
        return "None were ever published: use weights=None or train your own."
    return f"If you have the file, run: modelzoo add {entry.key} FILE"
