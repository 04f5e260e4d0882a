"""info() and list_models(): questions to the packaged registry and, beside it, a user's own."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from modelzoo import settings
from modelzoo.download import PACKAGE
from modelzoo.errors import UnknownModel
from modelzoo.registry.entries import UNKNOWN, Entry, Registry
from modelzoo.registry.folders import FOLDERS, MODEL, OWN, entry_of
from modelzoo.registry.hub_entries import SCHEME
from modelzoo.registry.parsing import parse_packaged

Sort = Literal["name", "parameters", "size", "top1"]
SORTS: dict[str, Callable[[Entry], Any]] = {
    "name": lambda entry: entry.name,
    "parameters": lambda entry: entry.parameters,
    "size": lambda entry: entry.graph.input_shape[0],
    "top1": lambda entry: -(entry.metric("top1") or -1),
}
WHEEL = "modelzoo-weights-"  # begins the names of wheels with weights, here of installed ones
MAGIC = set("*?[")  # characters of a shell pattern


@cache
def packaged() -> Registry:
    """The registry that comes with the package."""
    return parse_packaged((resources.files("modelzoo") / "registry.json").read_text("utf-8"))


def current() -> Registry:
    """The packaged registry, and beside it the one that MODELZOO_REGISTRY names."""
    place = settings.registry()
    if not place:
        return packaged()
    from modelzoo.registry.custom import with_custom  # with hashlib and urllib, for the few who need it

    return with_custom(packaged(), place)


def info(name: str | os.PathLike[str]) -> Entry:
    """The registry entry of a model, or what the model.json of a model folder states.

    "hf://owner/name" or "hf://owner/name@revision" is a repository of a model hub: timm's config.json and
    model.safetensors, or a model folder. Its small files are downloaded, and kept in the cache.
    "pkg:pypi/NAME@VERSION#sha256=..." is a model folder in a wheel of a package index.

    A folder's path has a separator ("clothes/"), or is a Path. A name that the registry does not know may be
    that of a model folder in the working folder, of one that `unbundle` installed, or of an installed wheel.
    Raises UnknownModel with the three nearest names, or RegistryError for a model.json that is not sound.
    """
    if isinstance(name, str) and name.startswith(SCHEME):
        from modelzoo.registry import hub  # with hashlib and urllib

        return hub.entry_of(name)
    if isinstance(name, str) and name.startswith(PACKAGE):
        from modelzoo.registry import wheels

        return wheels.entry_of(name)
    if isinstance(name, os.PathLike) or _is_path(name):
        return entry_of(name)
    try:
        return current().find(name)
    except UnknownModel:
        folder = _folder_called(name)
        if folder is None:
            raise
    return entry_of(folder)


def _is_path(name: object) -> bool:
    """Whether a name is a path for sure; an address is none."""
    if not isinstance(name, str) or "://" in name or "\0" in name:
        return False
    separators = {"/", os.sep, os.altsep or os.sep}
    return name in (".", "..") or not separators.isdisjoint(name)


def _folder_called(name: object) -> Path | None:
    """The model folder of a name that no registry has: here, or in the cache; None if there is none."""
    if not isinstance(name, str) or not name or "://" in name or "\0" in name:
        return None
    places = [Path(name)]
    places += [root / FOLDERS / key for root in settings.cache_roots() for key in (name, f"{name}.{OWN}")]
    found = next(
        (place for place in places if os.path.isfile(place / MODEL)), None
    )  # also of too long a name
    if found is None and name.lower().startswith(WHEEL):
        from modelzoo.registry import wheels

        return wheels.folder_of(name)
    return found


def list_models(
    pattern: str = "*",
    *,
    tag: str | None = None,
    labels: str | None = None,
    license: str | None = None,
    max_parameters: int | None = None,
    min_top1: float | None = None,
    max_size: int | None = None,
    sort: Sort = "name",
) -> list[str]:
    """The keys of the models that fit.

    `pattern` is a part of the key ("resnet50"), or a shell pattern on the name or the key ("resnet50*").
    `license` is the weights' SPDX identifier, or "unknown"; `min_top1` in percent, as published, and what
    is unknown does not fit; `max_size` is the input's side in pixels. Sorted by "name", or by "parameters"
    or "size", the smallest first, or by "top1", the best first and the unknown last. Raises ValueError for
    another `sort`.
    """
    if sort not in SORTS:
        raise ValueError(f"sort: expected one of {', '.join(SORTS)}, got {sort!r}.")
    found = [
        entry
        for entry in current().entries.values()
        if _matches(entry, pattern)
        and tag in (None, entry.tag)
        and labels in (None, entry.labels)
        and license in (None, entry.licenses.weights or UNKNOWN)
        and (max_parameters is None or entry.parameters <= max_parameters)
        and (min_top1 is None or (entry.metric("top1") or -1) >= min_top1)
        and (max_size is None or entry.graph.input_shape[0] <= max_size)
    ]
    return [entry.key for entry in sorted(found, key=lambda entry: (SORTS[sort](entry), entry.key))]


def _matches(entry: Entry, pattern: str) -> bool:
    if MAGIC.isdisjoint(pattern):
        return pattern in entry.key
    return fnmatch.fnmatchcase(entry.name, pattern) or fnmatch.fnmatchcase(entry.key, pattern)
