"""Proves and converts YOLOv2 against OpenCV 4's readNetFromDarknet and Darknet itself.

    uv venv --python 3.11 /tmp/cv4
    uv pip install --python /tmp/cv4/bin/python opencv-python-headless==4.10.0.84
    git clone https://github.com/pjreddie/darknet /tmp/darknet && make -C /tmp/darknet
    python -m scripts.convert.darknet --python /tmp/cv4/bin/python --clone /tmp/darknet

Darknet itself writes the checkpoint, from the synthetic weights and its own cfg; OpenCV computes from both.
Add a model, --checkpoint FILE and --output FOLDER to convert a real file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from modelzoo.registry import Entry
from scripts.convert import common

RUNNER = Path(__file__).parent / "originals" / "darknet_run.py"
CFGS = {"2": "yolov2.cfg"}


def command(
    arguments: argparse.Namespace, entry: Entry, checkpoint: Path, inputs: Path, outputs: Path
) -> list[str]:
    files = [CFGS[entry.graph.variant], str(checkpoint), str(inputs), str(outputs)]
    return [arguments.python, str(RUNNER), arguments.clone, *files]


if __name__ == "__main__":
    clone = ("--clone", "a clone of pjreddie/darknet in which `make` has run")
    common.main(__doc__.splitlines()[0], "darknet", "checkpoint.weights", command, [clone])
