"""The variables of a function: `x` is what flows, other names are what waits to be joined with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from modelzoo.exporters.python_definitions import Step
from modelzoo.exporters.python_layers import LAYERS, Call

FLOWING = "x"
BESIDE = "y"  # what flows beside it
SHORTCUT = "shortcut"  # of a sum
GATE = "gate"  # of a product
BRANCH = "branch"  # of whatever else


class Variables:
    """The variable of each value. before: the assignments that stand before a step, by its number.

    skipped: for the outputs of optional steps, the value that takes their place where they are not made.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        inputs: Mapping[str, str],
        outputs: Iterable[str],
        skipped: Mapping[str, str] | None = None,
    ):
        self.steps, self.skipped = steps, dict(skipped or {})
        self.names = dict(inputs)
        self._kept = set(inputs.values()) - {FLOWING}  # which nothing takes the place of
        self.before: dict[int, str] = {}
        self._last = {value: place for place, step in enumerate(steps) for value in step.call.inputs}
        self._last |= dict.fromkeys(outputs, len(steps))
        for value, replaced in self.skipped.items():  # which lives as long as what it may be
            self._last[replaced] = max(self._last.get(replaced, 0), self._place(value))
        self._takers: dict[str, list[Call]] = {}
        for step in steps:
            for value in step.call.inputs:
                self._takers.setdefault(value, []).append(step.call)
        for place, step in enumerate(steps):
            self._assign(place, step)

    def of(self, value: str, place: int) -> str:
        """The variable that holds a value where it is read at a step."""
        flag = self.steps[place].flag
        if flag is not None:
            run = self._run(place)
            last = self.steps[run[-1]].call.output
            if value == self._replaced(run):
                return self.names[last]
        return self.names[value]

    def _replaced(self, run: range) -> str:
        """What takes the place of a run's output where it is not made."""
        inside = {self.steps[place].call.output for place in run}
        value = self.steps[run[-1]].call.output
        while value in inside:
            value = self.skipped[value]
        return value

    def _place(self, value: str) -> int:
        return next(place for place, step in enumerate(self.steps) if step.call.output == value)

    def _run(self, place: int) -> range:
        """The optional steps around this one."""
        first = last = place
        flag = self.steps[place].flag
        while first and self.steps[first - 1].flag == flag:
            first -= 1
        while last + 1 < len(self.steps) and self.steps[last + 1].flag == flag:
            last += 1
        return range(first, last + 1)

    def _assign(self, place: int, step: Step) -> None:
        if step.flag is None:
            self.names[step.call.output] = self._chosen(place, step.call, step.call.output)
            return
        run = self._run(place)
        last = self.steps[run[-1]].call.output
        if place == run[0]:
            replaced = self._replaced(run)
            lives = any(replaced in self.steps[n].call.inputs for n in range(run[-1] + 1, len(self.steps)))
            inside = any(replaced in self.steps[n].call.inputs for n in run[1:])
            if lives or inside or self.names[replaced] in self._kept:
                self.names[last] = self._fresh(run[-1], last)
                self.before[place] = f"{self.names[last]} = {self.names[replaced]}"
            else:
                self.names[last] = self.names[replaced]
        self.names[step.call.output] = self.names[last]

    def _chosen(self, place: int, call: Call, value: str) -> str:
        """That of an input which nobody needs any more, or else one of its own."""
        role = self._role(value)
        dying = [
            self.names[name]
            for name in call.inputs
            if self._last[name] <= place and self.names[name] not in self._kept
        ]
        if (
            len(call.inputs) == 1
            and dying
            and not (role.startswith(BRANCH) and role not in dying and FLOWING in dying)
        ):
            return FLOWING if FLOWING in dying else dying[0]
        return self._fresh(place, value)

    def _fresh(self, place: int, value: str) -> str:
        live = {
            self.names[name]
            for name, last in self._last.items()
            if last > place and name in self.names and name != value
        }
        role = self._role(value)
        if role not in live:
            return role
        if role == FLOWING and BESIDE not in live:
            return BESIDE
        number = 2
        while f"{role}{number}" in live:
            number += 1
        return f"{role}{number}"

    def _role(self, value: str) -> str:
        """What a value is: it flows on, or it waits for others that it is joined with."""
        seen, start = value, self._branch_length(value)
        while len(takers := self._takers.get(seen, [])) == 1 and len(takers[0].inputs) == 1:
            seen, start = takers[0].output, start + 1
        if len(takers) != 1 or len(takers[0].inputs) < 2:
            return FLOWING
        call = takers[0]
        others = [name for name in call.inputs if name != seen]
        lengths = [self._branch_length(name) for name in others]
        kind = call.kind.removeprefix(LAYERS)
        if kind in ("Multiply", "*"):
            return FLOWING if all(start < length for length in lengths) else GATE
        if kind in ("Add", "+"):
            return FLOWING if all(start >= length for length in lengths) else SHORTCUT
        if len(call.inputs) == 2:
            return FLOWING if self._is_input(others[0]) else f"{BRANCH}{call.inputs.index(seen) + 1}"
        return f"{BRANCH}{call.inputs.index(seen) + 1}"

    def _is_input(self, value: str) -> bool:
        return all(step.call.output != value for step in self.steps)

    def _branch_length(self, value: str) -> int:
        """How many steps made it of what others take, too."""
        made = {step.call.output: step.call for step in self.steps}
        length = 0
        while value in made and len(made[value].inputs) == 1 and len(self._takers.get(value, [])) < 2:
            length, value = length + 1, made[value].inputs[0]
        return length
