"""The code stays readable: files, functions and parameter lists are short."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

FILE_LINES, FUNCTION_LINES, PARAMETERS = 350, 40, 6
FILES = sorted((ROOT / "modelzoo").rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions() -> Iterator[tuple[str, Function]]:
    """All functions and methods, wherever they are defined, with their places."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, Function):
                yield f"{named(path)}:{node.lineno} {node.name}", node


def lines(function: Function) -> int:
    """From `def` to its last line."""
    return function.end_lineno - function.lineno + 1


def parameters(function: Function) -> int:
    """How many there are, less `self`, and less the keyword-only ones of a public function."""
    positional = [*function.args.posonlyargs, *function.args.args]
    count = sum(argument.arg not in ("self", "cls") for argument in positional)
    private = function.name.startswith("_") and not function.name.endswith("__")
    return count + len(function.args.kwonlyargs) * private


MEASURES = {
    "file": (FILE_LINES, lambda: {named(path): len(path.read_text("utf-8").splitlines()) for path in FILES}),
    "function": (FUNCTION_LINES, lambda: {place: lines(node) for place, node in functions()}),
    "parameter list": (PARAMETERS, lambda: {place: parameters(node) for place, node in functions()}),
}


@pytest.mark.parametrize("what", MEASURES)
def test_nothing_is_longer_than_it_may_be(what, record_property):
    limit, measure = MEASURES[what]
    sizes = measure()
    longest = max(sizes, key=sizes.get)
    record_property("shape", f"longest {what}: {sizes[longest]} (at most {limit}), {longest}")
    assert {place: size for place, size in sizes.items() if size > limit} == {}
