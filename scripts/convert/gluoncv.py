"""Proves and converts GluonCV's ResNets against GluonCV itself, on MXNet.

    uv venv --python 3.8 /tmp/mxnet
    uv pip install --python /tmp/mxnet/bin/python mxnet==1.9.1 gluoncv==0.10.5.post0 "numpy<1.24"
    python scripts/convert/gluoncv.py --python /tmp/mxnet/bin/python              # all goldens
    python scripts/convert/gluoncv.py --python /tmp/mxnet/bin/python resnet50_v1d \\
        --checkpoint resnet50_v1d-117a384e.params --output hosted/                # one real file
"""

from __future__ import annotations

from pathlib import Path

import common

RUNNER = Path(__file__).parent / "originals" / "gluoncv_run.py"


def command(arguments, entry, checkpoint, inputs, outputs) -> list[str]:
    return [arguments.python, str(RUNNER), entry.name, str(checkpoint), str(inputs), str(outputs)]


if __name__ == "__main__":
    common.main(__doc__.splitlines()[0], "gluon", "checkpoint.params", command)
