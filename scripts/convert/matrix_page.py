"""docs/formats.md: the table that the lines of docs/formats.jsonl make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import measuring
from modelzoo.exporters import FORMATS

TICK = "✓"
Cell = Mapping[str, Any]
HEAD = """\
# Models and formats

Written by `python -m scripts.convert.matrix` from [formats.jsonl](formats.jsonl), a line for each cell; rerun
the same command to resume a run that was stopped, to run again what has changed, and to add formats.

Each cell is `modelzoo export MODEL` with synthetic weights in f32, in a process of its own. A tick is a file
that its own runtime loaded and ran, in batches of one and three, at the network's size and, where the format
keeps sides open, at another one; with it stands the largest relative L2 error of any output against the
network's graph computed in float64. "Differs" is a file whose error is above 1e-5, of which `export` leaves
none. "Not run here" is a format that nothing on this machine runs, or whose package is missing. "Refused" is
a network that the format cannot hold, and "stopped" a cell that took more time or memory than it may. The
notes say why.
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
    parts = [HEAD, table, "\n".join(["## Notes", "", *numbered]) if notes else "", ran_by(cells)]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def shown(cell: Cell | None, notes: dict[str, int]) -> str:
    """A cell of the table; its reason becomes a note with a number."""
    if cell is None:
        return "not run"
    note = cell.get("detail")
    return text(cell) + (f" [{notes.setdefault(note, len(notes) + 1)}]" if note else "")


def text(cell: Cell) -> str:
    """What came of a cell, in a word and its error."""
    error = cell.get("relative_l2")
    word = TICK if cell["state"] == "agrees" else cell["state"]
    return word if error is None else f"{word} {error:.1e}"


def ran_by(cells: Sequence[Cell]) -> str:
    """The runtimes with their versions, the days and the machines."""
    runtimes = sorted({cell["runtime"] for cell in cells if cell.get("runtime") and "relative_l2" in cell})
    days = sorted({cell["date"] for cell in cells})
    machines = sorted({cell["machine"] for cell in cells})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}" if days else "never"
    return "\n".join(
        [
            "## What ran it",
            "",
            f"Runtimes: {', '.join(runtimes) or 'none'}.",
            f"Run on {when}, on {' and '.join(machines) or 'no machine'}.",
            "The command: `python -m scripts.convert.matrix`.",
        ]
    )
