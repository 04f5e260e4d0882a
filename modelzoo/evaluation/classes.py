"""Which class of a label set a text means: by its id, its name, or one of its names."""

from __future__ import annotations

import csv
import difflib
import json
import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from modelzoo import labels
from modelzoo.errors import SHOWN, LabelsError, abbreviated, quoted, readable
from modelzoo.labels import Label

NEAREST = 3  # classes offered for a name of none
MANY_NAMES = 6  # of a class, which may all be near
SYNONYMS = ", "  # between the names of a class in ImageNet's tables
HEADER = ["folder", "class"]
LARGEST = 10_000_000  # bytes of a mapping file

Mapped = Mapping[str, str | None]


class Classes:
    """The classes of a label set, or a model's own, found by what people and programs call folders."""

    def __init__(self, label_set: str, table: Sequence[Label] | None = None):
        """Of the label set's own table unless another is given, which errors then call so."""
        self.label_set = label_set
        self.labels = labels.read(label_set) if table is None else table
        self._exact = {label.id: number for number, label in enumerate(self.labels)}
        self._levels = [self._table(names) for names in (_ids, _full_names, _synonyms)]

    @property
    def names(self) -> dict[str, str]:
        """The names by id, in class order."""
        return {label.id: label.name for label in self.labels}

    def _table(self, names: Callable[[Label], Iterable[str]]) -> dict[str, list[int]]:
        table: defaultdict[str, list[int]] = defaultdict(list)
        for number, label in enumerate(self.labels):
            for name in dict.fromkeys(map(_folded, names(label))):
                table[name].append(number)
        return dict(table)

    def find(self, text: str) -> int:
        """The number of the class that the text means; capital letters, "_" and "-" do not count.

        An id goes before a whole name, and that before one of several names. Raises LabelsError for a text
        that means no class, with the nearest names, or several, with their ids.
        """
        found = self.candidates(text)
        if len(found) != 1:
            raise LabelsError(f"Expected a class of {readable(self.label_set)}, found {self.why_not(text)}.")
        return found[0]

    def candidates(self, text: str) -> Sequence[int]:
        """The numbers of all classes that the text may mean."""
        if text in self._exact:
            return (self._exact[text],)
        name = _folded(text)
        return next((table[name] for table in self._levels if name in table), ())

    def why_not(self, text: str) -> str:
        """The text, and the classes that it may mean, or those of the nearest names."""
        if found := self.candidates(text):
            several = abbreviated([_shown(self.labels[number]) for number in found])
            return f"{readable(text)} (several classes: {several})"
        return f"{readable(text)} (the nearest: {', '.join(self._nearest(text))})"

    def _nearest(self, text: str) -> Iterator[str]:
        known = {name: number for table in reversed(self._levels) for name, (number, *_) in table.items()}
        names = difflib.get_close_matches(_folded(text), sorted(known), n=NEAREST * MANY_NAMES, cutoff=0)
        for number in list(dict.fromkeys(known[name] for name in names))[:NEAREST]:
            yield _shown(self.labels[number])


def _shown(label: Label) -> str:
    name = readable(label.name)
    return name if label.id == label.name else f"{readable(label.id)} {name}"


def _ids(label: Label) -> Sequence[str]:
    return (label.id,)


def _full_names(label: Label) -> Sequence[str]:
    return (label.name,)


def _synonyms(label: Label) -> Sequence[str]:
    return label.name.split(SYNONYMS)


def _folded(text: str) -> str:
    text = unicodedata.normalize("NFC", text)  # macOS decomposes the letters of files' names
    return " ".join(text.casefold().replace("_", " ").replace("-", " ").split())


def classes_of(folders: Iterable[str], classes: Classes, mapped: Mapped) -> dict[str, int | None]:
    """The number of each folder's class; None for those that the mapping leaves out.

    A folder's class is what it is mapped to, or its name. Raises LabelsError that names all that have none.
    """
    found: dict[str, int | None] = {}
    wrong: list[str] = []
    for folder in folders:
        text = mapped.get(folder, folder)
        numbers = classes.candidates(text) if text else ()
        found[folder] = numbers[0] if numbers else None
        if text and len(numbers) != 1:
            wrong.append(folder)
    if wrong:
        shown = [_why_not(folder, classes, mapped) for folder in wrong[:SHOWN]]
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise LabelsError(
            f"Expected folders named by classes of {readable(classes.label_set)}, "
            f"found {'; '.join(shown)}{more}. "
            "Rename them to ids or names, or map them (--classes FILE)."
        )
    return found


def _why_not(folder: str, classes: Classes, mapped: Mapped) -> str:
    text = mapped.get(folder)
    return classes.why_not(folder) if text is None else f"{readable(folder)} -> {classes.why_not(text)}"


def read_mapping(given: Mapped | str | os.PathLike[str] | None) -> Mapped:
    """Folder -> class of a .json (an object), .csv (folder,class) or .txt (folder, white space, class).

    A class that is empty, or null, leaves the folder out. Raises LabelsError for any other content.
    """
    if given is None or isinstance(given, Mapping):
        return given or {}
    path = Path(given)
    if path.suffix.lower() not in READERS:
        raise LabelsError(f"{readable(str(path))} must end in {', '.join(READERS)}, which say the format.")
    try:
        if path.stat().st_size > LARGEST:
            raise LabelsError(f"{readable(str(path))}: expected at most {LARGEST:,} bytes.")
        pairs = list(READERS[path.suffix.lower()](path.read_text("utf-8-sig")))
    except FileNotFoundError as error:
        raise LabelsError(f"No such file: {readable(str(path))}.") from error
    except (ValueError, RecursionError, csv.Error) as error:
        if isinstance(error, LabelsError):
            raise
        raise LabelsError(f"{readable(str(path))} is no mapping of folders: {error}.") from error
    twice = [readable(folder) for folder in dict(pairs) if sum(other == folder for other, _ in pairs) > 1]
    if twice:
        raise LabelsError(f"{readable(str(path))} maps folders more than once: {abbreviated(twice)}.")
    return dict(pairs)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object, with what it has twice."""


def _json_pairs(text: str) -> Iterable[tuple[str, str | None]]:
    found: Any = json.loads(text, object_pairs_hook=_Pairs)
    expected = 'expected an object such as {"n02123045": "tabby"}'
    if not isinstance(found, _Pairs):
        raise ValueError(f"{expected}, got {quoted(found)}")
    for folder, name in found:
        if not isinstance(name, str | None):
            raise ValueError(f"{expected}, got {quoted(name)} for {readable(folder)}")
        yield folder, name


def _csv_pairs(text: str) -> Iterable[tuple[str, str | None]]:
    for number, row in enumerate(csv.reader(text.splitlines()), 1):
        cells = [cell.strip() for cell in row]
        if not row or (number == 1 and [cell.casefold() for cell in cells] == HEADER):
            continue
        if len(cells) != 2:
            raise ValueError(f"expected folder,class in line {number}, got {quoted(','.join(row))}")
        yield cells[0], cells[1]


def _txt_pairs(text: str) -> Iterable[tuple[str, str | None]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        parts = line.split("\t", 1) if "\t" in line else line.split(None, 1)
        if len(parts) != 2:
            raise ValueError(
                f"expected a folder, white space and a class in line {number}, got {quoted(line)}"
            )
        yield parts[0].strip(), parts[1].strip()


READERS: dict[str, Callable[[str], Iterable[tuple[str, str | None]]]] = {
    ".csv": _csv_pairs,
    ".json": _json_pairs,
    ".txt": _txt_pairs,
}
