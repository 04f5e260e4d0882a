"""What each output of a network means: one table a label set, read when it is first asked for."""

from __future__ import annotations

import os
from functools import cache
from importlib.resources import files

from modelzoo import registry
from modelzoo.errors import LabelsError, quoted
from modelzoo.registry import Entry, Label, OwnEntry

NAMES: tuple[str, ...] = ("imagenet", "imagenet_background", "mlimages", "cifar10", "coco")


def names() -> tuple[str, ...]:
    """The packaged sets and those of the registry that MODELZOO_REGISTRY names."""
    return (*NAMES, *registry.current().labels)


def read(name: str) -> tuple[Label, ...]:
    """The labels of a set in class order, so that `read(name)[i]` is the meaning of output `i`.

    Raises LabelsError for a name that is not among names().
    """
    if name in NAMES:
        return _packaged(name)
    custom = registry.current().labels
    if name not in custom:
        raise LabelsError(f"There is no label set {quoted(name)}; there are {', '.join(names())}.")
    return custom[name]


def of(entry: Entry) -> tuple[Label, ...]:
    """The labels of an entry's classes, in class order: its label set's, or those of a user's own file."""
    own = entry.table if isinstance(entry, OwnEntry) else ()
    return own or read(entry.labels)


def names_of(name: str | os.PathLike[str]) -> list[str]:
    """The names of the labels of a label set, of a model or of a model folder, in class order.

    Raises UnknownModel for what is none of them.
    """
    if isinstance(name, str) and name in names():
        return [label.name for label in read(name)]
    return [label.name for label in of(registry.info(name))]


@cache
def _packaged(name: str) -> tuple[Label, ...]:
    if name == "imagenet_background":  # TF-slim's networks with 1,001 outputs; column 0 is "none of these"
        return (Label("background", "background"), *_packaged("imagenet"))
    _, *rows = files("modelzoo.labels").joinpath(f"{name}.tsv").read_text(encoding="utf-8").splitlines()
    return tuple(_label(*row.split("\t")) for row in rows)


def _label(id: str, name: str, parent: str = "-1") -> Label:
    return Label(id, name, None if parent == "-1" else int(parent))
