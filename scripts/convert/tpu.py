"""Proves EfficientNet-Lite against its authors' own program, on TensorFlow 2.21.

    uv venv --python 3.11 /tmp/tf1
    uv pip install --python /tmp/tf1/bin/python tensorflow==2.21.0 tf_keras six
    python -m scripts.convert.tpu --python /tmp/tf1/bin/python --clone models/official/efficientnet

The program gets the synthetic weights under its own names; what it computes is compared with our network,
and the checkpoint that it writes, with its moving averages, must convert to the very same weights. The
goldens are those of the program for PyTorch (scripts/convert/pytorch.py).
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from modelzoo import registry
from modelzoo.conversion import CONVERTERS
from modelzoo.verification import comparison
from scripts.convert import common
from scripts.convert.round_trip import check_round_trip

RUNNER = Path(__file__).parent / "originals" / "tpu_run.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="registry names; default: all of the tag tpu")
    parser.add_argument("--python", required=True, help="interpreter of the original's environment")
    parser.add_argument("--clone", required=True, help="models/official/efficientnet of tensorflow/tpu")
    arguments = parser.parse_args()
    print(common.HEADER)
    for name in arguments.models or registry.list_models(tag="tpu"):
        with tempfile.TemporaryDirectory() as folder:
            prove(registry.info(name), Path(folder), arguments)


def prove(entry: registry.Entry, folder: Path, arguments: argparse.Namespace) -> None:
    inputs, outputs, weights = (folder / f"{name}.npz" for name in ("inputs", "outputs", "weights"))
    np.savez(inputs, **comparison.inputs(entry))
    arrays, converter = comparison.synthetic_weights(entry), CONVERTERS["efficientnet_lite"]
    np.savez(weights, **converter.upstream_arrays(entry.graph.variant, arrays))
    model, checkpoint = entry.name.replace("_", "-"), folder / "model.ckpt"
    line = [arguments.python, str(RUNNER), arguments.clone, model, str(checkpoint), str(inputs), str(outputs)]
    subprocess.run([*line, "--weights", str(weights)], check=True, stdout=subprocess.DEVNULL)
    check_round_trip(entry, checkpoint, folder / "converted.h5")
    figures = comparison.compare(entry, comparison.golden(dict(np.load(outputs))))
    print(common.row(entry, figures, program="tensorflow/tpu on TF 2.21"), flush=True)


if __name__ == "__main__":
    main()
