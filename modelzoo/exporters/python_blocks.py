"""Blocks that are alike -> one function. What some of them lack is an option of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from modelzoo.exporters.python_definitions import Definition, Instance, define
from modelzoo.exporters.python_functions import FEWEST_CALLS, HOLE
from modelzoo.exporters.python_layers import Call, is_plain
from modelzoo.exporters.python_order import Section


@dataclass(frozen=True)
class Fit:
    """A block beside a fuller one: its calls in their places, and what takes the place of those it lacks."""

    calls: tuple[Call | None, ...]
    skipped: dict[str, str]


@dataclass(frozen=True)
class BlockFunction:
    """A function, and what replaces the outputs of its optional calls where they are not made."""

    definition: Definition
    skipped: dict[str, str]


def block_functions(
    sections: Sequence[Section], taken: frozenset[str]
) -> tuple[list[BlockFunction], dict[int, Call]]:
    """The functions, and the calls of them by the number of the section that each stands for."""
    groups: dict[str, list[int]] = {}
    for number, section in enumerate(sections):
        if _is_block(section):
            groups.setdefault(_stem(section.title), []).append(number)
    functions: list[BlockFunction] = []
    calls: dict[int, Call] = {}
    names = set(taken)
    for stem, numbers in groups.items():
        rest = numbers
        while rest:
            full = max(rest, key=lambda number: len(sections[number].calls))
            chosen, rest = _alike(sections, full, rest)
            if len(chosen) > 1:
                name = _free(stem, names)
                names.add(name)
                function, found = _function(name, sections, chosen, full)
                functions.append(function)
                calls |= dict(zip(chosen, found, strict=True))
    return functions, calls


def with_suffixes(section: Section) -> Section:
    """The section, each call of which knows what its name adds to that of the block."""
    calls = [
        replace(call, suffix=(call.name or "")[len(section.title) :])
        if (call.name or "").startswith(section.title)
        else call
        for call in section.calls
    ]
    return replace(section, calls=tuple(calls))


def _is_block(section: Section) -> bool:
    names = [call.name for call in section.calls if call.name is not None]
    return (
        len(section.outputs) == 1
        and section.outputs[0] == section.calls[-1].output
        and len(section.calls) >= FEWEST_CALLS
        and bool(section.title)
        and all(name.startswith(section.title) for name in names)
        and all(is_plain(name.replace(HOLE, "")) for name in names)
        and not any(call.shared for call in section.calls)
    )


def _stem(title: str) -> str:
    """The words of a block's name, without what is counted."""
    return "_".join(re.findall(r"[a-z]{2,}", title.lower())) or "block"


def _free(name: str, names: set[str]) -> str:
    number, found = 2, name
    while found in names:
        found, number = f"{name}{number}", number + 1
    return found


def _alike(
    sections: Sequence[Section], full: int, numbers: Sequence[int]
) -> tuple[dict[int, Fit], list[int]]:
    """Those that the fullest one's function can stand for, and the others."""
    fits: dict[int, Fit] = {}
    skipped: dict[str, str] = {}
    rest = []
    for number in numbers:
        fit = fitted(sections[full], sections[number])
        agrees = fit is not None and all(
            skipped.get(value, other) == other for value, other in fit.skipped.items()
        )
        if fit is None or not agrees:
            rest.append(number)
            continue
        skipped |= fit.skipped
        fits[number] = fit
    return fits, rest


def fitted(full: Section, other: Section) -> Fit | None:
    """The other block's calls in the places of the full one's; None if they are not the same calls.

    A call that is lacking takes one value beside those of the block, and that one then stands for its output.
    """
    if len(full.inputs) != len(other.inputs):
        return None
    stands = dict(zip(full.inputs, other.inputs, strict=True))  # the other's value for each of the full one's
    calls: list[Call | None] = []
    skipped: dict[str, str] = {}
    waiting = list(other.calls)
    for call in full.calls:
        inputs = tuple(stands[value] for value in call.inputs)
        if waiting and _key(waiting[0]) == _key(call) and waiting[0].inputs == inputs:
            stands[call.output] = waiting[0].output
            calls.append(waiting.pop(0))
            continue
        passing = [value for value in call.inputs if value not in full.inputs] or list(call.inputs)
        if len(passing) > 1:
            return None
        stands[call.output] = stands[passing[0]]
        skipped[call.output] = passing[0]
        calls.append(None)
    if waiting or stands[full.outputs[0]] != other.outputs[0]:
        return None
    return Fit(tuple(calls), skipped)


def _key(call: Call) -> tuple[str, str]:
    return call.kind, call.suffix


def _function(
    name: str, sections: Sequence[Section], chosen: dict[int, Fit], full: int
) -> tuple[BlockFunction, list[Call]]:
    instances = [
        Instance(fit.calls, sections[number].title, sections[number].inputs, sections[number].outputs[0])
        for number, fit in chosen.items()
    ]
    order = list(chosen)
    place = order.index(full)
    instances.insert(0, instances.pop(place))  # the fullest one is the model of all
    definition, calls = define(name, instances, lambda call: f'f"{{name}}{call.suffix}"')
    calls.insert(place, calls.pop(0))
    skipped: dict[str, str] = {}
    for fit in chosen.values():
        skipped |= fit.skipped
    return BlockFunction(definition, skipped), calls
