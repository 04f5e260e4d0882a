"""Files that appear whole or not at all, and their checksums."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHUNK = 1 << 20  # bytes read at a time


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A temporary path beside `target`, moved onto it if the block ends well and removed if not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes private files; a cache may be shared
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def digests(path: Path, algorithms: tuple[str, ...]) -> dict[str, str]:
    """The file's checksums in hexadecimal, from one reading."""
    hashes = {algorithm: hashlib.new(algorithm, usedforsecurity=False) for algorithm in algorithms}
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            for hash_ in hashes.values():
                hash_.update(chunk)
    return {algorithm: hash_.hexdigest() for algorithm, hash_ in hashes.items()}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
