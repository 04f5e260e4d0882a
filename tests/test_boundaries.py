"""Who may import whom: arrows only point down, and light things stay light."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

import modelzoo
from tests.conftest import ROOT

PACKAGE = ROOT / "modelzoo"
HEAVY = {"tensorflow", "keras", "h5py", "PIL", "numpy", "requests", "tqdm"}
ALLOWED = {  # modelzoo's own modules that a module may import; errors, files and itself always
    "__init__": {
        "bulk",
        "classification",
        "detection",
        "feature_extraction",
        "preprocessing",
        "pretrained",
        "registry",
        "verification",
        "zoo",
    },
    "__main__": {"cli"},
    "cli": {
        "bulk",
        "cache",
        "classification",
        "conversion",
        "detection",
        "pretrained",
        "registry",
        "runtimes",
        "verification",
    },
    "bulk": {"classification", "preprocessing", "registry", "runtimes", "zoo"},
    "verification": {"cache", "parity", "preprocessing", "pretrained", "registry", "zoo"},
    "parity": {"architectures", "keras_originals", "registry", "synthetic", "weights"},
    "keras_originals": {"architectures", "conversion", "registry", "synthetic"},
    "zoo": {"architectures", "conversion", "pretrained", "registry", "weights"},
    "pretrained": {"cache", "conversion", "download", "mirror", "registry", "weights"},
    "mirror": {"cache", "download"},
    "cache": {"download"},
    "classification": {"labels", "preprocessing", "registry", "runtimes", "zoo"},
    "feature_extraction": {"preprocessing", "registry", "runtimes", "zoo"},
    "runtimes": {"cache", "pretrained", "registry", "zoo"},
    "detection": {"architectures", "labels", "preprocessing", "registry", "zoo"},
    "preprocessing": {"registry"},
    "conversion": {"architectures", "hdf5", "registry", "weights"},
    "weights": {"architectures", "hdf5", "synthetic"},
    "hdf5": set(),
    "architectures": set(),
    "download": set(),
    "errors": set(),
    "files": set(),
    "labels": set(),
    "registry": {"cache"},  # for a registry of one's own that is fetched
    "synthetic": set(),
}
STANDARD_LIBRARY_ONLY = ("errors", "files", "labels", "registry")
MODULES = sorted(PACKAGE.rglob("*.py"))


def area(path) -> str:
    """The module's name, or the name of its package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path) -> set[str]:
    """The dotted names that the module imports, wherever in its text."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the arrow"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_stands_below_it(path):
    own = {name.split(".")[1] for name in imports(path) if name.startswith("modelzoo.")} & ALLOWED.keys()
    assert own <= ALLOWED[area(path)] | {area(path), "errors", "files"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_package_never_imports_scripts_or_tests(path):
    assert not {name.split(".")[0] for name in imports(path)} & {
        "scripts",
        "tests",
        "benchmarks",
        "pickle",
        "marshal",
    }


@pytest.mark.parametrize("path", [p for p in MODULES if area(p) == "architectures"], ids=lambda p: p.name)
def test_architectures_know_no_files_and_no_addresses(path):
    outside = {name.split(".")[0] for name in imports(path)} - {"modelzoo", "keras"}
    assert outside <= sys.stdlib_module_names - {"pathlib", "os", "io", "urllib", "json"}


@pytest.mark.parametrize(
    "path",
    [p for p in MODULES if area(p) in STANDARD_LIBRARY_ONLY],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_lists_and_labels_need_only_the_standard_library(path):
    assert {name.split(".")[0] for name in imports(path)} <= sys.stdlib_module_names | {"modelzoo"}


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
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code + heavy], check=True, capture_output=True, text=True
    )
    assert run.stdout.splitlines()[-1] == "[]"
    assert run.stderr == ""


def test_every_public_name_can_be_imported():
    assert all(getattr(modelzoo, name) is not None for name in modelzoo.__all__)


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = modelzoo.nothing
