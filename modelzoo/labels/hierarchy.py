"""WordNet's tree over classes, as ML-Images has it: what each class is a kind of.

ImageNet's 1,000 classes are in it under the same ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from modelzoo.errors import LabelsError
from modelzoo.labels.tables import read
from modelzoo.registry import Label

HIERARCHY = "mlimages"  # the label set that has one


def ancestors(id: str) -> tuple[Label, ...]:
    """The class and what it is a kind of, the most general last; empty for an id that is not in the tree."""
    table, place = read(HIERARCHY), _places().get(id)
    found: list[Label] = []
    while place is not None:
        found.append(table[place])
        place = table[place].parent
    return tuple(found)


def path(id: str) -> str:
    """A class in the tree, for people: "thing > living thing > ... > dog"; "" where it is not in it."""
    return " > ".join(label.name.split(", ")[0] for label in reversed(ancestors(id)))


def check_tree(table: Sequence[Label], where: str) -> None:
    """Raises LabelsError unless classes of the table are in the tree."""
    if not any(label.id in _places() for label in table):
        raise LabelsError(
            f"{where} has no hierarchy: its classes have no WordNet ids, as {HIERARCHY} and imagenet have."
        )


def repeated_names(table: Sequence[Label]) -> frozenset[str]:
    """The names that several classes have."""
    return _repeated(tuple(table))


@cache
def _repeated(table: tuple[Label, ...]) -> frozenset[str]:
    seen: set[str] = set()
    return frozenset(label.name for label in table if label.name in seen or seen.add(label.name))


@cache
def _places() -> dict[str, int]:
    return {label.id: place for place, label in enumerate(read(HIERARCHY))}
