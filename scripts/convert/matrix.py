"""Writes docs/formats.md: which models were exported to which formats, and how each file answered.

    python -m scripts.convert.matrix                            # all rows and columns; resumes a killed run
    python -m scripts.convert.matrix --only resnet50 onnx       # these models, these formats
    python -m scripts.convert.matrix --only                     # runs nothing and writes the page again

Each cell is a process of its own with bounded memory and time: modelzoo.export with synthetic weights, in
f32, which leaves a file only if its own runtime answers as the network does. What came of it is a line of
docs/formats.jsonl, from which the page is written; so nothing is ticked that was not run. A cell is run
again when what made it has changed: the network's graph, the format's writer, what that imports, or the
proof; see matrix_digests.py. Columns are modelzoo.exporters.FORMATS, also those whose package is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import modelzoo
from benchmarks import measuring
from modelzoo import files
from modelzoo.errors import ExportError, ModelZooError
from modelzoo.exporters import FORMATS, Format
from scripts.convert import matrix_page
from scripts.convert.matrix_digests import digest
from scripts.registry.build import ROOT

JOURNAL = ROOT / "docs" / "formats.jsonl"
PAGE = ROOT / "docs" / "formats.md"
ROWS = (
    *("vgg16.keras", "vgg19.keras", "inception_v3.keras", "resnet50.keras", "densenet121.keras"),
    *("xception.keras", "mobilenet_1.0_224.keras", "nasnet_mobile.keras", "inception_resnet_v2.keras"),
    *("resnet_v2_152.slim", "resnet101_v1d.gluon", "resnet101_mlimages.tencent"),
    *("efficientnet_b0.keras", "efficientnet_lite0.tpu", "convnext_tiny.keras", "yolo2.darknet"),
)
SECONDS, GIBIBYTES = 1800, 16  # that a cell may take; of address space
AGREES, DIFFERS, NOT_RUN, REFUSED, STOPPED = "agrees", "differs", "not run here", "refused", "stopped"
DIFFERENCE = "answers otherwise than"  # of delivery's sentence
ERROR = re.compile(r"relative L2 (nan|inf|\d\.\d+e[+-]\d+)")
Cell = dict[str, Any]
Key = tuple[str, str]  # a model and a format


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", metavar="NAME", help="models and formats; default: all")
    parser.add_argument("--timeout", type=float, default=SECONDS, metavar="SECONDS", help="of a cell")
    parser.add_argument("--memory", type=int, default=GIBIBYTES, metavar="GIB", help="of a cell")
    parser.add_argument("--again", action="store_true", help="run cells again that are up to date")
    options = parser.parse_args(arguments)
    models, formats = chosen(options.only)
    done = read(JOURNAL)
    for model in models:
        for format in formats:
            mark = digest(model, format)
            before = done.get((model, format.name))
            if options.again or before is None or before["state"] == NOT_RUN or before["digest"] != mark:
                found = cell(model, format, options.timeout, options.memory) | {"digest": mark}
                append(JOURNAL, found)
                print(f"{model:<32} {format.name:<12} {matrix_page.text(found)}", flush=True)
    cells = read(JOURNAL)
    write(JOURNAL, cells.values())
    PAGE.write_text(matrix_page.page(list(cells.values()), ROWS), "utf-8")


def chosen(only: Sequence[str] | None) -> tuple[list[str], list[Format]]:
    """The models by their keys and the formats that were named; all where none was."""
    if only is None:
        return list(ROWS), list(FORMATS.values())
    formats = [FORMATS[name] for name in only if name in FORMATS]
    models = [modelzoo.info(name).key for name in only if name not in FORMATS]
    if not only:
        return [], []
    return models or list(ROWS), formats or list(FORMATS.values())


def read(path: Path) -> dict[Key, Cell]:
    """The last line about each cell; a line that a kill left without its end is none."""
    found: dict[Key, Cell] = {}
    for line in path.read_text("utf-8").splitlines(keepends=True) if path.exists() else ():
        if line.endswith("\n"):
            record = json.loads(line)
            found[record["model"], record["format"]] = record
    return found


def append(path: Path, record: Cell) -> None:
    """Adds a line; whatever has no end before it is removed."""
    with path.open("a+b") as file:
        file.seek(0)
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
        file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")


def write(path: Path, cells: Iterable[Cell]) -> None:
    """One line a cell, in the order of rows and columns, whole or not at all."""
    order = {model: place for place, model in enumerate(ROWS)}
    columns = {name: place for place, name in enumerate(FORMATS)}
    ranked = sorted(
        cells,
        key=lambda c: (
            order.get(c["model"], len(order)),
            c["model"],
            columns.get(c["format"], len(columns)),
            c["format"],
        ),
    )
    with files.atomic_write(path) as temporary:
        temporary.write_text("".join(json.dumps(c, ensure_ascii=False) + "\n" for c in ranked), "utf-8")


def cell(model: str, format: Format, seconds: float, gibibytes: int) -> Cell:
    """What came of one model in one format, from a process of its own."""
    facts = {
        "model": model,
        "format": format.name,
        "title": format.title,
        "date": date.today().isoformat(),
        "machine": measuring.processor(),
    }
    try:
        format.require()
    except ExportError as error:
        return facts | {"state": NOT_RUN, "detail": str(error)}
    command = [sys.executable, "-m", "scripts.convert.matrix_cell", model, format.name, str(gibibytes)]
    started = time.perf_counter()
    code, output, errors = run(command, seconds)
    facts["seconds"] = round(time.perf_counter() - started, 1)
    if code is None:
        return facts | {"state": STOPPED, "detail": f"it took more than {seconds:,.0f} s"}
    if code:
        words = (errors.strip().splitlines() or [f"exit code {code}"])[-1]
        return facts | {"state": STOPPED, "detail": f"it ended, with at most {gibibytes} GiB: {words[:200]}"}
    return facts | json.loads(output.strip().splitlines()[-1])


def run(command: Sequence[str], seconds: float) -> tuple[int | None, str, str]:
    """Exit code, output and errors of a command; no code if it was stopped, with all that it had started."""
    environment = measuring.environment()
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=seconds)
            return process.returncode, output, errors
        except BaseException as error:  # also where somebody stops this run
            os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            process.communicate()
            return None, "", ""


def outcome(model: str, format: Format) -> Cell:
    """What came of the export, in this process."""
    with tempfile.TemporaryDirectory(prefix="modelzoo-matrix-") as folder:
        path = Path(folder) / f"network{format.suffix}"
        try:
            found = modelzoo.export(model, path, format=format.name, weights="synthetic")
        except ModelZooError as error:
            return failed(error)
    proof = found.proof
    facts = {"runtime": with_version(proof.runtime, format), "bytes": found.bytes}
    if not proof.comparisons:
        return facts | {"state": NOT_RUN, "detail": proof.checked}
    return facts | {"state": AGREES, "relative_l2": proof.worst, "outputs": len(proof.comparisons)}


def with_version(runtime: str, format: Format) -> str:
    """The runtime with its version, or that of the package which it is a part of."""
    return runtime if " " in runtime else f"{runtime} of {format.package} {metadata.version(format.package)}"


def failed(error: ModelZooError) -> Cell:
    """What the error of an export says: the file differs, or there can be none."""
    errors = [float(found) for found in ERROR.findall(str(error))]
    if DIFFERENCE in str(error) and errors:
        return {"state": DIFFERS, "relative_l2": max(errors), "detail": str(error)}
    return {"state": REFUSED, "detail": str(error)}


if __name__ == "__main__":
    main()
