"""pkg:pypi/NAME@VERSION#sha256=DIGEST: a model folder out of a wheel of a package index, as an entry.

    ROOT/wheels/NAME-VERSION-DIGITS/    in the cache: the wheel's folder that has a model.json

The wheel must have the sha256, and is only unpacked: it is not installed, and no code of it runs. Where the
weights have more bytes than a wheel may have, packages.json, beside the model.json, lists the wheels of their
parts. A wheel that pip installed is found by its own name.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import cast

from modelzoo import files, settings
from modelzoo.download import PACKAGE, Wheel, fetch_wheel
from modelzoo.errors import ConversionError, DownloadError, ModelZooError, UnknownModel, quoted
from modelzoo.registry import folders
from modelzoo.registry.dataclass_json import build
from modelzoo.registry.entries import Entry, Package
from modelzoo.registry.folders import CARD, MODEL, WEIGHTS, WHEELS, FetchedFolderEntry
from modelzoo.registry.parsing import DISTRIBUTION, VERSION, read_json, refuse_any, wrong_in_package

PARTS = "packages.json"  # in the folder of a wheel without the weights: the wheels of their parts
MOST_PARTS = 1000
MOST_BYTES = 2**20  # of packages.json
DIGITS = 16  # of the wheel's sha256 in a folder's name
ADDRESS = re.compile(
    rf"{PACKAGE}(?P<name>{DISTRIBUTION.pattern})@(?P<version>{VERSION.pattern})#sha256=(?P<sha256>[0-9a-f]{{64}})"
)


@dataclass(frozen=True, kw_only=True, repr=False)
class WheelFolderEntry(FetchedFolderEntry):
    """An entry of a model folder out of a wheel."""

    parts: tuple[Package, ...] = ()  # of the weights, where the wheel does not have these

    __repr__ = Entry.__repr__


def entry_of(address: str) -> WheelFolderEntry:
    """The entry of pkg:pypi/NAME@VERSION#sha256=DIGEST; the wheel is fetched if need be.

    Raises UnknownModel for another address, DownloadError for a wheel that is not available, is another, or
    has no model folder, and RegistryError for a model.json that is not sound. Nothing is kept then.
    """
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise UnknownModel(f"Expected {PACKAGE}NAME@VERSION#sha256=DIGEST, got {quoted(address)}.")
    wheel = Wheel(found["name"], found["version"], found["sha256"])
    name = f"{wheel.name.partition('-py3')[0]}-{wheel.sha256[:DIGITS]}"
    places = [root / WHEELS / name for root in settings.cache_roots()]
    place = next((place for place in places if (place / MODEL).is_file()), None)
    if place is None:
        place = settings.cache_home() / WHEELS / name
        _fetch(wheel, place)
    return _entry(place, address)


def folder_of(name: str) -> Path | None:
    """The model folder of a wheel that pip installed, by the name on its index; None if there is none."""
    if not DISTRIBUTION.fullmatch(name):
        return None
    spec = importlib.util.find_spec(_module(name))
    places = map(Path, (spec and spec.submodule_search_locations) or ())
    return next((place for place in places if (place / MODEL).is_file()), None)


def _module(name: str) -> str:
    return re.sub("[-_.]+", "_", name).lower()


def _entry(place: Path, address: str) -> WheelFolderEntry:
    entry = folders.entry_of(place)
    known = {each.name: getattr(entry, each.name) for each in fields(entry)}
    return WheelFolderEntry(**known, address=address, parts=tuple(_parts(place)))


def _parts(place: Path) -> Iterator[Package]:
    """The wheels of the weights' parts, in their order. Raises RegistryError."""
    path = place / PARTS
    if not path.is_file():
        return
    with path.open("rb") as file:
        text = file.read(MOST_BYTES).decode("utf-8", "replace")
    found = read_json(text, f"its {PARTS}")
    listed = cast("list[object]", found) if isinstance(found, list) else []
    if not 0 < len(listed) <= MOST_PARTS:
        raise DownloadError(f"its {PARTS} is no list of up to {MOST_PARTS:,} packages")
    for number, value in enumerate(listed):
        package = build(Package, value, f"{PARTS}[{number}]")
        refuse_any(f"{PARTS}[{number}]", wrong_in_package(package))
        yield package


def _fetch(wheel: Wheel, place: Path) -> None:
    """Puts the wheel's model folder to its place, checked, or raises and leaves nothing."""
    from modelzoo.formats import archives  # brings NumPy and h5py

    place.parent.mkdir(parents=True, exist_ok=True)
    with files.temporary_directory(place.parent) as work:
        path = work / wheel.name
        try:
            fetch_wheel(wheel, path)
            with archives.unpacked(path) as unpacked:
                _check(wheel, unpacked, work / "new")
        except ModelZooError as error:
            reason = str(error).replace(str(path), wheel.name).replace(str(work / "new"), wheel.distribution)
            kind = DownloadError if isinstance(error, ConversionError) else type(error)
            raise kind(f"{wheel}: {reason}") from error
        try:
            os.rename(work / "new", place)
        except OSError:
            if not (place / MODEL).is_file():  # of another process that was quicker
                raise


def _check(wheel: Wheel, unpacked: Path, new: Path) -> None:
    """Moves the files of the wheel's model folder to `new`, if they belong together."""
    folder = unpacked / _module(wheel.distribution)
    if not (folder / MODEL).is_file():
        raise DownloadError(f"expected a model folder, found no member {quoted(f'{folder.name}/{MODEL}')}")
    new.mkdir()
    for name in (MODEL, WEIGHTS, CARD, PARTS):
        if (folder / name).is_file():
            os.rename(folder / name, new / name)
    entry = _entry(new, wheel.address)
    if entry.parts:
        return
    weights = new / WEIGHTS
    if not weights.is_file() or files.sha256(weights) != entry.file.sha256:
        found = "another file" if weights.is_file() else "none"
        raise DownloadError(f"expected {WEIGHTS} with the sha256 that its {MODEL} states, found {found}")
