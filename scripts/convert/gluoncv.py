"""Proves and converts GluonCV's ResNets against GluonCV itself, on MXNet.

    uv venv --python 3.8 /tmp/mxnet
    uv pip install --python /tmp/mxnet/bin/python mxnet==1.9.1 gluoncv==0.10.5.post0 "numpy<1.24"
    python -m scripts.convert.gluoncv --python /tmp/mxnet/bin/python              # all goldens
    python -m scripts.convert.gluoncv --python /tmp/mxnet/bin/python resnet50_v1d \\
        --checkpoint resnet50_v1d-117a384e.params --output hosted/                # one real file
"""

from __future__ import annotations

import argparse
from pathlib import Path

from modelzoo.registry import Entry
from scripts.convert import common

RUNNER = Path(__file__).parent / "originals" / "gluoncv_run.py"


def command(
    arguments: argparse.Namespace, entry: Entry, checkpoint: Path, inputs: Path, outputs: Path
) -> list[str]:
    return [arguments.python, str(RUNNER), entry.name, str(checkpoint), str(inputs), str(outputs)]


if __name__ == "__main__":
    common.main(__doc__.splitlines()[0], "gluon", "checkpoint.params", command)
