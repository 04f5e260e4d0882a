"""choose(): ids and names that a user writes -> the classes of a label set."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import cast

from modelzoo.errors import LabelsError, abbreviated, quoted
from modelzoo.registry import Label

NEAREST = 3  # names offered for an unknown one


def synonyms(label: Label) -> list[str]:
    """The names of a class: WordNet lists them with commas between."""
    return label.name.split(", ")


def find(table: Sequence[Label], text: str) -> list[int]:
    """The classes that an id or a name means, in class order.

    A class with this id comes before those with this whole name, these before those whose first name it is,
    and these before those with such a synonym: "dog" is the animal, and not the andiron. Capitals do not
    count. Empty for what is neither.
    """
    for by in _index(tuple(table)):
        if text.lower() in by:
            return by[text.lower()]
    return []


def find_all(table: Sequence[Label], text: str) -> list[int]:
    """All classes that have an id, a name or a synonym, in class order."""
    return sorted({place for by in _index(tuple(table)) for place in by.get(text.lower(), ())})


def choose(table: Sequence[Label], given: str, where: str) -> int:
    """The class that an id or a name means. `where` is what the table is called in errors.

    Raises LabelsError for an unknown one, and for one that several classes have, which it lists.
    """
    if not isinstance(cast(object, given), str):
        raise LabelsError(f"Expected the id or the name of a class of {where}, got {quoted(given)}.")
    found = find(table, given)
    if len(found) == 1:
        return found[0]
    if found:
        candidates = abbreviated([f"{table[i].id} ({table[i].name})" for i in found])
        raise LabelsError(f"{quoted(given)} is ambiguous in {where}: choose one of {candidates}.")
    known = {name.lower(): name for label in table for name in synonyms(label)}
    nearest = difflib.get_close_matches(given.lower(), known, n=NEAREST)
    offered = f"; the nearest names are {', '.join(known[name] for name in nearest)}" if nearest else ""
    raise LabelsError(f"There is no class {quoted(given)} in {where}{offered}.")


def choose_all(table: Sequence[Label], given: Iterable[str], where: str) -> tuple[int, ...]:
    """The classes of several ids or names, in their order.

    Raises LabelsError as choose() does, for none at all, and for a class that is named twice.
    """
    names = list(given)
    found = [choose(table, name, where) for name in names]
    if not found:
        raise LabelsError(f"Expected at least one class of {where}, got an empty list.")
    for place, index in enumerate(found):
        if index in found[:place]:
            twice = f"{quoted(names[found.index(index)])} and {quoted(names[place])}"
            raise LabelsError(f"{twice} are the same class of {where}, {table[index].id}: name it once.")
    return tuple(found)


@cache
def _index(table: tuple[Label, ...]) -> tuple[dict[str, list[int]], ...]:
    """The classes by id, by whole name, by first name and by any synonym, all in small letters."""
    found: tuple[dict[str, list[int]], ...] = ({}, {}, {}, {})
    for index, label in enumerate(table):
        names = synonyms(label)
        for by, keys in zip(found, ([label.id], [label.name], names[:1], names), strict=True):
            for key in dict.fromkeys(key.lower() for key in keys):
                by.setdefault(key, []).append(index)
    return found
