"""Texts by name as comments in a file of lines, "# modelzoo NAME TEXT", the text as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

COMMENT = "# modelzoo "
LARGEST = 1 << 28  # bytes of a file


def comments(texts: Mapping[str, str]) -> list[str]:
    """A line for each text."""
    return [f"{COMMENT}{name} {json.dumps(text)}" for name, text in texts.items()]


def add_text(path: Path, name: str, text: str) -> None:
    """Adds a text at the end."""
    with path.open("a", encoding="utf-8") as file:
        file.write("\n".join(comments({name: text})) + "\n")


def read_texts(path: Path) -> dict[str, str]:
    """The texts of a file. Raises OSError, and ValueError for texts that are none."""
    if path.stat().st_size > LARGEST:
        raise ValueError("it is too large for the text of a network")
    found: dict[str, str] = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.startswith(COMMENT):
                name, _, text = line.removeprefix(COMMENT).partition(" ")
                found[name] = json.loads(text)
    if not all(isinstance(text, str) for text in found.values()):
        raise ValueError("its metadata holds no texts")
    return found
