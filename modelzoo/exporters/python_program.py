"""The text of the program that builds a network: functions for what it repeats, and the layer calls."""

from __future__ import annotations

import keyword
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from modelzoo.exporters.python_blocks import block_functions, with_suffixes
from modelzoo.exporters.python_definitions import NO_DEFAULT, VARIABLES, Definition, Instance, Step, define
from modelzoo.exporters.python_functions import FEWEST_CHAINS, HOLE, Chain, Loop, chains, loops
from modelzoo.exporters.python_layers import (
    GELU_TANH,
    LAYERS,
    RESCALED,
    SIGNATURES,
    Call,
    Expression,
    Signature,
    is_plain,
    literal,
)
from modelzoo.exporters.python_order import Section, sections
from modelzoo.exporters.python_variables import Variables
from modelzoo.graph import Graph

WIDTH = 100  # of a line
INDENT = "    "
TAKEN = (*VARIABLES, "y", "h5py", "keras", "layers", "build", "load", "number", "letter")


def program(graph: Graph) -> list[str]:
    """The lines of all functions, build() the last of them. Raises ValueError for what Keras cannot do."""
    found = sections(graph)
    uses = Counter(value for section in found for call in section.calls for value in call.inputs)
    uses.update(graph.outputs.values())
    definitions, found = _with_chains(found, uses)
    taken = frozenset(definition.name for definition in definitions)
    functions, calls = block_functions([with_suffixes(section) for section in found], taken)
    signatures = {
        definition.name: definition.signature
        for definition in (*definitions, *(function.definition for function in functions))
    }
    writer = _Writer(signatures)
    lines: list[str] = []
    for definition in definitions:
        lines += [*writer.function(definition, {}), "", ""]
    for function in functions:
        lines += [*writer.function(function.definition, function.skipped), "", ""]
    return lines + writer.build(graph, _paragraphs(found, calls))


def _with_chains(found: list[Section], uses: Mapping[str, int]) -> tuple[list[Definition], list[Section]]:
    """The functions of chains that are many, and the sections, with calls of those in their places."""
    split = [chains(section.calls, dict(uses)) for section in found]
    by_key: dict[object, list[Chain]] = {}
    for part in (part for parts in split for part in parts if isinstance(part, Chain)):
        by_key.setdefault(part.key, []).append(part)
    definitions: list[Definition] = []
    replaced: dict[str, Call] = {}  # by the value that the chain gives
    for many in by_key.values():
        if len(many) < FEWEST_CHAINS:
            continue
        title, number = many[0].title, 2
        while any(definition.name == title for definition in definitions):
            title, number = f"{many[0].title}{number}", number + 1
        instances = [
            Instance(_worded(chain), chain.hole, chain.calls[0].inputs, chain.calls[-1].output)
            for chain in many
        ]
        definition, calls = define(title, instances, _word_for_hole)
        definitions.append(definition)
        replaced |= {call.output: call for call in calls}
    return definitions, [
        replace(section, calls=tuple(_calls(parts, replaced)))
        for section, parts in zip(found, split, strict=True)
    ]


def _worded(chain: Chain) -> tuple[Call, ...]:
    pairs = zip(chain.calls, chain.words, strict=True)
    return tuple(replace(call, suffix=word) for call, word in pairs)


def _word_for_hole(call: Call) -> str:
    return f'name.replace("{HOLE}", "{call.suffix}")'


def _calls(parts: Sequence[Call | Chain], replaced: Mapping[str, Call]) -> list[Call]:
    found: list[Call] = []
    for part in parts:
        if isinstance(part, Call):
            found.append(part)
        else:
            output = part.calls[-1].output
            found += [replaced[output]] if output in replaced else part.calls
    return found


def _paragraphs(found: Sequence[Section], calls: Mapping[int, Call]) -> list[tuple[str, list[Call]]]:
    """What build() does: blocks that are functions in one paragraph, and each other block by itself."""
    paragraphs: list[tuple[str, list[Call]]] = []
    joins = False
    for number, section in enumerate(found):
        if number not in calls:
            paragraphs.append((section.title, list(section.calls)))
        elif joins:
            paragraphs[-1][1].append(calls[number])
        else:
            paragraphs.append(("", [calls[number]]))
        joins = number in calls
    return paragraphs


