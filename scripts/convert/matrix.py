"""Writes docs/formats.md: which models were exported to which formats, and how each file answered.

    python -m scripts.convert.matrix                            # all rows and columns; resumes a killed run
    python -m scripts.convert.matrix --only resnet50 onnx       # these models, these formats
    python -m scripts.convert.matrix --only                     # runs nothing and writes the page again
    python -m scripts.convert.matrix --clones CLONES --python mxnet=/tmp/mxnet/bin/python \\
        --python ir=/tmp/mmdnn/bin/python --python tf_checkpoint=/tmp/slim/bin/python

Each cell is a process of its own with bounded memory and time: modelzoo.export with synthetic weights, in
f32, which leaves a file only if its own runtime answers as the network does. What came of it is a line of
docs/formats.jsonl, from which the page is written; so nothing is ticked that was not run. A cell is run
again when what made it has changed: the network's graph, the format's writer, what that imports, or the
proof; see matrix_digests.py. Columns are modelzoo.exporters.FORMATS, also those whose package is missing, and
for each retired format the one to give in its place.

Programs that need another environment run there. --python names its interpreter: of a format whose runtime
it has; of MMdnn, for ir (originals/mmdnn_run.py says which); and of TensorFlow 1's networks, for
tf_checkpoint. Their sources lie in --clones, as slim.py, tencent.py and gluon2tf.py in this folder say:
models/research/slim, tencent-ml-images and gluon2TF. What was only compared by value before is run there with
--again.
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
from dataclasses import asdict, dataclass, replace
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import modelzoo
from benchmarks import measuring
from modelzoo import files
from modelzoo.errors import ExportError, ModelZooError
from modelzoo.exporters import FORMATS as EXPORTED
from modelzoo.exporters import RETIRED, Format, proof
from scripts.convert import matrix_page, matrix_programs
from scripts.convert.matrix_digests import digest
from scripts.convert.matrix_page import (
    AGREES,
    BY_VALUE,
    DIFFERS,
    INTERPRETED,
    NOT_RUN,
    REFUSED,
    STOPPED,
)
from scripts.convert.matrix_programs import Answer, Means
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
DIFFERENCE = "answers otherwise than"  # of delivery's sentence
ERROR = re.compile(r"relative L2 (nan|inf|\d\.\d+e[+-]\d+)")
OPSET = min(EXPORTED["onnx"].opsets)
FORMATS = EXPORTED | {
    name: replace(EXPORTED["onnx"], name=name, title=f"{name.upper()}: ONNX of opset {OPSET}")
    for name in RETIRED
}
Cell = dict[str, Any]
Key = tuple[str, str]  # a model and a format


@dataclass(frozen=True)
class Limits:
    """What a cell may take."""

    seconds: float = SECONDS
    gibibytes: int = GIBIBYTES


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", metavar="NAME", help="models and formats; default: all")
    parser.add_argument("--timeout", type=float, default=SECONDS, metavar="SECONDS", help="of a cell")
    parser.add_argument("--memory", type=int, default=GIBIBYTES, metavar="GIB", help="of a cell")
    parser.add_argument("--again", action="store_true", help="run cells again that are up to date")
    help_ = "an interpreter of another environment, which runs a format's files"
    parser.add_argument("--python", action="append", default=[], metavar="FORMAT=PYTHON", help=help_)
    help_ = "folder with clones of the originals' sources"
    parser.add_argument("--clones", type=Path, metavar="FOLDER", help=help_)
    options = parser.parse_args(arguments)
    models, formats = chosen(options.only)
    means = Means(dict(word.split("=", 1) for word in options.python), options.clones)
    if unknown := means.pythons.keys() - FORMATS.keys():
        parser.error(f"--python: expected a format among {', '.join(FORMATS)}, got {', '.join(unknown)}")
    limits = Limits(options.timeout, options.memory)
    done = read(JOURNAL)
    for model in models:
        for format in formats:
            mark = digest(model, format)
            before = done.get((model, format.name))
            if options.again or before is None or before["state"] == NOT_RUN or before["digest"] != mark:
                found = cell(model, format, limits, means) | {"digest": mark}
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


def cell(model: str, format: Format, limits: Limits, means: Means) -> Cell:
    """What came of one model in one format, from a process of its own."""
    facts: Cell = {
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
    words = [model, format.name, str(limits.gibibytes), means.to_json()]
    started = time.perf_counter()
    code, output, errors = run([sys.executable, "-m", "scripts.convert.matrix_cell", *words], limits.seconds)
    facts["seconds"] = round(time.perf_counter() - started, 1)
    if code is None:
        return facts | {"state": STOPPED, "detail": f"it took more than {limits.seconds:,.0f} s"}
    if code:
        last = (errors.strip().splitlines() or [f"exit code {code}"])[-1]
        detail = f"it ended, with at most {limits.gibibytes} GiB: {last[:200]}"
        return facts | {"state": STOPPED, "detail": detail}
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


def outcome(model: str, format: Format, means: Means) -> Cell:
    """What came of the export, in this process."""
    python, opset = means.pythons.get(format.name) if format.runtime else None, None
    name = format.name
    if name in RETIRED:
        name, opset = "onnx", OPSET
    with tempfile.TemporaryDirectory(prefix="modelzoo-matrix-") as folder:
        path = Path(folder) / f"network{format.suffix}"
        try:
            found = modelzoo.export(model, path, format=name, weights="synthetic", python=python, opset=opset)
            answer = matrix_programs.answered(model, name, path, means)
        except ModelZooError as error:
            return failed(error)
        except subprocess.CalledProcessError as error:
            return {
                "state": STOPPED,
                "detail": f"{Path(error.cmd[1]).name} ended with exit code {error.returncode}.",
            }
    compared = found.proof
    facts: Cell = {"bytes": found.bytes}
    if compared.comparisons:
        facts |= {"runtime": with_version(compared.runtime, format, python)}
        return facts | {"state": AGREES, "relative_l2": compared.worst, "outputs": len(compared.comparisons)}
    facts |= {"detail": compared.checked}
    if answer is None:
        return facts | {"state": BY_VALUE}
    return facts | facts_of(answer)


def facts_of(answer: Answer) -> Cell:
    """What a program answered that is no part of the export."""
    state = INTERPRETED if answer.interpreted else AGREES
    if not answer.relative_l2 <= proof.TOLERANCES["f32"]:
        state = DIFFERS
    return {"state": state} | {name: value for name, value in asdict(answer).items() if name != "interpreted"}


def with_version(runtime: str, format: Format, python: str | None) -> str:
    """The runtime with its version, or that of the package which it is a part of."""
    if format.runtime in matrix_programs.MODULES:
        return matrix_programs.version_of(format.runtime, python)
    return runtime if " " in runtime else f"{runtime} of {format.package} {metadata.version(format.package)}"


def failed(error: ModelZooError) -> Cell:
    """What the error of an export says: the file differs, or there can be none."""
    errors = [float(found) for found in ERROR.findall(str(error))]
    if DIFFERENCE in str(error) and errors:
        return {"state": DIFFERS, "relative_l2": max(errors), "detail": str(error)}
    return {"state": REFUSED, "detail": str(error)}


if __name__ == "__main__":
    main()
