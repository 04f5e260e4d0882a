"""Who may import whom: arrows only point down, and light things stay light.

The arrows themselves are import-linter's contracts in pyproject.toml.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import modelzoo
from tests.conftest import ROOT

PACKAGE = ROOT / "modelzoo"
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
HEAVY = {"tensorflow", "keras", "h5py", "PIL", "numpy", "requests", "tqdm", "openvino", "rich"} | {
    "filelock",
    "google_crc32c",
}
STANDARD_LIBRARY_ONLY = ("errors", "files", "labels", "lazy", "registry")
WHEN_NEEDED = {"files": {"filelock", "google_crc32c"}}  # in functions: to write a file, to check one
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    """The module's name, or the name of its package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def in_rooms(*rooms: str) -> list[Path]:
    return [path for path in MODULES if room(path) in rooms]


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imports(path: Path) -> set[str]:
    """The first parts of the names that the module imports, wherever in its text."""
    names = set()
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the arrow"
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("contract", [contract["id"] for contract in CONTRACTS])
def test_a_module_imports_only_what_stands_below_it(contract):
    code = (
        "import sys; from importlinter.cli import lint_imports;"
        f"sys.exit(lint_imports('pyproject.toml', limit_to_contracts=({contract!r},), no_cache=True))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_every_room_has_its_place_in_the_layers():
    (layers,) = [contract for contract in CONTRACTS if contract["type"] == "layers"]
    assert layers["containers"] == ["modelzoo"]
    assert layers["exhaustive"]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_import_is_relative(path):
    imports(path)


@pytest.mark.parametrize("path", in_rooms("architectures"), ids=name)
def test_architectures_know_no_files_and_no_addresses(path):
    outside = imports(path) - {"modelzoo", "keras", "numpy"}
    assert outside <= sys.stdlib_module_names - {"pathlib", "os", "io", "urllib", "json"}


@pytest.mark.parametrize("path", in_rooms(*STANDARD_LIBRARY_ONLY), ids=name)
def test_lists_and_labels_need_only_the_standard_library(path):
    assert imports(path) <= sys.stdlib_module_names | {"modelzoo"} | WHEN_NEEDED.get(room(path), set())


@pytest.mark.parametrize(
    "code",
    [
        "import modelzoo",
        "import modelzoo; modelzoo.list_models(); modelzoo.info('resnet50_v1d')",
        "from modelzoo.cli import main; main(['list'])",
        "from modelzoo.cli import main; main(['info', 'resnet50_v1d', '--json'])",
    ],
)
def test_importing_listing_and_describing_load_nothing_heavy(code):
    heavy = f"; import sys; print(sorted({HEAVY} & sys.modules.keys()))"
    command = [sys.executable, "-W", "error", "-c", code + heavy]
    run = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.splitlines()[-1] == "[]"
    assert run.stderr == ""


def test_every_public_name_can_be_imported():
    assert all(getattr(modelzoo, name) is not None for name in modelzoo.__all__)


def test_an_editor_sees_the_public_names_that_are_there():
    """The imports for type checkers are those that the names are taken from when they are used."""
    (block,) = [node for node in syntax(PACKAGE / "__init__.py").body if isinstance(node, ast.If)]
    shown = {alias.asname: node.module for node in block.body for alias in node.names}
    assert set(shown) == set(modelzoo.__all__) == set(dir(modelzoo))
    for name, module in shown.items():
        __import__(module)
        assert getattr(sys.modules[module], name) is getattr(modelzoo, name)


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = modelzoo.nothing


@pytest.mark.parametrize("path", [path for path in MODULES if path.name == "__init__.py"], ids=name)
def test_a_room_only_exports_what_its_modules_define(path):
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    assert not [node.name for node in ast.walk(syntax(path)) if isinstance(node, definitions)]


@pytest.mark.parametrize("path", [path for path in MODULES if room(path) != "cli"], ids=name)
def test_a_library_logs_and_never_prints(path):
    calls = [node for node in ast.walk(syntax(path)) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.name)
def test_benchmarks_use_public_names_only(path):
    tree = syntax(path)
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    ours = [node for node in imported if node.module.partition(".")[0] == "modelzoo"]
    names = {alias.asname or alias.name for node in ours for alias in node.names}
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names
    }
    assert not sorted(name for name in names | used if name.startswith("_") and not name.endswith("__"))
