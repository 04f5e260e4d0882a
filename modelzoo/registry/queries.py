"""info() and list_models(): questions to the packaged registry and, beside it, a user's own."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any, Literal

from modelzoo import settings
from modelzoo.registry.entries import UNKNOWN, Entry, Registry
from modelzoo.registry.parsing import parse_packaged

Sort = Literal["name", "parameters", "size", "top1"]
SORTS: dict[str, Callable[[Entry], Any]] = {
    "name": lambda entry: entry.name,
    "parameters": lambda entry: entry.parameters,
    "size": lambda entry: entry.graph.input_shape[0],
    "top1": lambda entry: -(entry.metric("top1") or -1),
}
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


def info(name: str) -> Entry:
    """The registry entry of a model; raises UnknownModel with the three nearest names."""
    return current().find(name)


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
