"""A mirror: weight files under the names of their contents, and an index of them. Knows no models.

MODELZOO_MIRROR names one or more, separated by "|": a folder, also on a share, or an address that starts
with file://, http:// or https://. index.json says, for each model, which file has its weights:

    {"format": 1, "models": {"resnet50_v1d.gluon": {
        "file": "resnet50_v1d.gluon-0123456789abcdef.h5", "sha256": "0123456789abcdef...", "bytes": 102400,
        "converter": "gluoncv 1",
        "notop": {"file": ..., "sha256": ..., "bytes": ...}}}}

"notop" is there if a file without the head's weights is. With the weights of a model folder "folder" names
its other files: {"model.json": {"file": ..., "sha256": ...}, ...}. What a mirror delivers must be what its
index says.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelzoo import download
from modelzoo.errors import DownloadError, quoted
from modelzoo.files import atomic_write, is_sha256, sha256
from modelzoo.store import cache

INDEX = "index.json"
FORMAT = 1
MAX_MODELS = 10_000
OBJECTS = 3  # of an index for each model, at most: its entry, "notop", and what a later format may add
COMPANIONS = {"model.json": ".json", "README.md": ".md"}  # of a model folder's weights: how their names end
MAX_INDEX_BYTES = 8 * 2**20  # an entry has about 500, with "notop" 700


@dataclass(frozen=True)
class Companion:
    """A small file of a model folder beside its weights, as an index states it."""

    model: str
    role: str  # its name in the folder
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.model}-{self.sha256[: cache.NAMED_DIGITS]}{COMPANIONS[self.role]}"


@dataclass(frozen=True)
class IndexedFile:
    """A weight file as an index states it."""

    model: str
    top: bool
    sha256: str
    bytes: int
    folder: tuple[Companion, ...] = ()

    @property
    def name(self) -> str:
        return cache.file_name(self.model, self.sha256, self.top)


def url(base: str, name: str) -> str:
    """The address of a file of the mirror."""
    if "://" not in base:
        base = Path(os.path.abspath(os.path.expanduser(base))).as_uri()
    return f"{base.rstrip('/')}/{name}"


def index(base: str) -> dict[tuple[str, bool], IndexedFile]:
    """The mirror's files by model and whether with top; raises DownloadError if the index is unusable."""
    with cache.temporary_directory() as folder:
        download.fetch(url(base, INDEX), folder / INDEX, limit=MAX_INDEX_BYTES)
        return parse((folder / INDEX).read_bytes())


def parse(text: bytes) -> dict[tuple[str, bool], IndexedFile]:
    """An index from its JSON."""
    if text.count(b"{") + text.count(b"[") > OBJECTS * MAX_MODELS:  # before anything is built of them
        raise DownloadError(f"its {INDEX} lists more than {MAX_MODELS:,} models")
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            found = quoted(document["format"])
            raise DownloadError(f"its {INDEX} is of another format: expected {FORMAT}, got {found}")
        files = [
            _file(model, top, value)
            for model, entry in document["models"].items()
            for top, value in ((True, entry), (False, entry.get("notop")))
            if value is not None
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DownloadError(f"its {INDEX} is malformed ({type(error).__name__}: {error})") from error
    return {(file.model, file.top): file for file in files}


def _file(model: str, top: bool, value: Mapping[str, Any]) -> IndexedFile:
    folder = tuple(_companion(model, role, one) for role, one in value.get("folder", {}).items())
    file = IndexedFile(model, top, value["sha256"], value["bytes"], folder)
    if not (is_sha256(file.sha256) and type(file.bytes) is int and value["file"] == file.name):
        raise ValueError(f"{quoted(model)} has another file name than its sha256 gives")
    return file


def _companion(model: str, role: str, value: Mapping[str, Any]) -> Companion:
    found = Companion(model, role, value["sha256"])
    if role not in COMPANIONS or not is_sha256(found.sha256) or value["file"] != found.name:
        raise ValueError(f"{quoted(model)} has another file {quoted(role)} than its sha256 gives")
    return found


def folder_entry(path: Path, provenance: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Path]]:
    """The entry of an index for the weights of a model folder, and its other files by their names there."""
    files: dict[str, Path] = {}
    folder: dict[str, Any] = {}
    for role in COMPANIONS:
        if not path.with_name(role).is_file():  # a card may be missing
            continue
        companion = Companion(provenance["model"], role, sha256(path.with_name(role)))
        files[companion.name] = path.with_name(role)
        folder[role] = {"file": companion.name, "sha256": companion.sha256}
    return entry(path, provenance) | {"folder": folder}, files


def entry(path: Path, provenance: Mapping[str, Any], notop: Path | None = None) -> dict[str, Any]:
    """A model's entry of an index, from its files' contents and the provenance, with what that warns of."""
    from modelzoo import weights

    value = {**_stated(path, provenance["model"], True), "converter": provenance.get("converter")}
    if warning := weights.stated_warning(provenance):
        value[weights.WARNING] = warning
    if notop is not None:
        value["notop"] = _stated(notop, provenance["model"], False)
    return value


def _stated(path: Path, model: str, top: bool) -> dict[str, Any]:
    file = IndexedFile(model, top, sha256(path), path.stat().st_size)
    return {"file": file.name, "sha256": file.sha256, "bytes": file.bytes}


def index_text(models: Mapping[str, Mapping[str, Any]]) -> str:
    """An index as JSON, the same for the same models."""
    return json.dumps({"format": FORMAT, "models": dict(sorted(models.items()))}, indent=2) + "\n"


def pack(target: Path, files: Mapping[str, Path | bytes]) -> None:
    """Writes a plain tar: equal contents give equal bytes, because it has neither times nor owners."""
    with (
        atomic_write(target) as temporary,
        tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
                member.size = file.seek(0, os.SEEK_END)
                file.seek(0)
                archive.addfile(member, file)
