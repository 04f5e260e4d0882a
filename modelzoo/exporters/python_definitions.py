"""Definition: a function of the written program, made of calls that are alike; what varies is a parameter."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelzoo.exporters.python_layers import LAYERS, Call, Expression, Signature, literal

ABSENT = object()  # the value of an argument of a call that an instance does not have
NO_DEFAULT = object()
SAID = ("filters", "kernel_size", "units", "rate", "target_shape")  # arguments that have no usual value
VARIABLES = ("x", "inputs", "shortcut", "gate", "branch", "name")  # which no parameter may be called
POSITIONAL = 2  # arguments of a call that need no name
Vector = tuple[Any, ...]  # a value of each instance


@dataclass(frozen=True)
class Step:
    """A call in a function; flag: the parameter that says whether it is made, None if it always is."""

    call: Call
    flag: str | None = None


@dataclass(frozen=True)
class Instance:
    """Where the calls of a function stand: those of the fullest one, None for each that this one lacks.

    name: what the function is told to make its layers' names of.
    """

    calls: tuple[Call | None, ...]
    name: str
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True)
class Definition:
    """A function. parameters: their defaults by name, NO_DEFAULT where there is none."""

    name: str
    parameters: dict[str, Any]
    steps: tuple[Step, ...]
    inputs: tuple[str, ...]
    output: str

    @property
    def signature(self) -> Signature:
        """How calls of it are written."""
        said = tuple(name for name, default in self.parameters.items() if default is NO_DEFAULT)[:POSITIONAL]
        return Signature(said, {name: d for name, d in self.parameters.items() if d is not NO_DEFAULT})


@dataclass
class _Parameter:
    name: str
    vector: Vector
    default: Any = NO_DEFAULT
    key: str = ""  # of the argument that it was made for


def define(
    name: str, instances: Sequence[Instance], layer_name: Callable[[Call], str]
) -> tuple[Definition, list[Call]]:
    """The function, and the calls of it in place of the instances.

    layer_name: how the function says the name of a layer, given its `name`. One instance at least has all
    calls.
    """
    full = next(instance for instance in instances if None not in instance.calls)
    columns = list(zip(*(instance.calls for instance in instances), strict=True))
    flags = _flags(columns, full)
    parameters, said = _said(full, columns, frozenset())
    twice = {parameter.key for parameter in parameters if parameter.name != parameter.key}
    if twice:
        parameters, said = _said(full, columns, frozenset(twice))
    parameters += flags.values()
    steps = []
    for place, call in enumerate(full.calls):
        assert call is not None
        arguments = {key: said[place, key] for key in call.arguments}
        text = Expression(layer_name(call)) if call.name is not None else None
        flag = flags.get(_made(columns[place]))
        steps.append(Step(replace(call, arguments=arguments, name=text), flag.name if flag else None))
    ordered = sorted(parameters, key=lambda parameter: parameter.default is not NO_DEFAULT)
    calls = [
        Call(
            name,
            {parameter.name: _given(parameter, number) for parameter in ordered},
            instance.name,
            instance.inputs,
            instance.output,
        )
        for number, instance in enumerate(instances)
    ]
    defaults = {parameter.name: parameter.default for parameter in ordered}
    return Definition(name, defaults, tuple(steps), full.inputs, full.output), calls


def _said(
    full: Instance, columns: Sequence[Sequence[Call | None]], twice: frozenset[str]
) -> tuple[list[_Parameter], dict[tuple[int, str], Any]]:
    """The parameters, and what stands in the function for each argument of each call.

    twice: the arguments that several parameters are for; those are called by their layers, too.
    """
    parameters: list[_Parameter] = []
    said: dict[tuple[int, str], Any] = {}
    for place, key in _in_order_of_meaning(full, columns):
        vector = tuple(_value(call, key) for call in columns[place])
        call = full.calls[place]
        assert call is not None
        said[place, key] = _argument(key, vector, parameters, f"{_word(call)}_{key}", key in twice)
    return parameters, said


def _in_order_of_meaning(full: Instance, columns: Sequence[Sequence[Call | None]]) -> list[tuple[int, str]]:
    """The arguments of all calls: first those of calls that are always made, last those of many numbers."""
    found = [
        (
            any(isinstance(_value(other, key), tuple) for other in columns[place]),
            None in columns[place],
            place,
            key,
        )
        for place, call in enumerate(full.calls)
        if call is not None
        for key in call.arguments
    ]
    return [(place, key) for *_, place, key in sorted(found, key=lambda one: one[:2])]


def _made(column: Sequence[Call | None]) -> tuple[bool, ...]:
    return tuple(call is not None for call in column)


def _flags(columns: Sequence[Sequence[Call | None]], full: Instance) -> dict[tuple[bool, ...], _Parameter]:
    """The parameters that say whether calls are made, by who makes them."""
    found: dict[tuple[bool, ...], _Parameter] = {}
    for column in columns:
        made = _made(column)
        if not all(made) and made not in found:
            call = next(call for call in column if call is not None)
            name = _unused(_flag_name(call, full), list(found.values()))
            found[made] = _Parameter(name, made, False)
    return found


def _value(call: Call | None, key: str) -> Any:
    return ABSENT if call is None else call.arguments[key]


def _given(parameter: _Parameter, number: int) -> Any:
    value = parameter.vector[number]
    if value is not ABSENT:
        return value
    return None if parameter.default is NO_DEFAULT else parameter.default


def _argument(
    key: str, vector: Vector, parameters: list[_Parameter], long: str, use_long: bool = False
) -> Any:
    """What stands in the function: the value, if there is one only, or what is said of a parameter.

    long: what a new parameter is called where `key` is another's name, or if `use_long`.
    """
    known = [value for value in vector if value is not ABSENT]
    if all(value == known[0] for value in known):
        return known[0]
    texts = [(parameter, _by(parameter, vector)) for parameter in parameters]
    for parameter, text in texts:  # as it is before a multiple of another
        if text is not None and text == parameter.name:
            parameter.vector = _joined(parameter.vector, vector)
            return Expression(text)
    for _, text in texts:
        if text is not None:
            return Expression(text)
    if all(isinstance(value, tuple) and len(value) == len(known[0]) for value in known):
        each = (_place(vector, place) for place in range(len(known[0])))
        parts = [literal(_argument(key, one, parameters, long, use_long)) for one in each]
        return Expression(f"({', '.join(parts)})")
    usual = Counter(map(_hashable, known)).most_common(1)[0][0][1]
    default = None if ABSENT in vector else NO_DEFAULT if key in SAID else usual
    taken = use_long or any(parameter.name == key for parameter in parameters)
    name = _unused(long if taken else key, parameters)
    parameters.append(_Parameter(name, vector, default, key))
    return Expression(name)


def _place(vector: Vector, place: int) -> Vector:
    return tuple(ABSENT if value is ABSENT else value[place] for value in vector)


def _hashable(value: Any) -> tuple[str, Any]:
    return literal(value), value if not isinstance(value, list) else tuple(value)


def _by(parameter: _Parameter, vector: Vector) -> str | None:
    """The vector as said of a parameter: as it is, a whole multiple of it, or a whole part."""
    pairs = [
        (own, other)
        for own, other in zip(parameter.vector, vector, strict=True)
        if ABSENT not in (own, other)
    ]
    if not pairs or (len(pairs) == 1 < len(vector)):
        return None
    if all(type(own) is type(other) and own == other for own, other in pairs):
        return parameter.name
    if any(
        ABSENT is own and other is not ABSENT for own, other in zip(parameter.vector, vector, strict=True)
    ):
        return None
    if not all(type(own) is int and type(other) is int and own > 0 < other for own, other in pairs):
        return None
    factor, part = pairs[0][1] // pairs[0][0], pairs[0][0] // pairs[0][1]
    if factor > 1 and all(other == factor * own for own, other in pairs):
        return f"{factor} * {parameter.name}"
    if part > 1 and all(other == own // part and own % part == 0 for own, other in pairs):
        return f"{parameter.name} // {part}"
    return None


def _joined(vector: Vector, other: Vector) -> Vector:
    return tuple(b if a is ABSENT else a for a, b in zip(vector, other, strict=True))


def _flag_name(call: Call, full: Instance) -> str:
    """projection: what changes the block's own input; residual: what adds it; or the layer's own word."""
    kind = call.kind.removeprefix(LAYERS)
    first = call.inputs[0] in full.inputs
    merged = [other for other in full.calls if other is not None and len(other.inputs) > 1]
    if kind in ("Add", "+") or any(call.output in other.inputs and kind == "Dropout" for other in merged):
        return "residual"
    takers = [other for other in full.calls if other is not None and call.inputs[0] in other.inputs]
    if first and len(takers) > 1 and not any(call.inputs[0] in other.inputs for other in merged):
        return "projection"
    word = _word(call, "extra")
    return f"with_{word}" if word in VARIABLES else word


def _word(call: Call, otherwise: str | None = None) -> str:
    """A word for a call, of its name in the block."""
    words = [word for word in re.split(r"[^a-z]+", call.suffix.lower()) if word]
    return "_".join(words[:2]) or otherwise or call.kind.removeprefix(LAYERS).lower()


def _unused(name: str, parameters: list[_Parameter]) -> str:
    names = {parameter.name for parameter in parameters}
    number = 2
    found = name
    while found in names:
        found, number = f"{name}{number}", number + 1
    return found
