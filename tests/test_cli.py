"""The command line: results on stdout, one sentence on stderr if it fails, and never a traceback."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import modelzoo
from modelzoo import cli, weights
from modelzoo.architectures import synthetic
from tests.conftest import CAT
from tests.serving import write_synthetic


@pytest.fixture
def run(capfd):
    """Runs a command and gives its exit code, output and errors."""

    def run(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    return run


@pytest.fixture
def params(tmp_path):
    """resnet18_v1b in the upstream's format."""
    from tests.test_conversion import GLUON, upstream_arrays, write_params

    return write_params(tmp_path / "upstream.params", upstream_arrays(GLUON))


def test_list_shows_every_model(run):
    lines = run("list").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == modelzoo.list_models()


def test_list_filters(run):
    result = run("list", "resnet50*", "--tag", "gluon", "--json")
    assert [entry["key"] for entry in json.loads(result.out)] == modelzoo.list_models(
        "resnet50*", tag="gluon"
    )


def test_list_finds_by_a_part_of_the_name(run):
    keys = [entry["key"] for entry in json.loads(run("list", "resnet50", "--json").out)]
    assert keys == [key for key in modelzoo.list_models() if "resnet50" in key]
    assert len(keys) > 5


def test_a_pattern_that_fits_nothing_fails(run):
    result = run("list", "nothing*")
    assert (result.code, result.out) == (1, "")
    assert "No model fits" in result.err


def test_list_sorts_and_filters(run):
    small = json.loads(run("list", "--json", "--sort", "parameters", "--max-parameters", "1.5M").out)
    counts = [entry["parameters"] for entry in small]
    assert counts == sorted(counts)
    assert counts[-1] <= 1_500_000 < modelzoo.info("mobilenet_0.75_224").parameters
    bundled = run("list", "--from", "bundled").out.splitlines()
    assert [line.split()[0] for line in bundled] == ["model", "resnet9_cifar10.modelzoo"]
    assert "cached" not in run("list", "--from", "none-published").out


def test_info_says_what_is_unknown(run):
    out = run("info", "resnet50_v1d").out
    assert "25,629,512 parameters" in out
    assert re.search(r"^  license of weights +unknown$", out, re.MULTILINE)


def test_info_is_a_card_of_one_fact_a_line(run):
    title, *lines = run("info", "resnet50_v1d").out.splitlines()
    assert title == "resnet50_v1d.gluon"
    facts = [re.fullmatch(r"  (\S+(?: \S+)*)  +(\S.*)", line).groups() for line in lines]
    assert dict(facts)["paper"] == "https://arxiv.org/abs/1812.01187"
    assert len({line.index(value) for line, (_, value) in zip(lines, facts, strict=True)}) == 1


def test_every_model_has_a_card(run):
    for key in modelzoo.list_models():
        assert run("info", key).out.startswith(f"{key}\n"), key


def test_info_as_json_holds_the_whole_entry(run):
    facts = json.loads(run("info", "resnet50_v1d", "--json").out)
    assert facts["sources"][0]["checksums"][0]["value"] == "117a384ecf61490eb31ea147eb0e61e6d2b8a449"
    assert facts["availability"] == "converts from upstream"


def test_classify_names_the_model_the_label_and_the_time(run):
    result = run("classify", CAT)
    assert result.code == 0
    assert "resnet9_cifar10.modelzoo" in result.out
    assert " cat " in result.out.splitlines()[3]
    assert "█" in result.out
    assert "ms an image" in result.out
    assert result.err == ""


def test_classify_as_json_is_one_line_an_image(run, tmp_path):
    for name in ("b.jpg", "a.jpg"):
        shutil.copy(CAT, tmp_path / name)
    lines = run("classify", tmp_path, "--json", "--top", 1).out.splitlines()
    answers = [json.loads(line) for line in lines]
    assert [answer["image"] for answer in answers] == [str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")]
    assert [answer["predictions"][0]["name"] for answer in answers] == ["cat", "cat"]


def test_classify_reads_an_image_from_stdin(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(CAT.read_bytes())))
    assert json.loads(run("classify", "-", "--json").out)["predictions"][0]["name"] == "cat"


def test_classify_takes_a_weight_file(run, resnet18_file):
    result = run("classify", CAT, "-m", "resnet18_v1b", "-w", resnet18_file, "--top", 2)
    assert (result.code, result.out.count("%")) == (0, 2)


def test_classify_prints_nothing_random(run):
    first, second = (json.loads(run("classify", CAT, "--json").out) for _ in range(2))
    assert first == second


def test_convert_prints_the_provenance(run, params, tmp_path):
    result = run("convert", "resnet18_v1b", params, "-o", tmp_path / "out.h5", "--json")
    assert json.loads(result.out) == weights.provenance(tmp_path / "out.h5")
    assert json.loads(result.out)["tensors"] == 102