class _Writer:
    """Writes calls, given how those of each function are written."""

    def __init__(self, signatures: Mapping[str, Signature]):
        self.signatures = signatures

    def function(self, definition: Definition, skipped: Mapping[str, str]) -> list[str]:
        """A definition's lines."""
        names = _input_names(definition)
        variables = Variables(definition.steps, names, [definition.output], skipped)
        parameters = [
            name if default is NO_DEFAULT else f"{name}={literal(default)}"
            for name, default in definition.parameters.items()
        ]
        lines = _wrapped("def ", definition.name, [*names.values(), *parameters, "*", "name"], ":")
        lines += _described(definition)
        before: str | None = None
        for place, step in enumerate(definition.steps):
            if step.flag is not None and step.flag != before:
                lines += [INDENT + variables.before[place]] if place in variables.before else []
                lines.append(f"{INDENT}if {step.flag}:")
            before = step.flag
            indent = INDENT * (2 if step.flag else 1)
            inputs = [variables.of(value, place) for value in step.call.inputs]
            lines += self.statement(step.call, variables.names[step.call.output], inputs, indent)
        lines.append(f"{INDENT}return {variables.names[definition.output]}")
        return _joined_return(lines)

    def build(self, graph: Graph, paragraphs: Sequence[tuple[str, list[Call]]]) -> list[str]:
        """The lines of the function that makes the model."""
        parts = [(title, loops(calls, frozenset(self.signatures))) for title, calls in paragraphs]
        flat = [_as_call(part) for _, many in parts for part in many]
        names = {name: _variable(name, number) for number, name in enumerate(graph.inputs, start=1)}
        inputs = [
            f"{INDENT}{names[name]} = keras.Input({literal(tuple(shape[1:]))}, name={literal(name)})"
            for name, shape in graph.inputs.items()
        ]
        variables = Variables([Step(call) for call in flat], names, graph.outputs.values())
        lines = ["def build():", f'{INDENT}"""The network, with random weights."""', *inputs]
        layers: dict[str, str] = {}
        place = 0
        for title, many in parts:
            lines += ["", f"{INDENT}# {title}"] if title and is_plain(title) and len(many) > 1 else [""]
            for part in many:
                lines += self._part(part, variables, place, layers)
                place += 1
        return [*lines, "", *_model(graph, variables.names)]

    def _part(self, part: Call | Loop, variables: Variables, place: int, layers: dict[str, str]) -> list[str]:
        call = _as_call(part)
        given = [variables.of(value, place) for value in call.inputs]
        target = variables.names[call.output]
        if isinstance(part, Call):
            return (
                self._shared(part, target, given, layers)
                if part.shared
                else self.statement(part, target, given, INDENT)
            )
        numbers = part.places[0].isdigit()
        last = int(part.places[-1]) + 1 if numbers else 0
        over = f"range({part.places[0]}, {last})" if numbers else literal("".join(part.places))
        variable = "number" if numbers else "letter"
        name = Expression(f'f"{part.before}{{{variable}}}{part.after}"')
        lines = [] if target == given[0] else [f"{INDENT}{target} = {given[0]}"]
        lines.append(f"{INDENT}for {variable} in {over}:")
        return lines + self.statement(replace(call, name=name), target, [target, *given[1:]], INDENT * 2)

    def _shared(self, call: Call, target: str, given: list[str], layers: dict[str, str]) -> list[str]:
        """A layer that is called several times, made before the first one."""
        lines = []
        if call.name not in layers:
            layers[str(call.name)] = f"layer{len(layers) + 1}"
            lines = _wrapped(f"{INDENT}{layers[str(call.name)]} = ", call.kind, self._arguments(call), "")
        taken = given[0] if len(given) == 1 else f"[{', '.join(given)}]"
        return [*lines, f"{INDENT}{target} = {layers[str(call.name)]}({taken})"]

    def statement(self, call: Call, target: str, given: Sequence[str], indent: str) -> list[str]:
        """The lines that make a call."""
        start = f"{indent}{target} = "
        if call.kind in "+-*":
            return [start + f" {call.kind} ".join(given)]
        if call.kind == RESCALED:
            scale, offset = call.arguments["scale"], call.arguments["offset"]
            scaled = given[0] if scale == 1 else f"{given[0]} * {literal(scale)}"
            return [start + (scaled if offset == 0 else f"{scaled} + {literal(offset)}")]
        if call.kind == GELU_TANH:
            return [f"{start}keras.ops.gelu({given[0]}, approximate=True)"]
        if call.kind.startswith(LAYERS):
            several = len(given) > 1 or call.kind in (f"{LAYERS}Concatenate", f"{LAYERS}Add")
            taken = f"[{', '.join(given)}]" if several else given[0]
            return _wrapped(start, call.kind, self._arguments(call), f"({taken})")
        return _wrapped(start, call.kind, [*given, *self._arguments(call)], "")

    def _arguments(self, call: Call) -> list[str]:
        signature = self.signatures.get(call.kind) or SIGNATURES[call.kind.removeprefix(LAYERS)]
        written = signature.written({name: literal(value) for name, value in call.arguments.items()})
        return [*written, f"name={literal(call.name)}"]


