"""Entries of repositories of a model hub: what registry.hub reads, as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field

from modelzoo.registry.entries import Entry, Label, OwnEntry
from modelzoo.registry.folders import FetchedFolderEntry

SCHEME = "hf://"  # begins the name of a model on a hub


@dataclass(frozen=True)
class Repository:
    """A repository at a commit."""

    name: str  # owner/name
    commit: str

    @property
    def reference(self) -> str:
        return f"{SCHEME}{self.name}@{self.commit}"


@dataclass(frozen=True, kw_only=True, repr=False)
class HubEntry(OwnEntry):
    """An entry of timm's files in a repository."""

    hub: Repository
    network: str  # the key of the packaged model whose network it is
    table: tuple[Label, ...] = field(default=(), repr=False)  # empty where `labels` names a set

    __repr__ = Entry.__repr__

    @property
    def reference(self) -> str:
        return self.hub.reference


@dataclass(frozen=True, kw_only=True, repr=False)
class HubFolderEntry(FetchedFolderEntry):
    """An entry of a model folder in a repository."""

    hub: Repository

    __repr__ = Entry.__repr__
