"""cache: what it holds, where it is, and how to empty it."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from modelzoo import registry, settings
from modelzoo.cli.arguments import Run, add_command, add_model
from modelzoo.cli.printing import fail, print_json, print_table
from modelzoo.store import cache
from modelzoo.store.cache import CachedFile


def add_commands(commands: Any) -> None:
    command = add_command(commands, "cache", _cache, "what the cache holds, where it is, and how to empty it")
    command.add_argument("action", nargs="?", choices=tuple(ACTIONS), default="list")
    add_model(command, "names", nargs="*", help="for list, verify and remove: the models")
    command.add_argument("--older-than", type=float, metavar="DAYS", help="for prune: also models not used")


def _cache(options: argparse.Namespace) -> int:
    return ACTIONS[options.action](options)


def _path(options: argparse.Namespace) -> int:
    roots = [str(root) for root in settings.cache_roots()]
    print_json(roots) if options.json else print("\n".join(roots))
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
    damaged = 0
    for cached in _cached(options.names):
        sound = cached.has_expected_sha256()
        damaged += not sound
        place = None if sound else cache.quarantine(cached)
        if options.json:
            moved = None if place is None else str(place)
            facts = {"model": cached.model, "path": str(cached.path), "sound": sound, "moved": moved}
            print_json(facts, indent=None)
        elif sound:
            print(f"{cached.model}: sound")
        else:
            moved = f"; it is now {place.name}" if place else ""
            print(f"{cached.model}: {cached.path} is damaged{moved}")
    return 1 if damaged else 0


def _remove(options: argparse.Namespace) -> int:
    if not options.names:
        return fail("Say which models to remove; `modelzoo cache list` shows what there is.")
    keys = {registry.info(name).key for name in options.names}
    for cached in [cached for cached in cache.everything() if cached.model in keys]:
        cache.remove(cached)
        _print_removed(options, cached.model)
    return 0


def _prune(options: argparse.Namespace) -> int:
    total = 0
    for path, size in cache.prune(options.older_than):
        total += size
        _print_removed(options, str(path), bytes=size)
    if not options.json:
        print(f"{total / 2**20:.1f} MiB freed")
    return 0


def _print_removed(options: argparse.Namespace, what: str, **facts: int) -> None:
    print_json({"removed": what, **facts}, indent=None) if options.json else print(f"removed {what}")


ACTIONS: dict[str, Run] = {
    "list": _list,
    "path": _path,
    "verify": _verify,
    "remove": _remove,
    "prune": _prune,
}
