"""Labels of a user's own: the names of the classes of a network that somebody trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from modelzoo.errors import LabelsError, abbreviated, quoted
from modelzoo.registry import Label

MAX_BYTES = 2**22  # of a file with names; ML-Images' 11,166 have 300,000
MAX_CHARACTERS = 500  # of one name


def read_names(path: Path) -> tuple[str, ...]:
    """The names in a text file, one a line in class order. Raises LabelsError for what is no such file."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        lines = content.decode("utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise LabelsError(f"The labels {path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise LabelsError(f"{path} is no text in UTF-8: expected a name a line, in class order.") from error
    if len(content) > MAX_BYTES:
        raise LabelsError(
            f"{path} has more than {MAX_BYTES:,} bytes: expected a name a line, in class order."
        )
    return tuple(line.strip() for line in lines)


def checked_names(names: Sequence[str] | None, classes: int, file: Path) -> tuple[str, ...] | None:
    """The names of a file's classes, or None; raises LabelsError unless there are as many, all different."""
    if names is None:
        return None
    if len(names) != classes:
        raise LabelsError(f"Expected {classes:,} labels, as many as {file} has classes, got {len(names):,}.")
    if wrong := [place for place, name in enumerate(names, 1) if not 0 < len(name) <= MAX_CHARACTERS]:
        raise LabelsError(
            f"Expected names of 1 to {MAX_CHARACTERS} characters, got {quoted(names[wrong[0] - 1])} "
            f"as label {wrong[0]}."
        )
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise LabelsError(f"Expected every label once, got more of {abbreviated(list(map(quoted, twice)))}.")
    return tuple(names)


def table(classes: int, names: Sequence[str] | None = None) -> tuple[Label, ...]:
    """A label for each class: its name, which is also its id, or else its number from 0.

    >>> table(2)[1]
    Label(id='1', name='class 1', parent=None)
    """
    if names is not None:
        return tuple(Label(name, name) for name in names)
    return tuple(Label(str(number), f"class {number}") for number in range(classes))
