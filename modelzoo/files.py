"""Files that appear whole or not at all, and their checksums."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 20  # bytes read at a time
SHA256 = re.compile("[0-9a-f]{64}")


@contextmanager
def atomic_write(target: Path) -> Generator[Path]:
    """A temporary path beside `target`, moved onto it if the block ends well and removed if not."""
    file, temporary = create_beside(target, f".{target.name}.")
    file.close()
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def create_beside(target: Path, prefix: str) -> tuple[BinaryIO, Path]:
    """A new empty file `prefix`*.part in the folder of `target`, with a name that nobody else has."""
    target.parent.mkdir(parents=True, exist_ok=True)
    while True:
        path = target.with_name(f"{prefix}{secrets.token_hex(4)}.part")
        try:
            return path.open("xb"), path  # unlike tempfile's, as readable as the user's umask says
        except FileExistsError:
            continue


def digests(path: Path, algorithms: Sequence[str]) -> dict[str, str]:
    """The file's checksums in hexadecimal, from one reading."""
    hashes = {algorithm: hashlib.new(algorithm, usedforsecurity=False) for algorithm in algorithms}
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            for hash_ in hashes.values():
                hash_.update(chunk)
    return {algorithm: hash_.hexdigest() for algorithm, hash_ in hashes.items()}


def sha256(path: Path) -> str:
    """The file's sha256 in hexadecimal."""
    return digests(path, ("sha256",))["sha256"]


def is_sha256(text: object) -> bool:
    """Whether this is a sha256 as it is written everywhere: 64 lower-case hexadecimal digits."""
    return isinstance(text, str) and SHA256.fullmatch(text) is not None
