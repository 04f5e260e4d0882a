"""CONTRIBUTING.md's walks lead where they say: its blocks are executed, in a copy of the repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
BLOCK = re.compile(r"^ *```(\w+) ?(\S*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
MODELS = {"Add a variant": "resnet14_v1d.mine", "Add a family": "toy_8.mine"}
LIMIT = 600  # seconds for one command; each takes some


@dataclass(frozen=True)
class Block:
    """A fenced block: shell commands, a diff, or the text of the file `path`."""

    language: str
    path: str
    text: str

    def files(self) -> list[str]:
        """The files that it adds or changes by hand."""
        changed = re.findall(r"^\+\+\+ b/(\S+)", self.text, re.MULTILINE)
        return [self.path] if self.path else changed


def blocks(title: str) -> list[Block]:
    """Those of the page's section, in order."""
    section = re.search(rf"^## {title}\n(.*?)^## ", PAGE, re.DOTALL | re.MULTILINE)[1]
    return [Block(language, path, textwrap.dedent(text)) for language, path, text in BLOCK.findall(section)]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's files, without what is beside it and without its history."""
    folder = tmp_path_factory.mktemp("contributor") / "modelzoo"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode == 0:
        for name in filter(None, tracked.stdout.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name)
    else:  # an unpacked source distribution
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".*", "__pycache__", "build", "dist"))
    return folder


def run(command: list[str], folder: Path, text: str = "") -> str:
    """Runs a command in the copy, whose modules come before the installed ones."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]]),
        "PYTHONPATH": str(folder),
        "PYTEST_ADDOPTS": "-n 0 -p no:cacheprovider",
        "MODELZOO_CACHE": str(folder.parent / "cache"),
        "GIT_CEILING_DIRECTORIES": str(folder.parent),  # git apply must not look for a repository around it
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, input=text, capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def follow(title: str, folder: Path) -> str:
    """Does what the section says; returns what its commands print."""
    printed = ""
    for block in blocks(title):
        if block.language == "sh":
            printed += run(["bash", "-euo", "pipefail", "-c", block.text], folder)
        elif block.language == "diff":
            run(["git", "apply", "-"], folder, block.text)
        else:
            assert not (folder / block.path).exists()
            (folder / block.path).write_text(block.text, "utf-8")
    return printed


@pytest.fixture(scope="module")
def walked(copy: Path) -> dict[str, str]:
    """What the commands of both walks printed, one after the other in one copy."""
    return {title: follow(title, copy) for title in MODELS}


@pytest.mark.parametrize("title", MODELS)
def test_following_the_page_adds_a_model_to_the_registry(title, walked, copy):
    models = json.loads((copy / "modelzoo" / "registry.json").read_text("utf-8"))["models"]
    assert models[MODELS[title]]["parameters"] > 0


@pytest.mark.parametrize("title", MODELS)
def test_its_file_is_converted_back_and_loaded(title, walked):
    assert f"{MODELS[title]}: " in walked[title]
    assert "came back" in walked[title]


@pytest.mark.parametrize("title", MODELS)
def test_its_tests_are_run_and_pass(title, walked):
    passed = re.search(r"^(\d+) passed", walked[title], re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) > 1
    assert "skipped" not in walked[title]


@pytest.mark.parametrize("title", MODELS)
def test_it_stands_in_the_tables(title, walked, copy):
    assert f"`{MODELS[title]}`" in (copy / "docs" / "models.md").read_text("utf-8")


def test_what_was_there_is_unchanged(walked, copy):
    before = json.loads((ROOT / "modelzoo" / "registry.json").read_text("utf-8"))
    after = json.loads((copy / "modelzoo" / "registry.json").read_text("utf-8"))
    assert before["models"].items() <= after["models"].items()
    assert before["preprocessing"] == after["preprocessing"]
    assert before["defaults"] == after["defaults"]


def test_what_the_page_adds_is_formatted_and_without_complaints(walked, copy):
    changed = {path for title in MODELS for block in blocks(title) for path in block.files()}
    run(["ruff", "format", "--check", *sorted(changed)], copy)
    run(["ruff", "check", *sorted(changed)], copy)
