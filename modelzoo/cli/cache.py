"""cache: what it holds, where it is, and how to empty it."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from modelzoo import registry, settings
from modelzoo.cli.arguments import Run, add_command, add_model
from modelzoo.cli.printing import fail, print_json, print_table, say
from modelzoo.registry import FolderEntry
from modelzoo.store import cache, integrity
from modelzoo.store.cache import CachedFile
from modelzoo.store.folders import remove_installed
from modelzoo.store.prune import prune


def add_commands(commands: Any) -> None:
    command = add_command(commands, "cache", _cache, "what the cache holds, where it is, and how to empty it")
    command.add_argument("action", nargs="?", choices=tuple(ACTIONS), default="list")
    add_model(command, "names", nargs="*", help="for list, verify and remove: the models")
    command.add_argument("--older-than", type=float, metavar="DAYS", help="for prune: also models not used")


def _cache(options: argparse.Namespace) -> int:
    return ACTIONS[options.action](options)


def _path(options: argparse.Namespace) -> int:
    roots = [str(root) for root in settings.cache_roots()]
    if options.json:
        print_json(roots)
    else:
        for root in roots:
            say(root)
    return 0


def _cached(names: Sequence[str]) -> list[CachedFile]:
    """The files that the cache holds of the models named, or of all."""
    keys = {registry.info(name).key for name in names}
    return [c for c in cache.everything() if (c.model in keys or not names) and c.path.is_file()]


def _list(options: argparse.Namespace) -> int:
    facts: list[dict[str, Any]] = [
        {
            "model": cached.model,
            "top": cached.top,
            "path": str(cached.path),
            "last_use": datetime.fromtimestamp(cached.last_use).isoformat(" ", "seconds"),
            **dataclasses.asdict(cached.pointer),
        }
        for cached in _cached(options.names)
    ]
    if options.json:
        print_json(facts)
        return 0
    rows = [
        (f["model"], f"{f['bytes'] / 2**20:.1f} MiB", f["last_use"], f["trust"], f["path"]) for f in facts
    ]
    print_table(("model", "size", "last use", "trust", "path"), rows, right={1}, optional=(3, 2), wrap=True)
    return 0


def _verify(options: argparse.Namespace) -> int:
    """Reads everything: weight files and the networks that were compiled of them, against their sha256."""
    found = [_verified(cached) for cached in _cached(options.names)]
    found += [_verified_network(path) for path in _networks(options.names)]
    for facts in found:
        print_json(facts, indent=None) if options.json else say(_sentence(facts))
    return 0 if all(facts["sound"] for facts in found) else 1


def _verified(cached: CachedFile) -> dict[str, Any]:
    """A damaged weight file is moved away: the next use obtains the weights again."""
    facts = _checked(cached.model, cached.path, lambda: integrity.condition(cached, thorough=True) == "sound")
    place = integrity.move_if_damaged(cached) if facts["sound"] is False else None
    return {"kind": "weights", **facts, "moved": None if place is None else str(place)}


def _networks(names: Sequence[str]) -> list[Path]:
    """The compiled networks that the cache holds of the models named, or of all."""
    from modelzoo.runtimes import compiled  # brings NumPy

    keys = {registry.info(name).owner for name in names}
    return [path for path in compiled.everything() if compiled.model_of(path) in keys or not names]


def _verified_network(path: Path) -> dict[str, Any]:
    """A damaged network is removed: the next start compiles it again."""
    from modelzoo.runtimes import compiled

    facts = _checked(compiled.model_of(path), path, lambda: compiled.is_sound(path))
    if facts["sound"] is False:
        with suppress(OSError):
            path.unlink()
    return {"kind": "compiled network", **facts, "moved": None}


def _checked(model: str, path: Path, is_sound: Callable[[], bool]) -> dict[str, Any]:
    """`sound` is None for what cannot be read just now, and `reason` says why."""
    sound, reason = None, None
    try:
        sound = is_sound()
    except OSError as error:
        reason = error.strerror or str(error)
    return {"model": model, "path": str(path), "sound": sound, "reason": reason}


def _sentence(facts: dict[str, Any]) -> str:
    network = facts["kind"] == "compiled network"
    if facts["sound"]:
        return f"{facts['model']}: sound{' (compiled network)' if network else ''}"
    if facts["sound"] is None:
        return f"{facts['model']}: {facts['path']} cannot be read just now ({facts['reason']})"
    moved = f"; it is now {Path(facts['moved']).name}" if facts["moved"] else ""
    return f"{facts['model']}: {facts['path']} is damaged{'; it is removed' if network else moved}"


def _remove(options: argparse.Namespace) -> int:
    if not options.names:
        return fail("Say which models to remove; `modelzoo cache list` shows what there is.")
    entries = [registry.info(name) for name in options.names]
    keys = {entry.key for entry in entries}
    for entry in entries:
        if isinstance(entry, FolderEntry) and remove_installed(entry):
            _print_removed(options, entry.key)
    for cached in [cached for cached in cache.everything() if cached.model in keys]:
        cache.remove(cached)
        _print_removed(options, cached.model)
    return 0


def _prune(options: argparse.Namespace) -> int:
    total = 0
    for path, size in prune(options.older_than):
        total += size
        _print_removed(options, str(path), bytes=size)
    if not options.json:
        say(f"{total / 2**20:.1f} MiB freed")
    return 0


def _print_removed(options: argparse.Namespace, what: str, **facts: int) -> None:
    print_json({"removed": what, **facts}, indent=None) if options.json else say(f"removed {what}")


ACTIONS: dict[str, Run] = {
    "list": _list,
    "path": _path,
    "verify": _verify,
    "remove": _remove,
    "prune": _prune,
}
