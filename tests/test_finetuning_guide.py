"""The page about fine-tuning: its commands run as they stand there."""

from __future__ import annotations

import re
import shlex

from modelzoo import cli
from modelzoo.cli.main import parser
from tests.conftest import ROOT
from tests.test_finetuning import make_images

PAGE = (ROOT / "docs" / "guide" / "finetune.md").read_text("utf-8")


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def make_photos(folder) -> None:
    """The folders that the page speaks of."""
    for part, count in (("train", 12), ("test", 3)):
        make_images(folder / "photos" / part, count)
        (folder / "photos" / part / "red").rename(folder / "photos" / part / "hat")


def test_the_commands_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path)
    commands = [line for block in snippets("sh") for line in block.splitlines()]
    commands[0] = commands[0].replace("5m", "1s") + " --batch-size 8"
    for command in commands[:3]:
        assert cli.main(shlex.split(command)[1:]) == 0
    assert "hat" in capsys.readouterr().out


def test_fifteen_lines_are_no_more():
    (snippet,) = snippets("python")  # tests/test_guides.py runs it
    assert len([line for line in snippet.splitlines() if line]) <= 15


def test_the_table_names_options_of_the_command():
    options = re.findall(r"^\| `(--[a-z-]+)", PAGE, re.MULTILINE)
    known = parser()._subparsers._group_actions[0].choices["finetune"].format_help()
    assert len(options) >= 6
    assert all(option in known for option in options)
