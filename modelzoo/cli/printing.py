"""How results look: tables and cards for people, JSON for programs, one sentence for what fails.

All that commands print goes through here: names of files and tensors, provenance and hosts' answers were
written by others, and a terminal obeys what it is sent. So one_line() guards each line; JSON has escapes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from modelzoo.errors import one_line

if TYPE_CHECKING:
    from rich.console import Console

BAR = 24  # characters of a probability of 1
FULL, EIGHTHS = "█", " ▏▎▍▌▋▊▉"
PLAIN = "#"  # for terminals that cannot show the above
NARROWEST = 8  # characters that a table's last column keeps


def print_json(value: object, indent: int | None = 2) -> None:
    """The value as JSON, exact; without `indent` on one line.

    What stdout cannot show, or may obey, is escaped as JSON does: JSON itself requires that below 0x20 only.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    as_it_is = text.replace("\n", "").isprintable() and _can_show(text)
    print(text if as_it_is else json.dumps(value, indent=indent).replace("\x7f", r"\u007f"))


def say(line: object = "", *, flush: bool = False) -> None:
    """Prints one line."""
    print(one_line(line).rstrip(), flush=flush)


def note(sentence: str) -> None:
    """Says on stderr what is no result."""
    print(f"modelzoo: {one_line(sentence)}", file=sys.stderr)


def fail(sentence: str) -> int:
    """Says why on stderr; returns the exit code."""
    note(sentence)
    return 1


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Collection[int] = (),
    *,
    optional: Sequence[int] = (),
    wrap: bool = False,
) -> None:
    """Rows under a header, the columns `right` flush right; nothing for no rows.

    On a terminal the table fits its width: the columns `optional` are left out, one after the other, while
    it is too narrow; then the last column is shortened, or with `wrap` continued on further lines.
    """
    if not rows:
        return
    rows = [[one_line(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _print_on_terminal(header, rows, right, optional, wrap)
        return
    widths = _widths(header, rows)
    for row in (header, *rows):
        cells = [
            f"{cell:>{width}}" if i in right else f"{cell:<{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _print_on_terminal(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Collection[int],
    optional: Sequence[int],
    wrap: bool,
) -> None:
    from rich.table import Table

    console, widths, shown = _console(), _widths(header, rows), list(range(len(header)))
    for i in optional:
        if _table_width(widths, shown) > console.width:
            shown.remove(i)
    excess = max(0, _table_width(widths, shown) - console.width)
    widths[shown[-1]] = max(NARROWEST, widths[shown[-1]] - excess)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style=_bold(console))
    for i in shown:
        wraps = wrap and i == shown[-1]
        table.add_column(
            header[i],
            width=widths[i],
            justify="right" if i in right else "left",
            no_wrap=not wraps,
            overflow="fold" if wraps else "ellipsis",
        )
    for row in rows:
        table.add_row(*(row[i] for i in shown))
    console.print(table)


def print_card(title: str, facts: Iterable[tuple[str, str]]) -> None:
    """A title and under it one fact a line, wrapped at a terminal's width."""
    say(title)
    pairs = [(f"  {one_line(name)}", one_line(value)) for name, value in facts]
    if not sys.stdout.isatty():
        width = max(len(name) for name, _ in pairs)
        for name, value in pairs:
            print(f"{name:<{width}}  {value}".rstrip())
        return
    from rich.table import Table

    console = _console()
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style=_bold(console), no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, value)
    console.print(table)


def bar(probability: float) -> str:
    """A bar of the length of a probability, in what the terminal can show."""
    if not _can_show(FULL + EIGHTHS):
        return PLAIN * round(probability * BAR)
    full, eighths = divmod(round(probability * BAR * 8), 8)
    return FULL * full + EIGHTHS[eighths].strip()


def percent(value: float | None) -> str:
    """A percentage, or that it is unknown."""
    return "unknown" if value is None else f"{value:.2f} %"


def plural(word: str, things: Sequence[object]) -> str:
    """The word, in the plural unless there is one thing."""
    return word if len(things) == 1 else f"{word}s"


def _console() -> Console:
    from rich.console import Console

    return Console(markup=False, highlight=False, emoji=False)


def _bold(console: Console) -> str:
    """The style of what stands out; with NO_COLOR there is none at all."""
    return "none" if console.no_color else "bold"


def _widths(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]


def _table_width(widths: Sequence[int], columns: Sequence[int]) -> int:
    return sum(widths[i] for i in columns) + len(columns) - 1


def _can_show(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
