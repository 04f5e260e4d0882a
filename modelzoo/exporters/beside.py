"""Metadata in a JSON file beside one that has no place for it."""

from __future__ import annotations

import json
from pathlib import Path

from modelzoo.exporters.options import Texts

ENDING = ".modelzoo.json"
LARGEST = 1 << 26  # bytes


def write(path: Path, texts: Texts) -> None:
    """Writes the texts."""
    path.write_text(json.dumps(dict(texts), ensure_ascii=False, indent=1) + "\n", "utf-8")


def read(path: Path) -> dict[str, str]:
    """The texts. Raises OSError, and ValueError for a file that does not hold names and texts."""
    if path.stat().st_size > LARGEST:
        raise ValueError("its metadata is too large")
    found = json.loads(path.read_text("utf-8"))
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise ValueError("its metadata holds no names and texts")
    return found


def add(path: Path, name: str, text: str) -> None:
    """Adds a text."""
    write(path, {**read(path), name: text})
