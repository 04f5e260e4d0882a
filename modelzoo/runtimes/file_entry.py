"""Entries that exported files make by themselves, of their metadata.

What a file says was written by somebody: it is checked as a registry is.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from modelzoo.errors import ExportError, quoted, readable
from modelzoo.registry import Architecture, Label, Licenses, OwnEntry, Preprocessing
from modelzoo.registry.dataclass_json import build

if TYPE_CHECKING:
    from modelzoo.exporters import Inspection

TASKS = ("classification", "detection")


def entry_of(path: Path) -> OwnEntry:
    """The entry that a file's metadata makes. Raises ExportError if something is missing or wrong in it."""
    facts = path.stat()
    return _entry_of(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=16)
def _entry_of(path: Path, changed: int, size: int) -> OwnEntry:
    from modelzoo.exporters import inspect  # with all that exports: most commands need nothing of it

    found = inspect(path)
    metadata = found.metadata
    if metadata.preprocessing is None or len(metadata.input_shape) != 3 or not metadata.labels:
        raise ExportError(
            f"{readable(str(path))} does not say how images are prepared and what its outputs are: "
            "it holds a network of a user's own."
        )
    if metadata.task not in TASKS:
        raise ExportError(f"{readable(str(path))} has the task {quoted(metadata.task)}, which is unknown.")
    table = tuple(Label(id, name) for id, name in metadata.labels)
    height, width, channels = metadata.input_shape
    return OwnEntry(
        key=metadata.name,
        graph=Architecture("", "", (height, width, channels), len(table), None),
        preprocessing=_preprocessing(found),
        labels=metadata.label_set or "its own labels",
        parameters=0,
        licenses=Licenses(None, None, None),
        paper=None,
        task="classification" if metadata.task == "classification" else "detection",
        table=table,
    )


def _preprocessing(found: Inspection) -> Preprocessing:
    try:
        return build(Preprocessing, found.metadata.preprocessing, "preprocessing")
    except ValueError as error:  # RegistryError
        raise ExportError(f"{readable(str(found.path))} cannot be used: {error}") from error
