"""hf://owner/name[@revision]: a repository of a model hub as an entry, timm's files or a model folder.

    ROOT/hub/OWNER--NAME/refs/REVISION.json    in the cache: which commit a branch or a tag meant last
    ROOT/hub/OWNER--NAME/COMMIT/               the small files of a commit; of a model folder its weights, too

A revision is resolved to a commit once in a process, and all files are that commit's: what answers is one
version, which entry.reference names. Nothing is asked of the hub for a commit whose files are in the cache.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import re
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from modelzoo import settings
from modelzoo.download import hub
from modelzoo.errors import DownloadError, RegistryError, UnknownModel, quoted, readable
from modelzoo.files import atomic_write
from modelzoo.registry import folders, timm_config
from modelzoo.registry.entries import Architecture, Licenses, Source
from modelzoo.registry.hub_entries import SCHEME, HubEntry, HubFolderEntry, Repository
from modelzoo.registry.timm_config import CONFIG, TimmConfig

LOG = logging.getLogger("modelzoo")
TAG = "hf"  # of the keys of these entries
MAIN = "main"
PART = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
REVISION = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_./+-]{0,198}[A-Za-z0-9_])?")
KEY_DIGITS = 12  # of a sha256, by which the keys of two repositories or commits differ
TIMM_WEIGHTS = "model.safetensors"
MOST_CONFIG_BYTES = 4 * 2**20  # names and descriptions of 21,843 classes have 1.5 MB
MOST_CARD_BYTES = 4 * 2**20
MOST_FRONT_MATTER = 64 * 2**10  # characters of a card that are looked through for its license
LICENSE = re.compile(
    r"(?m)^license:[ \t]*(?:\n-[ \t]*)?[\"']?([A-Za-z0-9][A-Za-z0-9.+-]{0,63})[\"']?[ \t]*(?:#.*)?$"
)
# The hub writes licenses in lower case; of these SPDX has the same identifiers in its own.
SPDX = {
    name.lower(): name
    for name in (
        *("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "GPL-2.0", "GPL-3.0", "LGPL-3.0", "AGPL-3.0"),
        *("MPL-2.0", "ISC", "Unlicense", "WTFPL", "CC0-1.0", "CC-BY-2.0", "CC-BY-3.0", "CC-BY-4.0"),
        *("CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC-BY-NC-2.0", "CC-BY-NC-3.0", "CC-BY-NC-4.0", "CC-BY-ND-4.0"),
        *("CC-BY-NC-ND-3.0", "CC-BY-NC-ND-4.0", "CC-BY-NC-SA-2.0", "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0"),
    )
}


class _Surroundings(NamedTuple):
    """What else decides what a reference gives."""

    endpoint: str
    token: str
    offline: bool
    roots: tuple[Path, ...]


def entry_of(reference: str) -> HubEntry | HubFolderEntry:
    """The entry of hf://owner/name or hf://owner/name@revision; small files are downloaded if need be.

    Raises UnknownModel for a repository that is not there or not for this user, or holds another model;
    RegistryError for a config.json or model.json that is not sound; DownloadError.
    """
    name, revision = split(reference)
    around = _Surroundings(
        settings.hub_endpoint(), settings.hub_token(), settings.hub_offline(), tuple(settings.cache_roots())
    )
    return _entry(name, revision, around)


def split(reference: str) -> tuple[str, str]:
    """The repository, owner/name, and its revision; raises UnknownModel."""
    name, _, revision = reference.removeprefix(SCHEME).partition("@")
    revision = revision if "@" in reference else MAIN
    parts = name.split("/")
    if (
        len(parts) != 2
        or not all(PART.fullmatch(part) and "--" not in part and ".." not in part for part in parts)
        or not REVISION.fullmatch(revision)
        or ".." in revision
        or "//" in revision
    ):
        raise UnknownModel(
            f"Expected {SCHEME}owner/name or {SCHEME}owner/name@revision, got {quoted(reference)}."
        )
    return name, revision


@functools.lru_cache(maxsize=64)
def _entry(name: str, revision: str, _around: _Surroundings) -> HubEntry | HubFolderEntry:
    where = f"{SCHEME}{name}"
    try:
        repository = Repository(name, _commit(name, revision))
        return _read(repository)
    except hub.HubRefused as error:
        raise UnknownModel(str(error)) from error
    except DownloadError as error:
        raise DownloadError(f"{where}: {error}") from error


def _commit(name: str, revision: str) -> str:
    """The commit that a revision means: now, or where the hub cannot be asked, when it last was."""
    if hub.COMMIT.fullmatch(revision):
        return revision
    known = _last_commit(name, revision)
    if known is not None and settings.hub_offline():
        return known
    try:
        commit = hub.commit_of(name, revision, (folders.MODEL, CONFIG))
    except hub.HubRefused:
        raise
    except DownloadError as error:
        if known is None:
            raise
        LOG.warning("%s%s: %s; using the commit %s of the cache", SCHEME, name, error, known)
        return known
    if commit != known:
        _remember(name, revision, commit)
    return commit


def _last_commit(name: str, revision: str) -> str | None:
    for root in settings.cache_roots():
        with suppress(OSError, ValueError, RecursionError, TypeError, KeyError):
            stated = json.loads(_ref(root, name, revision).read_bytes())
            if stated["revision"] == revision and hub.COMMIT.fullmatch(stated["commit"]):
                return stated["commit"]
    return None


def _remember(name: str, revision: str, commit: str) -> None:
    path = _ref(settings.cache_home(), name, revision)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps({"revision": revision, "commit": commit}) + "\n", "utf-8")


def _ref(root: Path, name: str, revision: str) -> Path:
    return _folder(root, name) / "refs" / f"{quote(revision, safe='')}.json"


def _folder(root: Path, name: str) -> Path:
    return root / folders.HUB / name.replace("/", "--")


def _read(repository: Repository) -> HubEntry | HubFolderEntry:
    try:
        model = _file(repository, folders.MODEL, folders.MOST_BYTES)
    except hub.NoSuchFile:
        return _timm_entry(repository)
    _file_or_nothing(repository, folders.CARD, MOST_CARD_BYTES)
    try:
        entry = folders.entry_of(model.parent)
    except RegistryError:
        _forget(model)
        raise
    known = {each.name: getattr(entry, each.name) for each in fields(entry)}
    return HubFolderEntry(**known, address=repository.reference, hub=repository)


def _timm_entry(repository: Repository) -> HubEntry:
    path = _file(repository, CONFIG, MOST_CONFIG_BYTES)
    try:
        config = timm_config.parse(path.read_text("utf-8-sig"))
    except (UnknownModel, RegistryError, UnicodeDecodeError) as error:
        _forget(path)
        kind = UnknownModel if isinstance(error, UnknownModel) else RegistryError
        raise kind(f"{SCHEME}{repository.name}: {error}") from error
    card = _file_or_nothing(repository, folders.CARD, MOST_CARD_BYTES)
    return HubEntry(
        key=_key(repository),
        graph=_graph(config),
        preprocessing=config.preprocessing,
        labels=config.labels,
        table=config.table,
        parameters=config.parameters,
        licenses=Licenses(None, license_of(card) or spdx(config.license), None),
        paper=config.network.paper,
        sources=(Source(timm_config.CONVERTER, "safetensors", (_weights_url(repository),)),),
        note=config.note,
        hub=repository,
        network=config.network.key,
    )


def _graph(config: TimmConfig) -> Architecture:
    side = config.side
    return replace(config.network.graph, input_shape=(side, side, 3), classes=config.classes)


def _weights_url(repository: Repository) -> str:
    return hub.url(repository.name, repository.commit, TIMM_WEIGHTS)


def _key(repository: Repository) -> str:
    """A key of its own for each commit of each repository, under which the cache keeps its weights."""
    name = re.sub(r"[^a-z0-9_.]+", "_", repository.name.partition("/")[2].lower()).strip("._") or "model"
    digest = hashlib.sha256(repository.reference.encode()).hexdigest()
    return f"{name}_{digest[:KEY_DIGITS]}.{TAG}"


def _file(repository: Repository, name: str, limit: int) -> Path:
    """A small file of the commit, from one of the cache's folders or from the hub. Raises NoSuchFile."""
    for root in settings.cache_roots():
        folder = _folder(root, repository.name) / repository.commit
        if (folder / name).is_file():
            return folder / name
        if (folder / _absent(name)).is_file():
            raise hub.NoSuchFile(f"{SCHEME}{repository.name} has no {name} at {repository.commit}.")
    if settings.hub_offline():
        raise DownloadError(f"{name} of {repository.commit} is not in the cache, and {hub.offline()}.")
    folder = _folder(settings.cache_home(), repository.name) / repository.commit
    folder.mkdir(parents=True, exist_ok=True)
    try:
        hub.fetch(repository.name, repository.commit, name, folder / name, limit)
    except hub.NoSuchFile:
        (folder / _absent(name)).touch()
        raise
    return folder / name


