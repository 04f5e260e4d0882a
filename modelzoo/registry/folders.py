"""Model folders: a model of one's own, whose model.json says all that an entry does, and its graph.

    FOLDER/model.json    what this module reads: facts, labels, the graph, the weight file's sha256
    FOLDER/weights.h5    a modelzoo weight file
    FOLDER/README.md     the same facts for people and for model hubs; nothing reads it

A folder stands wherever a model's name may. Its predictions depend on what is in it, not on where it lies.
A model.json may come from anybody: its size is bounded, each field is checked, and none names a file.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from modelzoo.errors import RegistryError, UnknownModel, quoted, readable
from modelzoo.registry.dataclass_json import JsonObject, build, check_keys, check_object
from modelzoo.registry.entries import Architecture, Entry, Label, OwnEntry
from modelzoo.registry.parsing import (
    KEY,
    SET_NAME,
    Wrong,
    is_digest,
    labels_of,
    read_json,
    refuse_any,
    wrong_in_entry,
    wrong_in_preprocessing,
)

MODEL, WEIGHTS, CARD = "model.json", "weights.h5", "README.md"
FORMAT = 1
WHEELS = "wheels"  # in the cache: what came out of wheels, see registry.wheels
FOLDERS = "folders"  # in the cache: model folders that came in a bundle, each called by its key
HUB = "hub"  # in the cache: what came from model hubs, see registry.hub
OWN = "own"  # the tag of every model that comes from a folder
STORED = "stored"  # the family of all graphs that come from a folder
OWN_LABELS = "own labels"  # in place of a label set's name
MOST_BYTES = 64 * 2**20  # of a model.json; a network of 1,000 layers has 300 kB
LARGEST_SIDE = 8192  # pixels of an input
LEAST_BYTES = 2  # of a parameter in a weight file
REQUIRED = {"format", "modelzoo", "name", "input_shape", "classes", "activation", "parameters", "graph"} | {
    "preprocessing",
    "labels",
    "weights",
}
OPTIONAL = {"licenses", "metrics", "paper", "note", "base", "answers", "saved"}


@dataclass(frozen=True, kw_only=True)
class StoredArchitecture(Architecture):
    """A network whose graph a folder brings along; its variant is the sha256 of that."""

    stored: str = field(repr=False)  # the graph as JSON
    parameters: int  # as the model.json states them, whose weight file has the bytes for so many
    place: str = field(compare=False, repr=False)  # whose graph it is, for messages

    def graph(self) -> object:
        """The stored graph as JSON has it, which nobody has checked yet."""
        return json.loads(self.stored)

    def facts(self) -> dict[str, Any]:
        """Without the graph itself, for which the variant stands, and without its place."""
        return _bare(self).facts()


@dataclass(frozen=True)
class Base:
    """The model that a network was made from, and the sha256 of its weights, if they were at hand."""

    model: str
    sha256: str | None = None


@dataclass(frozen=True)
class Stated:
    """What a model.json says of its weight file."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class StoredAnswer:
    """What the network answered for an image when it was saved; `image` is a name of store.probes."""

    image: str
    outputs: tuple[float, ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True, repr=False)
class FolderEntry(OwnEntry):
    """An entry that a model folder states."""

    folder: str  # an absolute path
    saved_as: str  # the key that the weight file names
    file: Stated
    table: tuple[Label, ...] = field(default=(), repr=False)  # empty where `labels` names a set
    base: Base | None = None
    answers: tuple[StoredAnswer, ...] = ()
    modelzoo: str  # the version that saved it
    saved: str | None = None  # the day
    registered: bool = False  # under its key in a registry

    __repr__ = Entry.__repr__

    @property
    def reference(self) -> str:
        return self.key if self.registered else self.folder

    @property
    def owner(self) -> str:
        return self.saved_as

    @property
    def weights_path(self) -> Path:
        """Where its weights lie."""
        return Path(self.folder) / WEIGHTS

    def facts(self) -> dict[str, Any]:
        """Without the graph itself, and without the answers."""
        found = asdict(replace(self, graph=_bare(self.graph)))
        return {name: value for name, value in found.items() if name != "answers"}


@dataclass(frozen=True, kw_only=True, repr=False)
class FetchedFolderEntry(FolderEntry):
    """An entry of a model folder in the cache, whose weights may come when they are first needed."""

    address: str  # what finds it on any machine

    __repr__ = Entry.__repr__

    @property
    def reference(self) -> str:
        return self.key if self.registered else self.address


def entry_of(folder: str | os.PathLike[str], key: str | None = None) -> FolderEntry:
    """The entry of a model folder, under another key if a registry gives it one.

    Raises UnknownModel if there is no such folder, RegistryError for a model.json that is not sound.
    """
    path = Path(os.path.abspath(os.path.expanduser(folder)))
    try:
        state = (path / MODEL).stat()
    except (OSError, ValueError):
        raise UnknownModel(_no_model(path)) from None
    entry = _read(str(path), state.st_size, (state.st_mtime_ns, state.st_ino))
    return entry if key is None else replace(entry, key=key, registered=True)


def _no_model(path: Path) -> str:
    what = f"has no {MODEL}" if path.is_dir() else "does not exist"
    return (
        f"The model folder {readable(str(path))} {what}: modelzoo.save writes one, "
        "and `modelzoo list` shows the models that have names."
    )


