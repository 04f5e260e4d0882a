"""The weights that come with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from modelzoo.registry import Entry


def bundled_path(entry: Entry) -> Path:
    """Where the package would have the entry's weights; the file is there for few entries."""
    return Path(str(resources.files("modelzoo") / "bundled" / f"{entry.key}.h5"))
