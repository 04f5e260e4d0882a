"""Where load() would take a model's weights from, and why they are trusted: told without any network."""

from __future__ import annotations

from typing import Literal, get_args

from modelzoo.registry import Entry, FetchedFolderEntry, FolderEntry, HubEntry
from modelzoo.store import cache
from modelzoo.store.bundled import bundled_path
from modelzoo.store.trust import HUB, NO_CHECKSUM, published

Availability = Literal[
    "in its folder",
    "bundled",
    "cached",
    "cached without top",
    "hosted",
    "converts from upstream",
    "file needed",
    "none published",
]
AVAILABILITY: tuple[Availability, ...] = get_args(Availability)


def availability(entry: Entry) -> Availability:
    """Where `load` would take pretrained weights from."""
    if isinstance(entry, FolderEntry):
        if not isinstance(entry, FetchedFolderEntry):
            return "in its folder"
        return "cached" if entry.weights_path.is_file() else "hosted"
    if bundled_path(entry).is_file():
        return "bundled"
    if cache.find(entry.key):
        return "cached"
    if cache.find(entry.key, top=False):
        return "cached without top"
    if entry.weights:
        return "hosted"
    if any(source.urls or source.packages for source in entry.sources):
        return "converts from upstream"
    return "file needed" if entry.sources else "none published"


def trust(entry: Entry) -> str | None:
    """Why the file that load() would take is believed, or will be; None where there is no file."""
    if isinstance(entry, FolderEntry):
        return "sha256 in its model.json"
    if bundled_path(entry).is_file():
        return "bundled"
    if cached := cache.find(entry.key) or cache.find(entry.key, top=False):
        return cached.pointer.trust
    if entry.weights:
        return "published sha256"
    if isinstance(entry, HubEntry):
        return HUB
    checksums = [f"{sum_.algorithm} of the {sum_.of}" for s in entry.sources for sum_ in s.checksums]
    if entry.sources and not any(source.urls for source in entry.sources):
        checksums += [f"sha256 of {p.address}" for source in entry.sources for p in source.packages]
    return published(checksums) or (NO_CHECKSUM if entry.sources else None)
