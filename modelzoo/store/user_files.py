"""A user's own weights: which files a path means, and whether they have changed."""

from __future__ import annotations

import difflib
import hashlib
import re
from pathlib import Path

from modelzoo.errors import ConversionError, readable
from modelzoo.files import sha256

PART = re.compile(
    r"(?<=.)\.(index|meta|data-\d{5}-of-\d{5})$"
)  # as in formats.checkpoint_files, which is slow to import


def files_of(path: Path) -> list[Path]:
    """The file and those that belong to it, or of a folder what is looked through for weights; maybe none."""
    if path.is_dir():
        return sorted(file for depth in ("*", "*/*") for file in path.glob(depth) if file.is_file())
    prefix = PART.sub("", path.name)
    parts = [file for file in path.parent.glob("*") if PART.sub("", file.name) == prefix]
    return sorted(file for file in {path, *parts} if file.is_file())


def require(path: Path) -> None:
    """Raises ConversionError if there is nothing that `path` could mean, before anything slow is imported."""
    if path.is_dir() or files_of(path):
        return
    where = path.parent if path.parent.is_dir() else next(p for p in path.parents if p.is_dir())
    similar = difflib.get_close_matches(path.name, [file.name for file in where.iterdir()], n=3)
    near = f"; there is {', '.join(map(readable, similar))}" if similar and where == path.parent else ""
    raise ConversionError(f"There is no file {readable(str(path))}{near}.")


def state(path: Path) -> str:
    """What differs when the files may have changed, without reading them: places, sizes and times."""
    return " ".join([str(path.absolute()), *map(_state, files_of(path))])


def _state(file: Path) -> str:
    facts = file.stat()
    times = (facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)
    return f"{file.resolve()} {facts.st_size} {times}"


def digest(path: Path) -> str:
    """The sha256 of the file; of several files, that of their names and sha256s."""
    files = files_of(path)
    if len(files) == 1:
        return sha256(files[0])
    lines = "".join(f"{sha256(file)} {file.relative_to(path.parent).as_posix()}\n" for file in files)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
