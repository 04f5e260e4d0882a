"""digest(): what decides a cell of the matrix, as one number: when it changes, the cell is run again.

That is the network's graph; the module of modelzoo.exporters that is called as the format, those of the
proof, and all that they import of the rooms that write and compute; and what runs the file. Other formats do
not count, so that a new one does not make the others run again.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
from collections.abc import Iterator
from pathlib import Path

from modelzoo import registry, zoo
from modelzoo.exporters import RETIRED, Format, runner
from modelzoo.graph.serialization import to_bytes
from scripts.registry.build import ROOT

PACKAGE = ROOT / "modelzoo"
ROOMS = ("exporters", "backends", "graph", "formats")
ALWAYS = ("proof", "samples", "metadata")  # modules of the exporters that every format needs
LISTS = {  # which name what they have for others, and so all of it
    PACKAGE / "exporters" / "formats.py",
    PACKAGE / "exporters" / "__init__.py",
    PACKAGE / "formats" / "__init__.py",
}


def digest(model: str, format: Format) -> str:
    """The digest of a cell, of 16 digits."""
    entry = registry.info(model)
    graph = to_bytes(zoo.graph_of(entry, zoo.NetworkOptions()))
    name = "onnx" if format.name in RETIRED else format.name  # what the page shows in its place
    return hashlib.sha256(graph + code(name, format.runtime)).hexdigest()[:16]


@functools.cache
def code(name: str, runtime: str) -> bytes:
    """The digest of the code of a format."""
    found = hashlib.sha256()
    for path in sorted(modules(name)):
        found.update(path.relative_to(PACKAGE).as_posix().encode() + statements(path).encode())
    if runtime in runner.RUNTIMES:
        found.update(inspect.getsource(runner.RUNTIMES[runtime]).encode())
    return found.digest()


def statements(path: Path) -> str:
    """What a file does: its text without docstrings and comments, which would make all cells stale."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body[0] = ast.Pass()
    return ast.unparse(tree)


def modules(name: str) -> set[Path]:
    """The files of a format's module, of the proof, and of all that they import, in ROOMS."""
    folder = PACKAGE / "exporters"
    waiting = [folder / f"{module}.py" for module in (name, *ALWAYS)]
    if not waiting[0].exists():  # it is called otherwise: then all count
        waiting += folder.glob("*.py")
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found | LISTS and path.exists():
            found.add(path)
            waiting += imported(path)
    return found


def imported(path: Path) -> Iterator[Path]:
    """The files that a file imports, wherever in its text, of ROOMS."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("modelzoo."):
            place = ROOT.joinpath(*node.module.split("."))
            if place.relative_to(PACKAGE).parts[0] in ROOMS:
                yield place.with_suffix(".py")
                yield place / "__init__.py"
                yield from (place / f"{alias.name}.py" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "modelzoo":
            yield from (PACKAGE / name / "__init__.py" for a in node.names if (name := a.name) in ROOMS)
