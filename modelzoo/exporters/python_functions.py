"""What a network repeats, as functions: short chains of layers first, then blocks; and loops over calls.

A chain is a convolution with the norm and the activation after it. The layers of a chain have names that
differ in one place ("stage1_conv2", "stage1_bn2"), and those of a block names that begin alike.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelzoo.exporters.python_layers import LAYERS, Call, is_plain

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D")
ACTIVATIONS = ("Activation", "ReLU", "LeakyReLU", "ELU")
FEWEST_CHAINS = 3  # that are worth a function
FEWEST_CALLS = 3  # of a block that is worth one
DIGITS = "0123456789"
HOLE = "*"  # in the names of a chain's layers: what tells them apart


@dataclass(frozen=True)
class Chain:
    """Calls of which each takes the value before it, and nobody else does.

    hole: where the names of its layers differ, "stage1_*2"; words: what each has there.
    """

    calls: tuple[Call, ...]
    hole: str
    words: tuple[str, ...]

    @property
    def key(self) -> tuple[object, ...]:
        """What chains that are calls of one function have in common."""
        return tuple((call.kind, word) for call, word in zip(self.calls, self.words, strict=True))

    @property
    def title(self) -> str:
        """The function's name."""
        short = {"Conv2D": "conv", "DepthwiseConv2D": "depthwise_conv", "SeparableConv2D": "separable_conv"}
        parts = [call.kind.removeprefix(LAYERS) for call in self.calls]
        return "_".join(
            short.get(part, "bn" if part == "BatchNormalization" else _activation(call))
            for part, call in zip(parts, self.calls, strict=True)
        )


def _activation(call: Call) -> str:
    function = call.arguments.get("activation")
    return str(
        function or {"LeakyReLU": "leaky_relu"}.get(kind := call.kind.removeprefix(LAYERS), kind.lower())
    )


def chains(calls: Sequence[Call], uses: dict[str, int]) -> list[Call | Chain]:
    """The calls, those that follow one another as a convolution, a norm and an activation do as chains."""
    found: list[Call | Chain] = []
    place = 0
    while place < len(calls):
        chain = _chain(calls[place : place + 3], uses)
        found.append(chain or calls[place])
        place += len(chain.calls) if chain else 1
    return found


def _chain(calls: Sequence[Call], uses: dict[str, int]) -> Chain | None:
    kinds = [call.kind.removeprefix(LAYERS) for call in calls]
    if len(calls) < 2 or kinds[0] not in CONVOLUTIONS or kinds[1] != "BatchNormalization":
        return None
    length = 3 if len(calls) > 2 and kinds[2] in ACTIVATIONS else 2
    while length > 1 and not _linear(calls[:length], uses):
        length -= 1
    if length == 1:
        return None
    hole, words = _hole([call.name or "" for call in calls[:length]])
    return Chain(tuple(calls[:length]), hole, words)


def _linear(calls: Sequence[Call], uses: dict[str, int]) -> bool:
    return not any(call.shared or not is_plain(call.name) for call in calls) and all(
        after.inputs == (before.output,) and uses[before.output] == 1
        for before, after in itertools.pairwise(calls)
    )


def _hole(names: list[str]) -> tuple[str, tuple[str, ...]]:
    """Where names differ, and what each has there; words and numbers stay whole.

    >>> _hole(["stage2_conv10", "stage2_bn10"])
    ('stage2_*10', ('conv', 'bn'))
    >>> _hole(["conv_dw_1", "conv_dw_1_bn", "conv_dw_1_relu"])
    ('conv_dw_1*', ('', '_bn', '_relu'))
    """
    parts = [re.findall(r"[a-z]+|\d+|_|.", name, re.IGNORECASE) for name in names]
    before = _common(parts)
    rest = [part[len(before) :] for part in parts]
    after = _common([part[::-1] for part in rest])[::-1]
    words = ("".join(part[: len(part) - len(after)]) for part in rest)
    return "".join(before) + HOLE + "".join(after), tuple(words)


@dataclass(frozen=True)
class Loop:
    """Calls that differ in one place of their names: the beginning, the places, the end."""

    calls: tuple[Call, ...]
    before: str
    places: tuple[str, ...]
    after: str


def loops(calls: Sequence[Call], repeats: frozenset[str]) -> list[Call | Loop]:
    """The calls, with those of one function in a row, each on the value before it, as loops.

    repeats: the kinds that may be in a loop.
    """
    found: list[Call | Loop] = []
    place = 0
    while place < len(calls):
        length = 1
        while place + length < len(calls) and _follows(calls[place + length - 1], calls[place + length]):
            length += 1
        loop = None
        while length > 1 and loop is None and calls[place].kind in repeats:
            loop = _loop(calls[place : place + length])
            length -= loop is None
        found.append(loop or calls[place])
        place += length if loop else 1
    return found


def _follows(before: Call, call: Call) -> bool:
    return (
        (call.kind, call.arguments) == (before.kind, before.arguments)
        and call.inputs[0] == before.output
        and call.inputs[1:] == before.inputs[1:]
    )


def _loop(calls: Sequence[Call]) -> Loop | None:
    """A loop over all of these, if their names count up, in numbers or letters."""
    names = [call.name or "" for call in calls]
    if not all(map(_can_hold, names)):
        return None
    before = _common(names)
    after = _common([name[len(before) :][::-1] for name in names])[::-1]
    for before_, after_ in ((before.rstrip(DIGITS), after.lstrip(DIGITS)), (before, after)):
        places = tuple(name[len(before_) : len(name) - len(after_)] for name in names)
        if _counting(places):
            return Loop(tuple(calls), before_, places, after_)
    return None


def _can_hold(name: str) -> bool:
    return is_plain(name.replace(HOLE, ""))


def _counting(places: Sequence[str]) -> bool:
    if all(re.fullmatch("0|[1-9][0-9]*", place) for place in places):
        counted = [int(place) for place in places]
    elif all(re.fullmatch("[a-z]", place) for place in places):
        counted = [ord(place) for place in places]
    else:
        return False
    return counted == list(range(counted[0], counted[0] + len(counted)))


def _common(parts: Sequence[Sequence[str]]) -> Any:
    """What all begin with, texts or lists."""
    shortest = min(parts, key=len)
    for place, part in enumerate(shortest):
        if any(other[place] != part for other in parts):
            return shortest[:place]
    return shortest
