"""docs/formats.md says what was run, and nothing else; a run that was stopped is resumed."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
import time
from pathlib import Path

import pytest

import modelzoo
from modelzoo.errors import ExportError
from modelzoo.exporters import FORMATS, Format, proof
from modelzoo.exporters.delivery import deliver
from modelzoo.exporters.options import Options
from scripts.convert import matrix, matrix_digests, matrix_page
from tests.test_export import changed, network

CELLS = matrix.read(matrix.JOURNAL)
PAGE = matrix.PAGE.read_text("utf-8")
MODEL, FORMAT = "resnet9_cifar10.modelzoo", "onnx"


def ticks(page: str) -> set[tuple[str, str, str]]:
    """Model, format's title and what stands behind every tick in the first table of a page."""
    table = page[page.index("| model |") :].partition("\n\n")[0]
    rows = [[part.strip() for part in line.split("|")[1:-1]] for line in table.splitlines()]
    header, found = rows[0], set()
    for row in rows[2:]:
        for title, text in zip(header[1:], row[1:], strict=True):
            if matrix_page.TICK in text:
                found.add((row[0].strip("`"), title, text.removeprefix(matrix_page.TICK).strip()))
    return found


def test_nothing_is_ticked_that_was_not_run():
    """Or, in these words beside the tick, interpreted or compared by value."""
    words = {matrix.AGREES: "", matrix.INTERPRETED: "interpreted ", matrix.BY_VALUE: "by value"}
    agreeing = {
        (
            cell["model"],
            cell["title"],
            words[cell["state"]] + (f"{cell['relative_l2']:.1e}" if "relative_l2" in cell else ""),
        )
        for cell in CELLS.values()
        if cell["state"] in words
    }
    assert ticks(PAGE) == agreeing
    assert agreeing
    for cell in CELLS.values():
        assert ("relative_l2" in cell) == (
            cell["state"] in (matrix.AGREES, matrix.INTERPRETED, matrix.DIFFERS)
        )


def test_the_page_is_what_the_journal_makes():
    assert matrix_page.page(list(CELLS.values()), matrix.ROWS) == PAGE


@pytest.mark.parametrize("model", matrix.ROWS)
def test_every_row_was_run_in_the_formats_of_today(model):
    for name in matrix.FORMATS:
        found = CELLS[modelzoo.info(model).key, name]
        assert found["state"] in (*matrix_page.TICKED, matrix.DIFFERS, matrix.REFUSED)
        if found["state"] == matrix.AGREES:
            assert found["relative_l2"] <= proof.TOLERANCES["f32"]
            assert re.search(r" \d+\.\d+", found["runtime"])


@pytest.fixture
def written(tmp_path, monkeypatch) -> Path:
    """The journal in a folder of its own, with two small rows and two formats."""
    monkeypatch.setattr(matrix, "JOURNAL", tmp_path / "formats.jsonl")
    monkeypatch.setattr(matrix, "PAGE", tmp_path / "formats.md")
    monkeypatch.setattr(matrix, "ROWS", (MODEL, "mobilenet_0.25_128.keras"))
    monkeypatch.setattr(matrix, "FORMATS", {name: FORMATS[name] for name in ("onnx", "openvino")})
    return tmp_path / "formats.jsonl"


@pytest.fixture
def calls(monkeypatch) -> list[tuple[str, str]]:
    """The cells that are run, in place of which nothing is."""
    found: list[tuple[str, str]] = []

    def cell(model: str, format: Format, limits: matrix.Limits, means: matrix.Means) -> matrix.Cell:
        found.append((model, format.name))
        if len(found) == 3:
            raise KeyboardInterrupt
        facts = {"model": model, "format": format.name, "title": format.title, "runtime": "a 1"}
        return facts | {"date": "2026-01-01", "machine": "m", "state": matrix.AGREES, "relative_l2": 1e-7}

    monkeypatch.setattr(matrix, "cell", cell)
    return found


def test_a_stopped_run_goes_on_where_it_stopped(written, calls):
    with pytest.raises(KeyboardInterrupt):
        matrix.main([])
    with written.open("a") as file:
        file.write('{"model": "trunca')  # as a kill leaves it
    matrix.main([])
    assert len(calls) == 5  # the third, again, and the fourth
    assert len(set(calls)) == 4
    assert len(ticks(written.with_suffix(".md").read_text("utf-8"))) == 4
    matrix.main([])
    assert len(calls) == 5


def test_only_some_cells_are_run_on_request(written, calls):
    matrix.main(["--only", "resnet9_cifar10", "openvino"])
    assert calls == [(MODEL, "openvino")]
    matrix.main(["--only"])
    assert calls == [(MODEL, "openvino")]


