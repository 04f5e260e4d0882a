"""The page of benchmarks says what was measured; the files that benchmarks.convert converts are real ones."""

from __future__ import annotations

import ast
import doctest
import json
import subprocess
import sys
from contextlib import ExitStack, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

import modelzoo
from benchmarks import against, cold, files, images, inference, measuring, precision, report
from modelzoo import conversion, weights
from modelzoo.verification.comparison import synthetic_weights


def test_the_page_says_what_was_measured():
    assert report.PAGE.read_text("utf-8") == report.page()


def test_the_plot_shows_every_program_that_was_measured():
    shown = report.PLOT.read_text("utf-8")
    for network in report.read("inference")["networks"]:
        assert f">{network['model']}<" in shown
        for name in network["images_per_second"]:
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


GREETS = "import json, os, sys, time; print(json.dumps({'ready': 1}), flush=True); "


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


def program(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def has_ended(worker: measuring.Worker) -> bool:
    """Without a process, a zombie or a pipe left behind."""
    process = worker.process
    return process.returncode is not None and process.stdin.closed and process.stdout.closed


def test_a_worker_answers_until_it_is_closed(log):
    with measuring.Worker(program(GREETS + "print(input(), flush=True); input()"), log) as worker:
        assert worker.greeting == {"ready": 1}
        assert worker.ask({"batch": 3}) == {"batch": 3}
    assert has_ended(worker)


def test_a_worker_that_fails_says_why(log):
    with measuring.Worker(program(GREETS + "input(); 1 / 0"), log) as worker:
        with pytest.raises(SystemExit, match=r"ended with status 1 and no answer:(?s:.*)ZeroDivisionError"):
            worker.ask({"batch": 3})
        assert has_ended(worker)


def test_a_worker_that_died_before_it_was_asked_says_why(log):
    """What is asked then lies in a broken pipe, and is written again when that is closed."""
    died = "import os; os.close(0); print('{}', flush=True); 1 / 0"
    with measuring.Worker(program(died), log) as worker:
        worker.process.wait()
        with pytest.raises(SystemExit, match="ZeroDivisionError"):
            worker.ask({"batch": 3})
        assert has_ended(worker)


def test_a_dead_worker_can_be_closed_twice(log):
    worker = measuring.Worker(program("import os; os.close(0); print('{}', flush=True)"), log)
    worker.process.stdin.write("a question")
    worker.close()
    worker.close()
    assert has_ended(worker)


def test_a_worker_that_does_not_end_is_killed(log, monkeypatch):
    monkeypatch.setattr(measuring, "SECONDS_TO_END", 0.1)
    with measuring.Worker(program(GREETS + "time.sleep(600)"), log) as worker:
        pass
    assert has_ended(worker)


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("1 / 0", SystemExit, "ZeroDivisionError"),
        ("raise SystemExit(3)", SystemExit, r"status 3 .*\n\(it wrote nothing to stderr\)"),
        ("import sys; sys.stderr.buffer.write(b'\\xff'); sys.exit(1)", SystemExit, "\ufffd"),
        ("print('hello', flush=True); input()", ValueError, "Expecting value"),
    ],
)
def test_a_worker_without_a_greeting_leaves_nothing(code, error, words, log, monkeypatch):
    started = []

    class Process(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(measuring.subprocess, "Popen", Process)
    with pytest.raises(error, match=words):
        measuring.Worker(program(code), log)
    (process,) = started
    assert process.returncode is not None
    assert process.stdin.closed
    assert process.stdout.closed


# Precisions that the CPU lacks


@pytest.fixture
def no_bf16(monkeypatch):
    """A CPU that computes in f32 alone, as OpenVINO describes one without AVX-512."""
    monkeypatch.setattr(measuring, "capabilities", lambda: ["FP32", "INT8", "BIN", "EXPORT_IMPORT"])


def test_openvino_says_what_this_cpu_computes_in():
    assert measuring.not_measured("f32") is None
    assert measuring.not_measured("bf16") in (None, "this CPU has no bf16")


def test_cold_starts_go_without_bf16(no_bf16, tmp_path):
    programs, missing = cold.commands(tmp_path, torch_python="false")
    assert missing == {cold.BF16: "this CPU has no bf16", cold.TIMM: "status 1"}
    assert not missing.keys() & programs.keys()
    figures = report.read("cold")
    del figures["processes"][cold.BF16]
    assert f"| `{cold.BF16}` | not measured: this CPU has no bf16 |" in cold.text(
        figures | {"missing": missing}
    )


def test_inference_goes_without_bf16(no_bf16, tmp_path, monkeypatch):
    monkeypatch.setattr(inference, "PEERS", dict.fromkeys(["GEMM", inference.BF16]))
    monkeypatch.setattr(
        inference.measuring, "Worker", lambda *_, **__: nullcontext(SimpleNamespace(greeting={}))
    )
    with ExitStack() as stack:
        workers, missing = inference.started(tmp_path, SimpleNamespace(torch_python="false"), stack)
    assert list(workers) == ["GEMM"]
    assert missing == {inference.BF16: "this CPU has no bf16"}
    figures = report.read("inference")["networks"][0]
    del figures["images_per_second"][inference.BF16]
    shown = inference.text_of(figures | {"missing": missing})
    assert f"| {inference.BF16} | not measured: this CPU has no bf16 |" in shown


def test_precisions_go_without_bf16(no_bf16, monkeypatch):
    found = {"accuracy": 0.9, "agreement": 1.0, "relative_error": 0.0}
    for name in ("cifar10", "clothes"):
        monkeypatch.setattr(
            precision, name, lambda precisions: {"network": "N"} | dict.fromkeys(precisions, found)
        )
    monkeypatch.setattr(precision, "DATA", measuring.ROOT)
    figures = precision.measure(SimpleNamespace())
    assert figures["missing"] == {"bf16": "this CPU has no bf16", "f16": "this CPU has no f16"}
    lines = precision.text(figures).splitlines()
    assert lines[2] == "| N | f32 | 90.00% | 100.00% | 0e+00 |"
    assert lines[3] == "|  | bf16 | not measured: this CPU has no bf16 |  |  |"


# Two checkouts


def test_a_checkout_is_measured_beside_another(tmp_path):
    """Beside itself, by the program that needs no weights."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "modelzoo").symlink_to(measuring.ROOT / "modelzoo", target_is_directory=True)
    sides = {
        side: against.Checkout(against.checkout(root), tmp_path / side)
        for side, root in (("this", measuring.ROOT), ("other", other))
    }
    name, command = "import modelzoo", [sys.executable, "-c", "import modelzoo"]
    seconds = against.of_program(name, command, sides, rounds=2)
    figures = {"machine": measuring.machine(), "commits": {"this": "a", "other": "b"}, "seconds": seconds}
    assert [len(seconds[name][side]) for side in against.SIDES] == [2, 2]
    assert against.text(figures).splitlines()[-1].startswith("| `import modelzoo` | 0.")


def test_the_environment_of_a_checkout_is_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELZOO_TIMEOUT", "1")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    environment = against.Checkout(tmp_path / "code", tmp_path).environment
    assert environment["PYTHONPATH"] == str(tmp_path / "code")
    assert {name for name in environment if "MODELZOO" in name} == {"MODELZOO_CACHE", "MODELZOO_MIRROR"}


def test_what_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"Expected a checkout of modelzoo, got .*no modelzoo/__init__\.py"):
        against.checkout(tmp_path)


def test_programs_are_chosen_by_a_part_of_their_names(tmp_path):
    programs = against.commands(tmp_path, 500)
    assert list(against.chosen(programs, ["load(vgg", "list"])) == ["modelzoo list", "load(vgg19)"]
    assert against.chosen(programs, None) == programs
    with pytest.raises(SystemExit, match="got 'no such'"):
        against.chosen(programs, ["no such"])


def test_images_are_the_same_each_time_and_no_two_alike(tmp_path):
    first, second = (images.make_images(tmp_path / name, 3, [measuring.CAT]) for name in ("a", "b"))
    contents = [Path(path).read_bytes() for path in first]
    assert contents == [Path(path).read_bytes() for path in second]
    assert len(set(contents)) == 3
    with Image.open(first[0]) as image:
        assert image.size == images.SIZE


@pytest.mark.parametrize(
    "path", sorted(Path(measuring.__file__).parent.glob("*.py")), ids=lambda path: path.stem
)
def test_benchmarks_use_no_private_name(path):
    """Of modelzoo, or of anything else: an underscore begins only what a benchmark itself defines."""
    tree = ast.parse(path.read_text("utf-8"))
    names = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and not is_self(node.value)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {part for alias in node.names for part in (*node.module.split("."), alias.name)}
    assert not {name for name in names if name.startswith("_") and not name.endswith("__")}


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


# Files


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
    expected = synthetic_weights(entry)
    for weight, array in weights.read(tmp_path / "ours.h5"):
        assert (array == expected[weight]).all()


def test_the_figures_name_the_machine():
    for _, name, _ in report.SECTIONS:
        facts = json.loads((report.FOLDER / f"{name}.json").read_text("utf-8"))["machine"]
        assert facts["cores"] >= 1
        assert facts["openvino"]