def _absent(name: str) -> str:
    """The name of an empty file that says that the commit has no such file."""
    return f".no-{name}"


def _file_or_nothing(repository: Repository, name: str, limit: int) -> Path | None:
    """A file without which a model answers as well."""
    try:
        return _file(repository, name, limit)
    except DownloadError:
        return None


def _forget(path: Path) -> None:
    """Removes what turned out to be no use, where that is ours."""
    with suppress(OSError):
        path.unlink()
    with suppress(OSError):
        path.parent.rmdir()


def license_of(card: Path | None) -> str | None:
    """The license that a model card states in the YAML between its first two lines of "---"."""
    if card is None:
        return None
    try:
        with card.open("rb") as file:
            text = file.read(MOST_FRONT_MATTER).decode("utf-8-sig", "replace").replace("\r\n", "\n")
    except OSError:
        return None
    start, _, rest = text.partition("\n")
    front, end, _ = rest.partition("\n---")
    if start.strip() != "---" or not end:
        return None
    found = LICENSE.search(front)
    return spdx(found[1]) if found else None


def spdx(license: str | None) -> str | None:
    """An SPDX identifier as SPDX writes it; others as they are, and None for what is none or no text."""
    if license is None or license.lower() in ("unknown", "other", ""):
        return None
    return SPDX.get(license.lower(), readable(license))