def test_a_cell_is_run_again_when_what_made_it_has_changed(written, calls, monkeypatch):
    matrix.main(["--only", "resnet9_cifar10", "openvino"])
    monkeypatch.setattr(matrix, "digest", lambda model, format: "another")
    matrix.main(["--only", "resnet9_cifar10", "openvino"])
    assert calls == [(MODEL, "openvino")] * 2


def test_the_digest_knows_the_writer_and_the_network_but_no_other_format():
    names = {path.name for path in matrix_digests.modules("onnx")}
    assert {"onnx.py", "onnx_windows.py", "proof.py", "fold_batch_norms.py", "numpy.py"} <= names
    assert not names & {"litert.py", "openvino.py", "formats.py"}
    onnx, openvino = FORMATS["onnx"], FORMATS["openvino"]
    assert len({matrix_digests.digest(m, f) for m in matrix.ROWS[:2] for f in (onnx, openvino)}) == 4


def test_words_about_code_do_not_make_a_cell_stale(tmp_path):
    texts = {
        "a": 'def f(x):\n    """One."""\n    return x + 1  # more\n',
        "b": 'def f(x):\n    """Two."""\n\n    return (x + 1)\n',
        "c": 'def f(x):\n    """One."""\n    return x + 2\n',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, "utf-8")
    one, two, other = (matrix_digests.statements(tmp_path / name) for name in texts)
    assert one == two != other


def test_a_format_whose_package_is_missing_is_a_column_that_was_not_run(written, monkeypatch):
    missing = dataclasses.replace(FORMATS["onnx"], name="other", title="Other", package="nothing_there")
    monkeypatch.setattr(matrix, "FORMATS", {"other": missing})
    matrix.main([])
    page = written.with_suffix(".md").read_text("utf-8")
    assert "| model | Other |" in page
    assert "not run here [1]" in page
    assert "1. Other needs the package nothing_there: pip install" in page
    assert not ticks(page)


def test_a_file_that_differs_is_no_tick(tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(ExportError) as error:
        deliver(network(), tmp_path / "a.onnx", changed(FORMATS["onnx"]), Options())
    found = matrix.failed(error.value)
    assert found["state"] == matrix.DIFFERS
    assert 1e-4 < found["relative_l2"] < 1e-1
    assert matrix.failed(ExportError("Keras cannot hold x: y"))["state"] == matrix.REFUSED


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Windows has no process groups")
def test_a_cell_that_takes_too_long_is_stopped_with_all_that_it_started(tmp_path):
    file = tmp_path / "pid"
    child = f"import os, time; open({str(file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    start = time.monotonic()
    assert matrix.run([sys.executable, "-c", program], 3) == (None, "", "")
    assert time.monotonic() - start < 30
    pid = int(file.read_text())
    stat = Path(f"/proc/{pid}/stat")
    assert not stat.exists() or re.search(r"\) [ZX] ", stat.read_text())


def test_a_cell_runs_in_a_process_of_its_own_with_bounded_memory():
    pytest.importorskip("onnxruntime")
    found = matrix.cell(MODEL, FORMATS[FORMAT], matrix.Limits(300), matrix.Means())
    assert (found["state"], found["model"]) == (matrix.AGREES, MODEL)
    assert found["relative_l2"] < 1e-5
    assert json.loads(json.dumps(found)) == found
    assert (
        matrix.cell(MODEL, FORMATS[FORMAT], matrix.Limits(300, 0), matrix.Means())["state"] == matrix.STOPPED
    )


def test_a_cell_is_run_in_the_environments_that_are_named(tmp_path):
    means = matrix.Means({"ir": "/a/python", "mxnet": "/b=c/python"}, tmp_path)
    assert matrix.Means.from_json(means.to_json()) == means
    assert matrix.Means.from_json(matrix.Means().to_json()) == matrix.Means()


def test_a_file_that_no_program_runs_is_ticked_as_compared_by_value():
    found = matrix.outcome(MODEL, FORMATS["ir"], matrix.Means())
    assert found["state"] == matrix.BY_VALUE
    assert "equal" in found["detail"]
    assert matrix_page.text(found) == f"{matrix_page.TICK} by value"


def test_a_retired_format_is_the_file_to_give_in_its_place():
    pytest.importorskip("onnxruntime")
    found = matrix.outcome(MODEL, matrix.FORMATS["cntk"], matrix.Means()) | {"format": "cntk"}
    assert found["state"] == matrix.AGREES
    assert found["runtime"].startswith("onnxruntime ")
    cells = [found | {"model": MODEL, "title": "CNTK", "date": "2026-01-01", "machine": "m"}]
    assert "Retired, `cntk`: CNTK's last release" in matrix_page.page(cells, (MODEL,))
