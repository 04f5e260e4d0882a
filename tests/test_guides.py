"""The guides' snippets run, page by page, in their order."""

from __future__ import annotations

import functools
import importlib.util
import re
import shlex

import keras
import pytest

import modelzoo
from modelzoo import cli
from tests.conftest import ROOT
from tests.test_finetuning_guide import make_photos

PAGES = sorted((ROOT / "docs" / "guide").glob("*.md"))
LONGEST = 120  # lines of a page
NEEDED = {
    "sklearn": lambda: importlib.util.find_spec("sklearn"),
    "MultiOptimizer": lambda: hasattr(keras.optimizers, "MultiOptimizer"),
}


def snippets(page, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def loads_synthetic(name, /, **options):
    """Weights of networks that do not come with the package are not there in tests."""
    if name != "resnet9_cifar10":
        options.setdefault("weights", "synthetic")
    return LOAD(name, **options)


LOAD = modelzoo.load
PREPARED = {"finetune": make_photos}  # what the snippets find in their folder


HERE = [page for page in PAGES if page.stem != "devices"]  # tests/test_devices.py runs that, on two devices


@pytest.mark.parametrize("page", HERE, ids=lambda page: page.stem)
def test_the_python_snippets_run_in_order(page, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    PREPARED.get(page.stem, lambda folder: None)(tmp_path)
    monkeypatch.setattr(modelzoo, "load", functools.wraps(LOAD)(loads_synthetic))
    names, found = {}, snippets(page, "python")
    for snippet in found:
        missing = [need for need, there in NEEDED.items() if need in snippet and not there()]
        if not missing:  # scikit-learn, and MultiOptimizer in an older Keras
            exec(compile(snippet, page.name, "exec"), names)
    assert found or snippets(page, "sh")
    capsys.readouterr()
    CHECKS.get(page.stem, lambda names: None)(names)


def check_backbones(names) -> None:
    assert {name: x.shape[-1] for name, x in names["maps"].items()} == {"C2": 128, "C3": 192}
    assert list(names["last"].output) == ["C3"]
    assert names["answer"].shape == (1, 10)
    assert (names["gray"].input_shape[-1], names["thermal"].input_shape[-1]) == (1, 4)
    assert "logits" in names["model"].trainable_variables[-1].path


def check_classes(names) -> None:
    assert names["model"].output_shape == (None, 3)
    assert names["thousand"].shape == (1, 1000)
    assert names["dog"].shape == (1,)
    assert names["pets"].shape == (1, 2)
    assert names["best"][0] is None or names["best"][0].probability >= 0.6
    assert names["mean"].shape == (1, 1000)


CHECKS = {"backbones": check_backbones, "choosing-classes": check_classes}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_guide_is_one_page(page):
    lines = page.read_text("utf-8").splitlines()
    assert len(lines) <= LONGEST
    assert all(len(line) <= 110 for line in lines)


def test_the_commands_about_classes_run(capsys):
    commands = [
        line
        for block in snippets(ROOT / "docs/guide/choosing-classes.md", "sh")
        for line in block.splitlines()
    ]
    assert len(commands) == 2
    for command in commands:
        assert cli.main(shlex.split(command)[1:]) == 0
    assert "n12480456" in capsys.readouterr().out