def _variable(name: str, number: int) -> str:
    """What an input is called: by its name if a variable may be called so, and no other one is."""
    plain = name.isidentifier() and name.isascii() and not keyword.iskeyword(name)
    return name if plain and name not in TAKEN else f"input{number}"


def _as_call(part: Call | Loop) -> Call:
    if isinstance(part, Call):
        return part
    return replace(part.calls[0], output=part.calls[-1].output)


def _input_names(definition: Definition) -> dict[str, str]:
    """x for a value that only flows on; inputs for one that is needed again."""
    value, *others = definition.inputs
    if others:
        return {value: f"inputs{number}" for number, value in enumerate(definition.inputs, start=1)}
    uses = sum(step.call.inputs.count(value) for step in definition.steps)
    return {value: "inputs" if uses > 1 or definition.steps[0].flag else "x"}


def _described(definition: Definition) -> list[str]:
    """The docstring of a function whose `name` has a place that each of its layers fills."""
    names = [step.call.name.text for step in definition.steps if isinstance(step.call.name, Expression)]
    if not any(name.startswith("name.replace(") for name in names):
        return []
    words = [f'"{step.call.suffix}"' for step in definition.steps]
    listed = f"{', '.join(words[:-1])} and {words[-1]}"
    text = f"Layers whose names have {listed} for the {HOLE} in `name`."
    return [f'{INDENT}"""{text}"""']


def _joined_return(lines: list[str]) -> list[str]:
    """The last assignment is what is returned, where it is one line."""
    target = lines[-1].removeprefix(f"{INDENT}return ")
    start = f"{INDENT}{target} = "
    if lines[-2].startswith(start):
        return [*lines[:-2], f"{INDENT}return {lines[-2].removeprefix(start)}"]
    return lines


def _model(graph: Graph, names: Mapping[str, str]) -> list[str]:
    """The last lines of build()."""
    inputs = {name: names[name] for name in graph.inputs}
    outputs = {name: names[value] for name, value in graph.outputs.items()}
    arguments = [_alone_or_by_name(inputs), _alone_or_by_name(outputs), f"name={literal(graph.name)}"]
    return _wrapped(f"{INDENT}return ", "keras.Model", arguments, "")


def _alone_or_by_name(variables: Mapping[str, str]) -> str:
    if len(variables) == 1:
        return next(iter(variables.values()))
    return "{" + ", ".join(f"{literal(name)}: {variable}" for name, variable in variables.items()) + "}"


def _wrapped(start: str, function: str, arguments: Sequence[str], end: str) -> list[str]:
    """A call on one line, or its arguments on lines of their own where that is too long."""
    line = f"{start}{function}({', '.join(arguments)}){end}"
    if len(line) <= WIDTH:
        return [line]
    indent = start[: len(start) - len(start.lstrip())]
    inside = [f"{indent}{INDENT}{arguments[0]}"]
    for argument in arguments[1:]:
        if len(inside[-1]) + len(argument) + 3 <= WIDTH:
            inside[-1] += f", {argument}"
        else:
            inside[-1] += ","
            inside.append(f"{indent}{INDENT}{argument}")
    return [f"{start}{function}(", *inside, f"{indent}){end}"]
