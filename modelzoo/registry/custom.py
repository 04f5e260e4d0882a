"""A registry of one's own beside the packaged one: what a packaged name means never changes."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType

from modelzoo import settings
from modelzoo.download import PACKAGE, by_checksum, without_password
from modelzoo.errors import DownloadError, RegistryError, quoted
from modelzoo.files import is_sha256
from modelzoo.registry.entries import Registry
from modelzoo.registry.folders import FolderEntry, entry_of
from modelzoo.registry.parsing import parse


@cache
def with_custom(base: Registry, place: str) -> Registry:
    """`base` and the registry at `place`, a file or an address with #sha256=...; raises RegistryError."""
    try:
        custom = parse(_text(place), base.preprocessing, partial(_in_folder, place))
        _check_names(base, custom)
        _check_labels(base, custom)
    except RegistryError as error:
        shown = without_password(place) if "://" in place else place
        raise RegistryError(f"{settings.REGISTRY}={shown}: {error}") from error
    names = {entry.name for entry in base.entries.values()}
    shared = {entry.name for entry in custom.entries.values()} & names
    kept = {name: base.find(name).tag for name in shared if name not in base.defaults}
    return Registry(
        MappingProxyType({**base.entries, **custom.entries}),
        MappingProxyType({**base.defaults, **custom.defaults, **kept}),
        MappingProxyType({**custom.preprocessing, **base.preprocessing}),
        custom.labels,
    )


def _in_folder(place: str, key: str, path: str) -> FolderEntry:
    """The entry of a model folder, whose path counts from the registry's own folder."""
    if path.startswith(PACKAGE):
        from modelzoo.registry import wheels

        try:
            return replace(wheels.entry_of(path), key=key, registered=True)
        except DownloadError as error:
            raise RegistryError(str(error)) from error
    path = os.path.expanduser(path)
    if "://" in place and not os.path.isabs(path):
        raise RegistryError(f"expected the absolute path of a folder, got {quoted(path)}.")
    return entry_of(os.path.join(os.path.dirname(os.path.abspath(os.path.expanduser(place))), path), key)


def _check_names(base: Registry, custom: Registry) -> None:
    for key in custom.entries:
        if key in base.entries:
            raise RegistryError(f"{key!r} is the name of a packaged model; choose another tag.")
    names = {entry.name for entry in base.entries.values()}
    for name in custom.defaults:
        if name in names:
            raise RegistryError(f"defaults: {name!r} is the name of a packaged model.")


def _check_labels(base: Registry, custom: Registry) -> None:
    """Of the packaged label sets, the packaged entries tell the lengths."""
    packaged = {entry.labels: entry.graph.classes for entry in base.entries.values()}
    for name in custom.labels:
        if name in packaged:
            raise RegistryError(f"labels: {name!r} is the name of a packaged label set; choose another.")
    lengths = packaged | {name: len(labels) for name, labels in custom.labels.items()}
    for key, entry in custom.entries.items():
        if isinstance(entry, FolderEntry) and entry.table:
            continue
        if entry.labels not in lengths:
            known = ", ".join(sorted(lengths))
            raise RegistryError(
                f"Entry {key!r}: expected labels to be one of {known}, got {quoted(entry.labels)}."
            )
        if lengths[entry.labels] != entry.graph.classes:
            raise RegistryError(
                f"Entry {key!r}: expected graph.classes to be {lengths[entry.labels]}, "
                f"as many as there are labels {entry.labels!r}, got {entry.graph.classes}."
            )


def _text(place: str) -> str:
    """The file's text; what is downloaded must have the checksum in its address, and is kept in the cache."""
    if "://" not in place:
        try:
            return Path(os.path.expanduser(place)).read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError, ValueError) as error:
            raise RegistryError(f"the file cannot be read: {error}") from error
    url, _, sha256 = place.partition("#sha256=")
    if not is_sha256(sha256):
        raise RegistryError("an address must end in #sha256= and the file's checksum.")
    try:
        return by_checksum(url, sha256).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryError(f"the file is not available: {error}") from error
