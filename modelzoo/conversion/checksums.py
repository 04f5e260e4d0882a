"""An upstream file against the checksums that were published for it, and its own for the provenance."""

from __future__ import annotations

import shlex
from pathlib import Path

from modelzoo.errors import ConversionError
from modelzoo.files import digests
from modelzoo.registry import Entry, Source


def verify(entry: Entry, source: Source, path: Path, unpacked: Path, *, official: bool) -> list[str]:
    """The published checksums that fit, like "sha1 of the member"; if `official`, another is an error.

    `path` is the file, and `unpacked` what was read from it, the same if it is no archive.
    """
    verified: list[str] = []
    convert = ["modelzoo", "convert", entry.key, str(path), "-o", "own.h5"]
    bare_member = unpacked == path and source.member is not None
    for checksum in source.checksums:
        bare = source.member is None and unpacked.is_file()  # even if it came in somebody's archive
        subject = unpacked if checksum.of == "member" or bare else path
        if not subject.is_file() or (checksum.of == "file" and bare_member):
            continue
        digest = digests(subject, (checksum.algorithm,))[checksum.algorithm]
        if digest == checksum.value:
            verified.append(f"{checksum.algorithm} of the {checksum.of}")
        elif official:
            raise ConversionError(
                f"{path.name} is not the official file of {entry.key}: expected {checksum.algorithm} "
                f"{checksum.value} of the {checksum.of}, got {digest}. If it should be, download it again; "
                f"a file of your own is for load(weights=...), or for {shlex.join(convert)}."
            )
    return verified


def fingerprints(path: Path) -> list[dict[str, str]]:
    """Name and sha256 of the file, or of every file of a folder or a checkpoint prefix."""
    if path.is_file():
        files = [path]
    elif path.is_dir():
        files = [file for file in path.rglob("*") if file.is_file()]
    else:
        files = [file for file in path.parent.iterdir() if file.name.startswith(f"{path.name}.")]
    return [{"name": file.name, **digests(file, ("sha256",))} for file in sorted(files)]
