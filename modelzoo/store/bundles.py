"""bundle() and unbundle(): models' weights as one tar for a place without a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelzoo import registry
from modelzoo.errors import (
    ConversionError,
    DownloadError,
    RegistryError,
    WeightsMismatch,
    WeightsUnavailable,
    readable,
)
from modelzoo.files import sha256
from modelzoo.registry import FolderEntry, HubEntry
from modelzoo.registry.folders import WEIGHTS
from modelzoo.store import folders, mirror, sources
from modelzoo.store.locate import weights_file


def bundle(names: Sequence[str], target: Path) -> None:
    """Packs the models' weight files as a tar that unbundle() takes and that, unpacked, is a mirror."""
    from modelzoo import weights

    models: dict[str, dict[str, Any]] = {}
    files: dict[str, Path] = {}
    for entry in sorted(map(registry.info, names), key=lambda entry: entry.owner):
        if isinstance(entry, HubEntry):
            raise ConversionError(
                f"{entry.reference} cannot be in a bundle, where only the registry's names and model folders "
                "have a meaning: save it with modelzoo.save, and bundle that folder."
            )
        path = weights_file(entry.reference)
        provenance = weights.provenance(path)
        if isinstance(entry, FolderEntry):
            models[entry.owner], others = mirror.folder_entry(path, provenance)
            files |= others
        else:
            models[entry.owner] = mirror.entry(path, provenance)
        files[models[entry.owner]["file"]] = path
    mirror.pack(target, {mirror.INDEX: mirror.index_text(models).encode(), **files})


def unbundle(path: Path) -> list[str]:
    """Installs the models of a bundle in the cache; returns their keys.

    Raises ConversionError for what is not a bundle, or holds a wrong file; UnknownModel.
    """
    from modelzoo.formats import archives

    with archives.unpacked(path) as folder:
        if not (folder / mirror.INDEX).is_file():
            raise ConversionError(f"{path} is not a bundle: `modelzoo bundle NAMES -o FILE` writes one.")
        try:
            files = mirror.index(str(folder))
        except DownloadError as error:
            raise ConversionError(f"{path}: {error}") from error
        entries = [registry.info(model) for (model, top), file in files.items() if top and not file.folder]
        keys = [entry.key for entry in entries]
        for entry in entries:
            try:
                sources.from_mirror(entry, str(folder), True, called=str(path))
            except (DownloadError, WeightsMismatch) as error:
                raise ConversionError(f"{path}: {entry.key}: {error}") from error
        for file in files.values():
            if file.folder:
                try:
                    keys.append(_install(file, folder))
                except (RegistryError, WeightsMismatch, WeightsUnavailable, OSError) as error:
                    raise ConversionError(f"{path}: {readable(file.model)}: {error}") from error
    return keys


def _install(file: mirror.IndexedFile, source: Path) -> str:
    """Installs a model folder in the cache, in place of one of the same key, which is returned."""
    folders.check_key(file.model)  # the names of its files begin with it
    parts = {WEIGHTS: (file.name, file.sha256)}
    parts |= {each.role: (each.name, each.sha256) for each in file.folder}
    for role, (name, digest) in parts.items():
        if (source / name).is_symlink() or sha256(source / name) != digest:
            raise WeightsMismatch(f"{role} is not the file that the index states")
    return folders.install({role: source / name for role, (name, _) in parts.items()}, file.model).key
