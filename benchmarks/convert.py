"""From the upstream's file to ours: seconds and memory, beside those of reading the file, and MMdnn's.

    python -m benchmarks.convert [--mmdnn PYTHON] [--json FILE]

The files are of the official formats and sizes, with synthetic weights. MMdnn 0.3.1 needs an environment of
its own, of which `--mmdnn` is the interpreter, and converts a whole Keras model of ResNet-50 into Keras:

    python3.6 -m venv /tmp/mmdnn
    /tmp/mmdnn/bin/pip install mmdnn==0.3.1 tensorflow==1.15.5 keras==2.2.4 'h5py<3'
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import measuring
from modelzoo import registry

MODELS = {  # and which of its sources
    "resnet50.keras": 0,
    "resnet50_v1d.gluon": 0,
    "resnet101_v1b.gluon": 1,
    "resnet_v2_152.slim": 0,
    "resnet101_mlimages.tencent": 0,
    "yolo2.darknet": 0,
}
LIKE_MMDNN = "resnet50.keras"
READ = "import sys, hashlib; file = open(sys.argv[1], 'rb'); hashlib.file_digest(file, 'sha256')"
MMDNN = "from mmdnn.conversion._script.convert import _main; _main()"
MMDNN_MODEL = "import sys; from keras.applications import ResNet50; ResNet50(weights=None).save(sys.argv[1])"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mmdnn", metavar="PYTHON", help="interpreter of MMdnn's environment")
    measuring.main(parser, measure, text)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    environment = measuring.environment()
    models = {}
    for key, place in MODELS.items():
        with tempfile.TemporaryDirectory(prefix="modelzoo-convert-") as folder:
            models[key] = conversion_of(key, place, Path(folder), environment, options)
    return {"models": models}


def conversion_of(key: str, place: int, folder: Path, environment, options) -> dict[str, Any]:
    # In a process of its own: what this one holds counts as the memory of those that it starts.
    make = [sys.executable, "-m", "benchmarks.files", key, str(place), str(folder)]
    written = measuring.whole_process(make, environment)["output"].strip()
    path, target = folder / written, folder / "out" / "model.h5"
    programs = {
        "convert": [sys.executable, "-m", "modelzoo", "convert", key, str(path), "-o", str(target), "--json"],
        "read": [sys.executable, "-c", READ, str(path)],
    }
    if key == LIKE_MMDNN and options.mmdnn:
        theirs, made = str(folder / "mmdnn.h5"), str(folder / "out" / "mmdnn.h5")
        measuring.whole_process([options.mmdnn, "-c", MMDNN_MODEL, theirs], environment)
        programs["mmdnn"] = [
            options.mmdnn,
            "-c",
            MMDNN,
            *f"-sf keras -iw {theirs} -df keras -om {made}".split(),
        ]

    def run(name: str) -> dict[str, Any]:
        shutil.rmtree(target.parent, ignore_errors=True)
        target.parent.mkdir()
        where = target.parent if name == "mmdnn" else measuring.ROOT  # where it leaves files
        return measuring.whole_process(programs[name], environment, where)

    found = measuring.taking_turns(list(programs), options.rounds, run)
    return {
        "file": f"{registry.info(key).sources[place].format}, {path.name}",
        "bytes": path.stat().st_size,
        **{
            name: {key: [one[key] for one in runs] for key in ("seconds", "mib")}
            for name, runs in found.items()
        },
    }


def text(figures: dict[str, Any]) -> str:
    rows = []
    for key, found in figures["models"].items():
        rows.append(
            [
                f"`{key}`",
                found["file"],
                f"{found['bytes'] / 1e6:,.0f} MB",
                measuring.spread(found["convert"]["seconds"], 1, " s"),
                f"{median(found['convert']['mib']):,.0f}",
                measuring.spread(found["read"]["seconds"], 2, " s"),
            ]
        )
    header = ["model", "file", "size", "`modelzoo convert`", "memory, MiB", "reading it, with sha256"]
    parts = [measuring.table(header, rows), ""]
    like = figures["models"][LIKE_MMDNN]
    if "mmdnn" in like:
        seconds, mib = like["mmdnn"]["seconds"], median(like["mmdnn"]["mib"])
        times = measuring.ratios(seconds, like["convert"]["seconds"])
        parts.append(
            f"- MMdnn 0.3.1 converts a Keras ResNet-50 into Keras in {measuring.spread(seconds, 1, ' s')}, "
            f"{measuring.spread(times)} times as long as ours, with {mib:,.0f} MiB."
        )
    else:
        parts.append("- MMdnn 0.3.1: not measured.")
    return "\n".join(parts)


if __name__ == "__main__":
    main()
