"""The calls of a network in the order in which a person writes them: block by block, branch by branch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from modelzoo.exporters.python_layers import Call, calls_of
from modelzoo.graph import Graph
from modelzoo.graph.blocks import blocks


@dataclass(frozen=True)
class Section:
    """A block of the network. inputs: the values that it takes; outputs: those that are used after it."""

    title: str
    calls: tuple[Call, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def sections(graph: Graph) -> list[Section]:
    """All calls, by the blocks of the network; all in one where blocks need one another."""
    calls = calls_of(graph)
    found = [(block.title, [node.name for node in block.nodes]) for block in blocks(graph)]
    place = {name: number for number, (_, names) in enumerate(found) for name in names}
    for node in graph.nodes:
        if any(place[name] > place[node.name] for name in node.inputs if name in place):
            found = [("", [node.name for node in graph.nodes])]
            break
    used_by = _users(graph)
    return [_section(title, names, calls, used_by) for title, names in found]


def _users(graph: Graph) -> dict[str, set[str]]:
    """Who takes each value; the network itself, called "", takes its outputs."""
    found: dict[str, set[str]] = {value: {""} for value in graph.outputs.values()}
    for node in graph.nodes:
        for name in node.inputs:
            found.setdefault(name, set()).add(node.name)
    return found


def _section(
    title: str, names: list[str], calls: Mapping[str, list[Call]], used_by: Mapping[str, set[str]]
) -> Section:
    inside = set(names)
    outputs = tuple(name for name in names if used_by.get(name, set()) - inside)
    ordered = _by_branches([call for name in names for call in calls[name]], outputs)
    made = {call.output for call in ordered}
    inputs = dict.fromkeys(value for call in ordered for value in call.inputs if value not in made)
    return Section(title, tuple(ordered), tuple(inputs), outputs)


def _by_branches(calls: Sequence[Call], outputs: Iterable[str]) -> list[Call]:
    """Each call after those that it needs, those of its first input before those of its second."""
    by_output = {call.output: call for call in calls}
    ordered: dict[str, Call] = {}
    waiting = [name for name in reversed(list(outputs)) if name in by_output]
    while waiting:
        call = by_output[waiting[-1]]
        missing = [name for name in call.inputs if name in by_output and name not in ordered]
        if missing:
            waiting += reversed(missing)
            continue
        ordered.setdefault(waiting.pop(), call)
    return list(ordered.values())
