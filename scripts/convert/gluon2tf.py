"""gluon2TF's round trip: GluonCV's .params -> our TensorFlow checkpoint -> gluon2TF's own graph, compared.

uv venv --python 3.11 /tmp/slim
uv pip install --python /tmp/slim/bin/python tensorflow==2.21.0 tf_keras tf_slim==1.1.0
git clone https://github.com/yangJirui/gluon2TF /tmp/gluon2TF
python -m scripts.convert.gluon2tf --python /tmp/slim/bin/python --clone /tmp/gluon2TF resnet101_v1d
"""

from __future__ import annotations

import argparse
from pathlib import Path

from modelzoo.registry import Entry
from scripts.convert import common

RUNNER = Path(__file__).parent / "originals" / "gluon2tf_run.py"


def command(
    arguments: argparse.Namespace, entry: Entry, checkpoint: Path, inputs: Path, outputs: Path
) -> list[str]:
    files = [str(checkpoint), str(inputs), str(outputs)]
    return [arguments.python, str(RUNNER), arguments.clone, entry.name, *files]


if __name__ == "__main__":
    clone = ("--clone", "a clone of yangJirui/gluon2TF")
    common.main(
        __doc__.splitlines()[0], "gluon", "checkpoint.ckpt", command, [clone], through="weights.params"
    )
