"""add() and recognize(): a file that the user has becomes a model's pretrained weights."""

from __future__ import annotations

import os
import shutil
from datetime import date
from pathlib import Path

from modelzoo import registry
from modelzoo.errors import ConversionError, quoted
from modelzoo.store import cache
from modelzoo.store.checks import check
from modelzoo.store.convert import convert
from modelzoo.store.trust import BY_HAND, published


def add(name: str, path: str | os.PathLike[str], *, average: bool | None = None) -> Path:
    """Installs a file that the user owns as the model's pretrained weights; returns its place in the cache.

    The file is a modelzoo weight file, or the upstream's own: a file, archive, folder or checkpoint prefix,
    which must have the published checksums and is converted; `average` asks for the moving averages of a
    checkpoint (True) or for its raw weights (False). Raises WeightsMismatch or ConversionError.
    """
    from modelzoo import weights

    entry, path = registry.info(name), Path(path)
    by_hand = f"{BY_HAND} {date.today().isoformat()}"
    with cache.temporary_directory() as folder:
        file = folder / "weights.h5"
        if weights.is_modelzoo_file(path):
            if average is not None:
                raise ConversionError(
                    f"{path} is a modelzoo weight file, which holds one copy of the weights: do not ask for "
                    "moving averages or raw weights."
                )
            check(entry, path)
            shutil.copyfile(path, file)
            trust = by_hand
        else:
            provenance = convert(entry, path, file, official=True, average=average)
            trust = published(provenance["verified"]) or by_hand
        with cache.lock(entry.key, "adds"):
            return cache.keep(file, entry.key, source=str(path), trust=trust).path


def recognize(path: str | os.PathLike[str]) -> str:
    """The key of the model whose weights a file has: by provenance, a published checksum, or its tensors.

    Raises ConversionError if there is none, or more than one; UnknownModel if a weight file names it.
    """
    from modelzoo import conversion, weights

    path = Path(path)
    if weights.is_modelzoo_file(path):
        return _owner(path)
    entries = [registry.info(key) for key in registry.list_models()]
    found = conversion.by_checksum(path, entries) or conversion.by_tensors(path, entries)
    if len(found) == 1:
        return found[0].key
    if not found:
        raise ConversionError(
            f"{path} holds the weights of no known model; `modelzoo convert NAME FILE` says why not."
        )
    keys = ", ".join(entry.key for entry in found)
    raise ConversionError(f"{path} fits several models: {keys}; say which: modelzoo add NAME {path}")


def _owner(path: Path) -> str:
    """The key of the model that a modelzoo weight file says it is of."""
    from modelzoo import weights

    owner = weights.provenance(path).get("model")
    if not isinstance(owner, str):
        raise ConversionError(f"{path}: expected the name of a model in its provenance, got {quoted(owner)}.")
    return registry.info(owner).key
