"""Model folders on the disk: written whole or not at all, and checked by what their model.json states."""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelzoo import files, settings
from modelzoo.errors import (
    ModelZooError,
    OutputError,
    WeightsMismatch,
    WeightsUnavailable,
    abbreviated,
    quoted,
    readable,
)
from modelzoo.registry import FolderEntry, Metric
from modelzoo.registry.dataclass_json import build
from modelzoo.registry.folders import CARD, FOLDERS, HUB, MODEL, OWN, WEIGHTS, WHEELS, document_of, entry_of
from modelzoo.registry.parsing import KEY
from modelzoo.store.card import card
from modelzoo.store.checks import check

CONTENTS = {MODEL, WEIGHTS, CARD}


def check_weights(entry: FolderEntry) -> None:
    """Raises WeightsUnavailable unless the weight file is the one that the model.json states."""
    path = entry.weights_path
    try:
        sound = path.stat().st_size == entry.file.bytes and files.sha256(path) == entry.file.sha256
    except OSError as error:
        raise WeightsUnavailable(_unusable(path, f"cannot be read: {error.strerror or error}")) from error
    if not sound:
        raise WeightsUnavailable(_unusable(path, f"is not the file that {MODEL} states"))


def glance_at_weights(entry: FolderEntry) -> None:
    """The same, as far as the file's size tells."""
    path = entry.weights_path
    try:
        size = path.stat().st_size
    except OSError as error:
        raise WeightsUnavailable(_unusable(path, f"cannot be read: {error.strerror or error}")) from error
    if size != entry.file.bytes:
        raise WeightsUnavailable(_unusable(path, f"is not the file that {MODEL} states"))


def _unusable(path: Path, reason: str) -> str:
    return f"{readable(str(path))} {reason}. Copy the whole model folder again, or save the model again."


@contextmanager
def written(target: Path) -> Generator[Path]:
    """An empty folder that becomes the model folder `target` if the block ends well.

    A model folder that is there already is replaced by it as a whole. Raises OutputError where another
    folder or a file is, or one that holds more than a model.
    """
    target = Path(os.path.abspath(os.path.expanduser(target)))
    check_target(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    files.remove_abandoned(target.parent)
    with files.temporary_directory(target.parent) as work:
        new = work / "new"
        new.mkdir()
        yield new
        for path in new.iterdir():
            files.sync(path)
        files.sync_folder(new)
        _move(new, target, work / "old")


def _move(new: Path, target: Path, old: Path) -> None:
    check_target(target)  # it may have changed meanwhile
    there = target.exists()
    if there:
        os.rename(target, old)
    try:
        os.rename(new, target)
    except OSError:
        if there:
            os.rename(old, target)
        raise
    files.sync_folder(target.parent)


def check_target(target: str | os.PathLike[str]) -> None:
    """Raises OutputError unless nothing is there, an empty folder, or a model and nothing else."""
    target = Path(target)
    shown = readable(str(target))
    if target.is_symlink():
        raise OutputError(f"{shown} is a link: save to the folder itself.")
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputError(f"{shown} is a file: choose another name for the model folder.")
    there = sorted(path.name for path in target.iterdir())
    if there and MODEL not in there:
        raise OutputError(f"{shown} is not a model folder: it is left as it is. Choose another name.")
    if more := [name for name in there if name not in CONTENTS]:
        raise OutputError(
            f"{shown} holds more than a model, {abbreviated(list(map(readable, more)))}: it would be "
            "replaced as a whole. Move that, or choose another name."
        )


def write(target: Path, entry: FolderEntry, write_weights: Callable[[Path], None]) -> FolderEntry:
    """Writes a model folder; the entry's weight file is that which `write_weights` writes. Returns its entry.

    Raises OutputError as `written` does, and RegistryError for an entry that could not be read again.
    """
    with written(target) as folder:
        path = folder / WEIGHTS
        write_weights(path)
        stated = type(entry.file)(files.sha256(path), path.stat().st_size)
        write_facts(folder, replace(entry, file=stated))
        entry_of(folder)  # raises for what could not be read
    return entry_of(target)


def write_facts(folder: Path, entry: FolderEntry) -> None:
    """Writes the model.json and the card of an entry."""
    text = json.dumps(document_of(entry), indent=1, ensure_ascii=False) + "\n"
    (folder / MODEL).write_text(text, "utf-8")
    (folder / CARD).write_text(card(entry), "utf-8")


def install(parts: Mapping[str, Path], key: str) -> FolderEntry:
    """Installs a model folder in the cache, where its name finds it, in place of one of the same key.

    parts: its files by their names in the folder, wherever they are and whatever they are called there.
    Raises WeightsMismatch or WeightsUnavailable for parts that do not belong together, RegistryError.
    """
    check_key(key)
    target = settings.cache_home() / FOLDERS / key
    with written(target) as new:
        for role in CONTENTS & parts.keys():
            shutil.copyfile(parts[role], new / role)
        entry = entry_of(new)
        if entry.owner != key:
            raise WeightsMismatch(f"its {MODEL} is of {readable(entry.owner)}")
        check_weights(entry)
        check(entry, entry.weights_path)
    return entry_of(target)


def check_key(key: str) -> None:
    """Raises WeightsMismatch for what is no key of a model folder: it is to be the name of one."""
    if not (KEY.fullmatch(key) and key.endswith(f".{OWN}")):
        raise WeightsMismatch(
            f"Expected the key of a model folder, such as clothes.{OWN}, got {quoted(key)}."
        )


def remove_installed(entry: FolderEntry) -> bool:
    """Removes a model folder that unbundle() or a hub's name put into the cache, and what was compiled of it.

    Returns whether it is one: others are not the cache's.
    """
    folder = Path(entry.folder)
    for home in settings.cache_roots()[:1]:
        root = Path(os.path.abspath(home))
        if folder.parent in (root / FOLDERS, root / WHEELS) or folder.parent.parent == root / HUB:
            shutil.rmtree(folder)
            for path in (home / "compiled").glob(f"{glob.escape(entry.owner)}-*"):
                path.unlink(missing_ok=True)
            return True
    return False


def metric_of(given: Metric | Mapping[str, Any]) -> Metric:
    """A metric from a dict of its fields, or itself. Raises RegistryError."""
    return given if isinstance(given, Metric) else build(Metric, dict(given), "metrics")


def add_metrics(folder: str | os.PathLike[str], metrics: Iterable[Metric | Mapping[str, Any]]) -> FolderEntry:
    """Adds metrics to a model folder, in place of those of the same name and dataset; returns its entry.

    metrics: registry.Metric, or dicts of its fields, as modelzoo.Evaluation.metrics() gives them. The weights
    stay as they are. Raises as registry.info does, and OutputError where nothing can be written.
    """
    entry, added = entry_of(folder), tuple(map(metric_of, metrics))
    new = {(metric.name, metric.dataset) for metric in added}
    kept = [metric for metric in entry.metrics if (metric.name, metric.dataset) not in new]
    found = replace(entry, metrics=(*kept, *added))

    def copy(path: Path) -> None:
        shutil.copyfile(entry.weights_path, path)

    try:
        return write(Path(entry.folder), found, copy)
    except OSError as error:
        if isinstance(error, ModelZooError):
            raise
        shown = readable(entry.folder)
        raise OutputError(f"{shown} cannot be written to: {error.strerror or error}.") from error
