"""inspect(): what an exported file says of itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from modelzoo.errors import ExportError, readable
from modelzoo.exporters.formats import Format, format_of
from modelzoo.exporters.metadata import PROOF, Metadata


@dataclass(frozen=True)
class Inspection:
    """A file, its format, its metadata, and the proof that it was given as JSON says it."""

    path: Path
    format: Format
    metadata: Metadata
    proof: dict[str, Any]


def inspect(path: Path) -> Inspection:
    """What a file says of itself; no runtime is needed, and its weights are not read.

    Raises ExportError for a file that modelzoo did not export, or that is damaged; OSError if there is none.
    """
    format = format_of(path)
    with (path if format.marker is None else path / format.marker).open(
        "rb"
    ):  # says in plain words that it cannot be read
        pass
    try:
        texts = format.writer().read_texts(path)
        metadata, proof = Metadata.of(texts), json.loads(texts.get(PROOF, "{}"))
    except (ValueError, ExportError, RecursionError) as error:
        raise ExportError(
            f"{readable(str(path))} is not a file that modelzoo exported to {format.title}: {error}."
        ) from error
    if not isinstance(proof, dict):
        proof = {}
    return Inspection(path, format, metadata, cast("dict[str, Any]", proof))
