"""docs/formats.md: the table that the lines of docs/formats.jsonl make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import measuring
from modelzoo.exporters import FORMATS, RETIRED

TICK = "✓"
AGREES, INTERPRETED, BY_VALUE = "agrees", "interpreted", "by value"
DIFFERS, NOT_RUN, REFUSED, STOPPED = "differs", "not run here", "refused", "stopped"
TICKED = (AGREES, INTERPRETED, BY_VALUE)
Cell = Mapping[str, Any]
HEAD = """\
# Models and formats

Written by `python -m scripts.convert.matrix` from [formats.jsonl](formats.jsonl), a line for each cell; rerun
the same command to resume a run that was stopped, to run again what has changed, and to add formats.

Each cell is `modelzoo export MODEL` with synthetic weights in f32, in a process of its own.

- **✓ and an error**: the file's own program loaded and ran it, in batches of one and of three images (a
  photograph, its mirror image, noise), at the network's size and, where the format keeps sides open, at
  another one. The error is the largest relative L2 error of any output against the network's graph computed
  in float64, and at most 1e-5. A checkpoint was restored into the original program's own network, and its
  logits are compared with those of ours by Keras.
- **✓ interpreted**: that program runs nowhere here. An interpreter of the format's language, which is part of
  the tests, read the file and computed the three images in float64.
- **✓ by value**: nothing ran. The file's own program is not here, or the file holds weights alone and that
  program has no such network. It was read back, a checkpoint by TensorFlow itself, and each value compared
  bit by bit.
- **differs**: the program ran the file and the error is above 1e-5. `export` leaves no such file.
- **refused**: the format cannot hold the network; the note says what it lacks.
- **not run here**: a package is missing. **stopped**: the cell took more time or memory than it may.

A softmax's output is compared as the logits that it is made of, up to a constant, and must sum to 1: where
logits of 100 are right to seven digits, their probabilities are right to five.
"""
STAND_IN = """\
Retired, `{name}`: {why}. Its column is that file, written and run by ONNX Runtime.
"""


def page(cells: Sequence[Cell], rows: Sequence[str]) -> str:
    """The page: the table, its notes, and what ran it."""
    known = {cell["format"]: cell["title"] for cell in cells}
    columns = [name for name in FORMATS if name in known]
    columns += sorted(known.keys() - set(columns))
    named = {cell["model"] for cell in cells}
    models = [model for model in rows if model in named] + sorted(named - set(rows))
    by_place, notes = {(cell["model"], cell["format"]): cell for cell in cells}, dict[str, int]()
    lines = [
        [f"`{model}`", *(shown(by_place.get((model, name)), notes) for name in columns)] for model in models
    ]
    table = measuring.table(["model", *(known[name] for name in columns)], lines)
    numbered = [f"{number}. {note}" for note, number in notes.items()]
    retired = "".join(STAND_IN.format(name=name, why=why) for name, why in RETIRED.items() if name in known)
    noted = "\n".join(["## Notes", "", *numbered]) if notes else ""
    parts = [HEAD, table, retired, noted, ran_by(cells, columns)]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def shown(cell: Cell | None, notes: dict[str, int]) -> str:
    """A cell of the table; the reason why it has no tick becomes a note with a number."""
    if cell is None:
        return "not run"
    note = None if cell["state"] in TICKED else cell.get("detail")
    return text(cell) + (f" [{notes.setdefault(note, len(notes) + 1)}]" if note else "")


def text(cell: Cell) -> str:
    """What came of a cell, in a word and its error."""
    error, state = cell.get("relative_l2"), cell["state"]
    word = state if state not in TICKED else TICK if state == AGREES else f"{TICK} {state}"
    return word if error is None else f"{word} {error:.1e}"


def ran_by(cells: Sequence[Cell], columns: Sequence[str]) -> str:
    """What ran the files of each format, with its version, the days and the machines."""
    lines = []
    for name in columns:
        ran = [cell for cell in cells if cell["format"] == name and "relative_l2" in cell]
        programs = sorted({cell["runtime"] for cell in ran if cell.get("runtime")})
        if programs:
            lines.append([ran[0]["title"], "; ".join(programs)])
    days = sorted({cell["date"] for cell in cells})
    machines = sorted({cell["machine"] for cell in cells})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}" if days else "never"
    return "\n".join(
        [
            "## What ran it",
            "",
            *([measuring.table(["format", "program"], lines), ""] if lines else []),
            f"Run on {when}, on {' and '.join(machines) or 'no machine'}.",
            "The command: `python -m scripts.convert.matrix`.",
        ]
    )