def test_add_then_load_finds_the_file(run, resnet18_file, cache):
    place = run("add", "resnet18_v1b", resnet18_file).out.strip()
    assert place == str(modelzoo.weights_file("resnet18_v1b"))
    assert run("download", "resnet18_v1b").out.strip() == place
    assert [cached["model"] for cached in json.loads(run("cache", "--json").out)] == ["resnet18_v1b.gluon"]
    assert run("cache", "remove", "resnet18_v1b").out == "removed resnet18_v1b.gluon\n"
    assert json.loads(run("cache", "--json").out) == []


def test_cache_path_is_the_folder(run, cache):
    assert run("cache", "path").out.strip() == str(cache)


def cut(path):
    path.write_bytes(CAT.read_bytes()[:9000])
    return path


def text(path):
    path.write_text("not an image at all")
    return path


def empty_folder(path):
    path.mkdir()
    return path


BAD_INPUT = {
    "an unknown model": (
        lambda p: ("info", "resnet18_v2b"),
        "no model 'resnet18_v2b'; the nearest names are",
    ),
    "a folder without images": (lambda p: ("classify", empty_folder(p / "empty")), "has no images"),
    "a truncated JPEG": (lambda p: ("classify", cut(p / "cut.jpg")), "cut.jpg is truncated or damaged"),
    "text named .jpg": (lambda p: ("classify", text(p / "text.jpg")), "text.jpg is not an image"),
    "no such image": (lambda p: ("classify", p / "none.jpg"), "No such file"),
    "weights that are not available": (
        lambda p: ("classify", "-m", "resnet101_mlimages", CAT),
        "are not available: .* run: modelzoo add resnet101_mlimages.tencent FILE",
    ),
    "weights of no kind": (
        lambda p: ("classify", CAT, "-w", text(p / "weights.h5")),
        "weights.h5 was not written by modelzoo, and resnet9_cifar10.modelzoo has no upstream",
    ),
    "an upstream file that is not there": (
        lambda p: ("convert", "resnet18_v1b", p / "none.params", "-o", p / "out.h5"),
        "none.params",
    ),
    "a file that is not the official one": (
        lambda p: ("add", "resnet18_v1b", text(p / "a.params")),
        "a.params is no file that resnet18_v1b.gluon is converted from: expected an MXNet",
    ),
    "nothing to remove": (lambda p: ("cache", "remove"), "Say which models to remove"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_gets_one_sentence_and_exit_code_1(name, run, tmp_path, cache):
    arguments, message = BAD_INPUT[name]
    result = run(*arguments(tmp_path))
    assert result.code == 1
    assert result.err.startswith("modelzoo: ")
    assert result.err.count("\n") == 1
    assert re.search(message, result.err)
    left = [file for file in (*cache.rglob("*"), *tmp_path.rglob("out.h5*")) if file.is_file()]
    # A compiled network is whole, and of use to the next call.
    assert [file for file in left if file.suffix not in (".lock", ".blob")] == []


@pytest.mark.parametrize(
    "arguments", [(), ("clasify",), ("classify",), ("classify", CAT, "--top", 0), ("convert", "x", "y")]
)
def test_wrong_usage_is_exit_code_2(arguments, run):
    result = run(*arguments)
    assert result.code == 2
    assert "usage: modelzoo" in result.err


def test_a_params_file_truncated_anywhere_is_refused(run, params, tmp_path):
    content = params.read_bytes()
    for length in (0, 7, 30, 1000, len(content) // 2, len(content) - 1):
        params.write_bytes(content[:length])
        result = run("convert", "resnet18_v1b", params, "-o", tmp_path / "out.h5")
        assert (result.code, result.err.count("\n")) == (1, 1), result.err
        assert not (tmp_path / "out.h5").exists()


def test_a_warning_of_the_library_is_one_line_on_stderr(run, tmp_path):
    path = write_synthetic(tmp_path / "synthetic.h5", "resnet18_v1b.gluon")
    arrays = list(weights.read(path))
    weights.write(path, arrays, {"model": "resnet18_v1b.gluon", "synthetic": True})
    result = run("classify", CAT, "-m", "resnet18_v1b", "-w", path)
    warning = "resnet18_v1b.gluon: it has synthetic weights: predictions are meaningless"
    assert (result.code, result.err) == (0, f"modelzoo: {warning}\n")


def test_the_first_classify_is_silent_about_tensorflow():
    """In a process of its own, because TensorFlow speaks when it is imported."""
    command = [sys.executable, "-W", "error", "-m", "modelzoo", "classify", str(CAT)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "")


def test_gray_noise_is_an_answer_too(run, tmp_path):
    noise = (synthetic.images(40, 60)[0, :, :, 0] * 40 + 128).clip(0, 255)
    Image.fromarray(noise.astype(np.uint8)).save(tmp_path / "noise.png")
    assert run("classify", tmp_path / "noise.png").code == 0
