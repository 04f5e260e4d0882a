"""The page of benchmarks says what was measured; the files that benchmarks.convert converts are real ones."""

from __future__ import annotations

import doctest
import json

import pytest

import modelzoo
from benchmarks import files, measuring, report
from modelzoo import conversion, synthetic, weights


def test_the_page_says_what_was_measured():
    assert report.PAGE.read_text("utf-8") == report.page()


def test_the_plot_shows_every_program_that_was_measured():
    shown = report.PLOT.read_text("utf-8")
    for network in report.read("inference")["networks"]:
        assert f">{network['model']}<" in shown
        for name in network["pictures_per_second"]:
            assert f">{name}<" in shown


def test_the_examples_hold():
    assert doctest.testmod(measuring).attempted
    assert doctest.testmod(measuring).failed == 0


def test_programs_take_turns_and_another_one_begins_each_round():
    order = []
    found = measuring.taking_turns(["a", "b", "c"], 3, lambda name: order.append(name) or len(order))
    assert "".join(order) == "abcbcacab"
    assert found == {"a": [1, 6, 8], "b": [2, 4, 9], "c": [3, 5, 7]}


def test_a_ratio_is_that_of_one_round():
    assert measuring.ratios([2, 9], [1, 3]) == [2, 3]


def test_a_worker_answers_and_one_that_fails_says_why(tmp_path):
    import sys

    code = "import json; print(json.dumps({'ready': 1}), flush=True); print(input(), flush=True); 1 / 0"
    worker = measuring.Worker([sys.executable, "-c", code], tmp_path / "log")
    assert worker.greeting == {"ready": 1}
    assert worker.ask({"batch": 3}) == {"batch": 3}
    with pytest.raises(SystemExit, match="ZeroDivisionError"):
        worker.ask({"batch": 3})


@pytest.mark.parametrize(
    ("key", "place", "name"),
    [
        ("mobilenet_0.25_128.keras", 0, "model.h5"),
        ("mobilenet_v1_0.25_128.slim", 0, "model.tar.gz"),
        ("resnet18_v1b.gluon", 0, "model.zip"),
        ("resnet18_v1b.gluon", 1, "model.safetensors"),
    ],
)
def test_the_upstreams_files_convert(key, place, name, tmp_path):
    entry = modelzoo.info(key)
    path = files.upstream(entry, entry.sources[place], tmp_path)
    assert path.name == name
    conversion.convert(entry, path, tmp_path / "ours.h5")
    for weight, array in weights.read(tmp_path / "ours.h5"):
        assert (array == synthetic.array(weight, array.shape)).all()


def test_the_figures_name_the_machine():
    for _, name, _ in report.SECTIONS:
        facts = json.loads((report.FOLDER / f"{name}.json").read_text("utf-8"))["machine"]
        assert facts["cores"] >= 1
        assert facts["openvino"]
