"""What a user's own weight file says of the model: how many classes its head has, and what they mean."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from modelzoo import labels
from modelzoo.registry import Entry, OwnEntry
from modelzoo.store import user_files

NOT_FILES = ("pretrained", "synthetic")
OWN = "own labels"  # in place of a label set's name


def entry_of(entry: Entry, weights: object) -> Entry:
    """The entry, with the classes and labels of the weights where these are a file with others.

    Raises ConversionError or WeightsMismatch for a file that cannot be read as the entry's; not for one that
    is not there, nor for what is no path, which whoever loads it says.
    """
    if not isinstance(weights, str | os.PathLike) or not weights or weights in NOT_FILES:
        return entry
    if isinstance(entry, OwnEntry):  # of a model folder or a hub, which say the classes
        return entry
    path = Path(os.fsdecode(cast("str | os.PathLike[str]", weights)))
    if not user_files.files_of(path):
        return entry
    return _entry_of(entry, path, user_files.state(path))


@lru_cache(maxsize=16)  # by the files' sizes and times: tasks ask for it often
def _entry_of(entry: Entry, path: Path, _state: str) -> Entry:
    from modelzoo import weights

    names: tuple[str, ...] | None = None
    if weights.is_modelzoo_file(path):
        stated = weights.provenance(path)
        classes, names = weights.stated_classes(stated), weights.stated_labels(stated)
    else:
        from modelzoo import conversion

        classes = conversion.head_classes(entry, path)
    if classes is None or (classes == entry.graph.classes and names is None):
        return entry
    facts: dict[str, Any] = dict(vars(entry))
    facts |= {"graph": replace(entry.graph, classes=classes), "labels": OWN}
    return OwnEntry(**facts, table=labels.table(classes, names))
