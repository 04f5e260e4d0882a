"""bundle() and unbundle(): models' weights as one tar for a place without a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modelzoo import registry
from modelzoo.errors import ConversionError, DownloadError, WeightsMismatch
from modelzoo.store import mirror, sources
from modelzoo.store.locate import weights_file


def bundle(names: Sequence[str], target: Path) -> None:
    """Packs the models' weight files as a tar that unbundle() takes and that, unpacked, is a mirror."""
    from modelzoo import weights

    paths = {registry.info(name).key: weights_file(name) for name in names}
    models = {key: mirror.entry(path, weights.provenance(path)) for key, path in paths.items()}
    files = {models[key]["file"]: path for key, path in sorted(paths.items())}
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
        entries = [registry.info(model) for model, top in files if top]
        for entry in entries:
            try:
                sources.from_mirror(entry, str(folder), True, called=str(path))
            except (DownloadError, WeightsMismatch) as error:
                raise ConversionError(f"{path}: {entry.key}: {error}") from error
    return [entry.key for entry in entries]
