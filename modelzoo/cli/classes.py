"""classes: what an id or a name means in every label set, and which models know it."""

from __future__ import annotations

import argparse
from typing import Any, TypedDict

from modelzoo import labels, registry
from modelzoo.cli.arguments import add_command
from modelzoo.cli.printing import fail, print_card, print_json, say

MOST_MODELS = 8  # that are named one by one
MOST = 20  # classes that are shown of those with a word in their names


class Found(TypedDict):
    """A class of a label set."""

    labels: str
    index: int
    id: str
    names: list[str]
    path: str
    models: list[str]


def add_commands(commands: Any) -> None:
    command = add_command(
        commands, "classes", _classes, "what a class is, in all label sets, and who knows it"
    )
    command.add_argument("name", help="an id, a name, or a part of names")


def _classes(options: argparse.Namespace) -> int:
    found, others = _found(options.name), 0
    if not found:
        found = _containing(options.name)
        others, found = max(len(found) - MOST, 0), found if options.json else found[:MOST]
    if options.json:
        print_json(found)
        return 0 if found else 1
    if not found:
        return fail(f"No label set has a class {options.name!r}, nor a name with that in it.")
    for one in found:
        print_card(f"{one['id']} {one['names'][0]}", _facts(one))
    if others:
        say(f"and {others} more; --json gives all")
    return 0


def _facts(found: Found) -> list[tuple[str, str]]:
    facts = [("output", f"{found['index']} of {found['labels']}")]
    if found["names"][1:]:
        facts.append(("also", ", ".join(found["names"][1:])))
    if found["path"]:
        facts.append(("path", found["path"]))
    return [*facts, ("models", _models(found))]


def _models(found: Found) -> str:
    """Their names, or of many how to see them."""
    if len(found["models"]) > MOST_MODELS:
        return f"{len(found['models'])}; `modelzoo list --labels {found['labels']}` shows them"
    return ", ".join(found["models"]) or "none"


def _found(text: str) -> list[Found]:
    """The classes that an id or a name means, set by set."""
    found = [(name, index) for name in labels.names() for index in labels.find_all(labels.read(name), text)]
    return [_of_set(name, index) for name, index in found]


def _containing(text: str) -> list[Found]:
    """The classes with the text in their names."""
    return [
        _of_set(name, index)
        for name in labels.names()
        for index, label in enumerate(labels.read(name))
        if text.lower() in label.name.lower()
    ]


def _of_set(name: str, index: int) -> Found:
    label = labels.read(name)[index]
    models = registry.list_models(labels=name)
    return Found(
        labels=name,
        index=index,
        id=label.id,
        names=labels.synonyms(label),
        path=labels.path(label.id),
        models=models,
    )
