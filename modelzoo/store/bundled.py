"""The weights that come with the package, each with a record of its content."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from modelzoo import files
from modelzoo.errors import WeightsUnavailable
from modelzoo.files import CRC32C
from modelzoo.registry import Entry
from modelzoo.store import integrity
from modelzoo.store.cache import Pointer


def bundled_path(entry: Entry) -> Path:
    """Where the package would have the entry's weights; the file is there for few entries."""
    return Path(str(resources.files("modelzoo") / "bundled" / f"{entry.key}.h5"))


def recorded(path: Path) -> Pointer:
    """What the package says that its file holds; raises WeightsUnavailable if that cannot be read."""
    try:
        facts = json.loads(path.with_suffix(".json").read_bytes())
        return Pointer(facts["sha256"], facts["bytes"], str(path), "bundled", "", crc32c=facts[CRC32C])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unusable(path, "its record cannot be read") from error


def record(path: Path) -> str:
    """The record of a file's content, as JSON; it is kept beside the file."""
    facts = files.digests(path, ("sha256", CRC32C))
    return json.dumps({**facts, "bytes": path.stat().st_size}, indent=2) + "\n"


def check(path: Path) -> None:
    """Raises WeightsUnavailable unless the file is what its record says."""
    try:
        sound = integrity.has_crc32c(path, recorded(path))
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    if not sound:
        raise _unusable(path, "it is damaged")


def _unusable(path: Path, reason: str) -> WeightsUnavailable:
    return WeightsUnavailable(
        f"{path}, which comes with modelzoo, cannot be used: {reason}. Reinstall modelzoo."
    )
