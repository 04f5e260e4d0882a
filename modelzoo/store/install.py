"""add() and recognize(): a file that the user has becomes a model's pretrained weights."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Collection
from datetime import date
from pathlib import Path

from modelzoo import registry
from modelzoo.errors import ConversionError, quoted, readable
from modelzoo.registry import Entry, FolderEntry
from modelzoo.store import cache, user_files
from modelzoo.store.checks import check, check_owner
from modelzoo.store.convert import convert
from modelzoo.store.trust import BY_HAND, published


def add(name: str | os.PathLike[str], path: str | os.PathLike[str], *, average: bool | None = None) -> Path:
    """Installs a file that the user owns as the model's pretrained weights; returns its place in the cache.

    The file is a modelzoo weight file, or the upstream's own: a file, archive, folder or checkpoint prefix,
    which must have the published checksums and is converted; `average` asks for the moving averages of a
    checkpoint (True) or for its raw weights (False). A file without the top is kept as the weights without
    top. Raises WeightsMismatch or ConversionError, also for a head with another number of classes.
    """
    entry, path = registry.info(name), Path(path)
    user_files.require(path)
    from modelzoo import weights

    if isinstance(entry, FolderEntry):
        raise ConversionError(
            f"{readable(entry.folder)} brings its weights along: save the model again instead."
        )
    by_hand = f"{BY_HAND} {date.today().isoformat()}"
    with cache.temporary_directory() as folder:
        file = folder / "weights.h5"
        if weights.is_modelzoo_file(path):
            if average is not None:
                raise ConversionError(
                    f"{path} is a modelzoo weight file, which holds one copy of the weights: do not ask for "
                    "moving averages or raw weights."
                )
            top, trust = _check_own(entry, path), by_hand
            shutil.copyfile(path, file)
        else:
            provenance = convert(entry, path, file, official=True, include_top=False, average=average)
            top = weights.has_layers(file, _top(entry))
            trust = published(provenance["verified"]) or by_hand
        with cache.lock(entry.key, "adds"):
            return cache.keep(file, entry.key, top=top, source=str(path), trust=trust).path


def _check_own(entry: Entry, path: Path) -> bool:
    """Whether a modelzoo weight file of the entry has the top; raises WeightsMismatch if it does not fit."""
    from modelzoo import conversion, weights

    check_owner(entry, path)
    classes = weights.classes(path)
    if classes not in (None, entry.graph.classes):
        raise conversion.OtherClasses(entry, path, classes)
    top = weights.has_layers(path, _top(entry))
    check(entry, path, top=top)
    return top


def _top(entry: Entry) -> Collection[str]:
    from modelzoo import architectures

    return architectures.top_layers(entry.graph).layers


def recognize(path: str | os.PathLike[str]) -> str:
    """The key of the model whose weights a file has: by provenance, a published checksum, or its tensors.

    Of several models with these tensors it is the one whose source's file has the name of this one. Raises
    ConversionError if there is none, or more than one; UnknownModel if a weight file names it.
    """
    path = Path(path)
    user_files.require(path)
    from modelzoo import conversion, weights

    if weights.is_modelzoo_file(path):
        return _owner(path)
    entries = [registry.info(key) for key in registry.list_models()]
    found = conversion.by_checksum(path, entries) or conversion.by_tensors(path, entries)
    found = conversion.by_file_name(path, found)
    if len(found) == 1:
        return found[0].key
    if not found:
        raise ConversionError(conversion.unrecognized(path))
    keys = ", ".join(entry.key for entry in found)
    command = shlex.join(["modelzoo", "add", found[0].key, str(path)])
    raise ConversionError(f"{path} fits several models: {keys}; say which, for example: {command}")


def _owner(path: Path) -> str:
    """The key of the model that a modelzoo weight file says it is of."""
    from modelzoo import weights

    owner = weights.provenance(path).get("model")
    if not isinstance(owner, str):
        raise ConversionError(f"{path}: expected the name of a model in its provenance, got {quoted(owner)}.")
    return registry.info(owner).key
