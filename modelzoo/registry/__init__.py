"""The list of models: registry.json read into frozen dataclasses, and the questions that it answers.

Only the standard library is imported, so that listing models costs milliseconds.
"""

from modelzoo.registry.entries import (
    UNKNOWN,
    Architecture,
    Checksum,
    Entry,
    HostedFile,
    Interpolation,
    Label,
    Licenses,
    Metric,
    OwnEntry,
    Package,
    Preprocessing,
    Registry,
    Source,
)
from modelzoo.registry.folders import FetchedFolderEntry, FolderEntry, StoredArchitecture
from modelzoo.registry.hub_entries import HubEntry, HubFolderEntry, Repository
from modelzoo.registry.parsing import parse
from modelzoo.registry.queries import SORTS, current, info, list_models, packaged

__all__ = [
    "SORTS",
    "UNKNOWN",
    "Architecture",
    "Checksum",
    "Entry",
    "FetchedFolderEntry",
    "FolderEntry",
    "HostedFile",
    "HubEntry",
    "HubFolderEntry",
    "Interpolation",
    "Label",
    "Licenses",
    "Metric",
    "OwnEntry",
    "Package",
    "Preprocessing",
    "Registry",
    "Repository",
    "Source",
    "StoredArchitecture",
    "current",
    "info",
    "list_models",
    "packaged",
    "parse",
]
