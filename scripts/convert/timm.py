"""Proves the Hugging Face hub's copies of GluonCV's networks against timm itself, on PyTorch.

    uv venv --python 3.11 /tmp/timm && uv pip install --python /tmp/timm/bin/python torch timm safetensors
    python -m scripts.convert.timm --python /tmp/timm/bin/python

For each model timm gets the synthetic weights under its own names; what it computes is compared with our
network, and the file that it writes must convert to the very same weights. The goldens are GluonCV's.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from modelzoo import conversion, registry
from modelzoo.verification import comparison
from scripts.convert import common
from scripts.convert.round_trip import check_round_trip

RUNNER = Path(__file__).parent / "originals" / "timm_run.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="registry names; default: all of the tag gluon")
    parser.add_argument("--python", required=True, help="interpreter of timm's environment")
    arguments = parser.parse_args()
    print(common.HEADER)
    for name in arguments.models or registry.list_models(tag="gluon"):
        with tempfile.TemporaryDirectory() as folder:
            prove(registry.info(name), Path(folder), arguments.python)


def prove(entry: registry.Entry, folder: Path, python: str) -> None:
    checkpoint, inputs, outputs = (folder / n for n in ("model.safetensors", "inputs.npz", "outputs.npz"))
    np.savez(inputs, **comparison.inputs(entry))
    arrays = comparison.synthetic_weights(entry)
    upstream = conversion.CONVERTERS["timm"].upstream_arrays(entry.graph.variant, arrays)
    np.savez(folder / "weights.npz", **upstream)
    url = entry.sources[-1].urls[0]  # https://huggingface.co/timm/NAME/resolve/...
    line = [python, str(RUNNER), url.split("/")[4], str(checkpoint), str(inputs), str(outputs)]
    subprocess.run([*line, "--weights", str(folder / "weights.npz")], check=True, stdout=subprocess.DEVNULL)
    check_round_trip(entry, checkpoint, folder / "converted.h5")
    figures = comparison.compare(entry, comparison.golden(dict(np.load(outputs))))
    print(common.row(entry, figures, program="timm on torch"), flush=True)


if __name__ == "__main__":
    main()