@functools.lru_cache(maxsize=64)
def _read(folder: str, size: int, _changed: tuple[int, int]) -> FolderEntry:
    """Read anew when the file has changed."""
    if size > MOST_BYTES:
        raise RegistryError(
            f"The model folder {readable(folder)}: expected a {MODEL} of at most {MOST_BYTES:,} bytes, "
            f"got {size:,}."
        )
    try:
        with (Path(folder) / MODEL).open("rb") as file:
            text = file.read(MOST_BYTES).decode("utf-8-sig")
        return parse(text, folder)
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryError(f"{readable(folder)}: its {MODEL} cannot be read: {error}") from error


def parse(text: str, folder: str) -> FolderEntry:
    """The entry that a model.json states, of a folder at an absolute path. Raises RegistryError."""
    where = f"The model folder {readable(folder)}"
    try:
        found = check_object(MODEL, read_json(text, f"its {MODEL}"))
        _check_format(found)
        document = check_keys(MODEL, found, REQUIRED, OPTIONAL)
        entry = _entry(document, folder)
        refuse_any(MODEL, _wrong(entry))
    except RegistryError as error:
        raise RegistryError(f"{where}: {error}") from error
    return entry


def _check_format(document: JsonObject) -> None:
    found: object = document.get("format")
    if type(found) is not int or found != FORMAT:
        version = quoted(document.get("modelzoo"))
        raise RegistryError(
            f"expected format {FORMAT}, got {quoted(found)}; it was saved by modelzoo {version}: "
            "upgrade modelzoo if that is a later one."
        )


def _entry(document: JsonObject, folder: str) -> FolderEntry:
    key = f"{document['name']}.{OWN}"
    if not isinstance(document["name"], str) or not KEY.fullmatch(key):
        raise RegistryError(
            f"expected name to be lower-case letters, digits, underscores and dots, "
            f"got {quoted(document['name'])}."
        )
    labels, own = document["labels"], ()
    if not isinstance(labels, str):
        labels, own = OWN_LABELS, labels_of("labels", labels)
    elif not SET_NAME.fullmatch(labels):
        raise RegistryError(f"expected labels to be a list, or a label set's name, got {quoted(labels)}.")
    given = {name: document[name] for name in ("parameters", "preprocessing", "modelzoo")}
    optional = ("metrics", "paper", "note", "base", "answers", "saved")
    given |= {name: document[name] for name in optional if document.get(name) is not None}
    unknown = {"code": None, "weights": None, "data": None}
    return build(
        FolderEntry,
        {"paper": None, "licenses": document.get("licenses") or unknown}
        | given
        | {
            "key": key,
            "saved_as": key,
            "folder": folder,
            "graph": _architecture(document, folder),
            "labels": labels,
            "table": list(own),
            "file": document["weights"],
        },
        MODEL,
    )


def _architecture(document: JsonObject, folder: str) -> StoredArchitecture:
    import hashlib  # takes as long as to read the packaged registry

    stored = json.dumps(check_object("graph", document["graph"]), sort_keys=True, separators=(",", ":"))
    facts = {name: document[name] for name in ("input_shape", "classes", "activation", "parameters")}
    digest = hashlib.sha256(stored.encode()).hexdigest()
    return build(
        StoredArchitecture,
        facts | {"family": STORED, "variant": digest, "stored": stored, "place": folder},
        MODEL,
    )


def _wrong(entry: FolderEntry) -> Iterator[Wrong]:
    """What the type of a value alone does not rule out."""
    yield from wrong_in_entry(entry)
    yield from wrong_in_preprocessing(entry.preprocessing)
    side, classes = entry.graph.input_shape[0], entry.graph.classes
    if side > LARGEST_SIDE:
        yield "input_shape", entry.graph.input_shape, f"sides of at most {LARGEST_SIDE} pixels"
    if entry.preprocessing.crop_size != side:
        yield "preprocessing.crop_size", entry.preprocessing.crop_size, f"the input's side, {side}"
    if entry.table and len(entry.table) != classes:
        yield "labels", len(entry.table), f"as many as there are classes, {classes}"
    if not is_digest("sha256", entry.file.sha256):
        yield "weights.sha256", entry.file.sha256, "64 lower-case hexadecimal digits"
    if entry.file.bytes < LEAST_BYTES * entry.parameters:
        yield "weights.bytes", entry.file.bytes, f"enough for {entry.parameters:,} parameters"
    for answer in entry.answers:
        if len(answer.outputs) != classes:
            yield "answers", len(answer.outputs), f"outputs of {classes} classes"


def _bare(graph: Architecture) -> Architecture:
    """The graph's facts as a registry has them."""
    return Architecture(graph.family, graph.variant, graph.input_shape, graph.classes, graph.activation)


def document_of(entry: FolderEntry) -> JsonObject:
    """A model.json, as parse() reads it."""
    graph = cast(StoredArchitecture, entry.graph)
    plain = asdict(replace(entry, graph=_bare(graph)))
    return {
        "format": FORMAT,
        "modelzoo": entry.modelzoo,
        "saved": entry.saved,
        "name": entry.saved_as.removesuffix(f".{OWN}"),
        "base": plain["base"],
        "input_shape": list(graph.input_shape),
        "classes": graph.classes,
        "activation": graph.activation,
        "parameters": entry.parameters,
        "preprocessing": plain["preprocessing"],
        "labels": plain["table"] or entry.labels,
        "licenses": plain["licenses"],
        "metrics": plain["metrics"],
        "paper": entry.paper,
        "note": entry.note,
        "weights": plain["file"],
        "answers": plain["answers"],
        "graph": graph.graph(),
    }
