"""The README tells the truth: its snippets run, its table is today's, and CI runs its command."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest

import modelzoo
from modelzoo import cli, conversion, labels, registry, weights
from modelzoo.architectures import synthetic
from modelzoo.verification import known_answers
from scripts import docs
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text("utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHOWN = re.findall(r"```text\n(.*?)```", README.partition("## Use")[0], re.DOTALL)
CAT = "examples/cat.jpg"
SHELL = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
CONVERSION, OWN = (block for block in SHELL if block.startswith("modelzoo convert"))


@pytest.fixture
def resnet50(tmp_path):
    """The README's model in the cache, with synthetic weights in place of the real ones."""
    entry = registry.info("resnet50_v1d")
    shapes = conversion.weight_shapes(entry)
    path = tmp_path / "resnet50.h5"
    weights.write(path, ((n, synthetic.array(n, s)) for n, s in shapes.items()), {"model": entry.key})
    modelzoo.add(entry.key, path)


def test_the_commands_for_a_checkpoint_of_ones_own_run(monkeypatch, tmp_path, capsys):
    from PIL import Image

    from modelzoo.formats import write_tensorflow_checkpoint
    from tests.test_conversion import upstream_arrays

    monkeypatch.chdir(tmp_path)
    convert, classify = (shlex.split(line, comments=True)[1:] for line in OWN.splitlines())
    entry = registry.info(convert[1])
    entry = replace(entry, graph=replace(entry.graph, classes=2))
    (tmp_path / "train_log").mkdir()
    write_tensorflow_checkpoint(tmp_path / "train_log" / "model.ckpt-9", upstream_arrays(entry))
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    Image.new("RGB", (300, 250)).save("photo.jpg")
    assert cli.main(convert) == 0
    assert cli.main(classify) == 0
    assert {"cat", "dog"} <= set(capsys.readouterr().out.split())


@pytest.mark.usefixtures("resnet50")
def test_the_python_snippets_run_in_order(monkeypatch, capsys, tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "run" / "examples")
    monkeypatch.chdir(tmp_path / "run")  # one of them writes a file
    names = {}
    for snippet in PYTHON:
        exec(compile(snippet, "README.md", "exec"), names)
    assert capsys.readouterr().out.startswith("cat ")
    assert names["pooled"].output_shape == (None, 2048)
    assert list(names["pyramid"].output) == ["C2", "C3", "C4", "C5"]
    assert names["seven"].output_shape == (None, 7)


def test_the_conversion_commands_run(monkeypatch, tmp_path, cache):
    from tests.test_conversion import upstream_arrays, write_params

    monkeypatch.chdir(tmp_path)
    entry = registry.info("resnet50_v1d")
    params = write_params(tmp_path / entry.sources[0].member, upstream_arrays(entry))
    with zipfile.ZipFile("resnet50_v1d-117a384e.zip", "w") as archive:
        archive.write(params, params.name)
    convert, add = (shlex.split(line, comments=True)[1:] for line in CONVERSION.splitlines())
    assert cli.main(convert) == 0
    assert np.array_equal(
        dict(weights.read(tmp_path / "resnet50_v1d.h5"))["logits/bias"],
        synthetic.array("logits/bias", (1000,)),
    )
    assert cli.main(add) == 1  # the synthetic file has not the published checksum
    assert not [file for file in cache.rglob("*") if file.is_file()]


def test_the_tables_of_models_are_todays():
    assert docs.updated(README) == README, "run python -m scripts.docs"
    assert docs.page() == docs.PAGE.read_text("utf-8"), "run python -m scripts.docs"


def test_the_plot_shows_every_model_whose_accuracy_is_published():
    shown = re.findall(r'<g id="([a-z0-9_.]+\.[a-z]+)">', docs.PLOT.read_text("utf-8"))
    assert sorted(shown) == sorted(entry.key for entry in docs.plotted())


def test_the_first_answer_has_the_labels_that_the_original_program_gives():
    shown, _ = SHOWN
    answers = known_answers.packaged().about(registry.info("efficientnet_lite0"))
    (answer,) = (answer for answer in answers if answer.image == CAT)
    names = labels.read("imagenet")
    best = [names[place].name for place, _ in sorted(answer.expected, key=lambda pair: -pair[1])]
    named = re.findall(r"^  (\S.*?)  +[\d.]+%", shown, re.MULTILINE)
    assert shown.startswith("efficientnet_lite0.tpu (imagenet, 1 image)")
    assert sorted(named) == sorted(best[: len(named)])
    assert named[0] == best[0]


def test_the_second_output_is_what_the_first_command_prints_without_a_network():
    _, shown = SHOWN
    command = [sys.executable, "-m", "modelzoo", *shlex.split(SHELL[0].partition("&& modelzoo ")[2])]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    without_times = re.compile(r"[\d.]+(?= ms)")
    assert without_times.sub("", printed).strip() == without_times.sub("", shown).strip()


def test_ci_runs_the_second_command():
    awk = re.search(r"command=\$\((awk .*? README\.md)\)", (ROOT / ".ci" / "run").read_text())[1]
    found = subprocess.run(["bash", "-c", awk], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert found.strip() == SHELL[1].strip() == "pip install -e '.[test]' && pytest"


def test_the_environment_variables_are_those_that_the_code_reads():
    code = "".join(path.read_text("utf-8") for path in (ROOT / "modelzoo").rglob("*.py"))
    assert set(re.findall(r"MODELZOO_[A-Z_]+", code)) == set(re.findall(r"`(MODELZOO_[A-Z_]+)`", README))
