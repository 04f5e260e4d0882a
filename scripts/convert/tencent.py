"""Proves and converts Tencent's ML-Images ResNets against Tencent's own models/resnet.py.

    uv venv --python 3.11 /tmp/tf1
    uv pip install --python /tmp/tf1/bin/python tensorflow==2.21.0 tf_keras
    git clone https://github.com/Tencent/tencent-ml-images /tmp/tencent-ml-images
    python -m scripts.convert.tencent --python /tmp/tf1/bin/python --clone /tmp/tencent-ml-images

Add a model, --checkpoint PREFIX and --output FOLDER to convert a real file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from modelzoo.registry import Entry
from scripts.convert import common

RUNNER = Path(__file__).parent / "originals" / "tencent_run.py"


def command(
    arguments: argparse.Namespace, entry: Entry, checkpoint: Path, inputs: Path, outputs: Path
) -> list[str]:
    size = entry.graph.variant.removeprefix("tencent_")
    files = [str(checkpoint), str(inputs), str(outputs)]
    return [arguments.python, str(RUNNER), arguments.clone, size, str(entry.graph.classes), *files]


if __name__ == "__main__":
    clone = ("--clone", "a clone of Tencent/tencent-ml-images")
    common.main(__doc__.splitlines()[0], "tencent", "checkpoint.ckpt", command, [clone])
