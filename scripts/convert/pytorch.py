"""Proves EfficientNet-Lite and torchvision's networks against the PyTorch programs that have their weights.

    uv venv --python 3.11 /tmp/torch
    uv pip install --python /tmp/torch/bin/python torch torchvision efficientnet-lite-pytorch==0.1.0 numpy
    python -m scripts.convert.pytorch --python /tmp/torch/bin/python

Each program gets the synthetic weights under its own names and computes the golden; the state dicts that
torch then writes, in both of its formats, must convert to the very same weights. `--weights FILE` compares a
network and its program on a real state dict of the one model named, and writes nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from modelzoo import registry
from modelzoo import weights as weight_files
from modelzoo.conversion import CONVERTERS, weight_shapes
from modelzoo.conversion.converter import Converter
from modelzoo.conversion.reading import open_tensors
from modelzoo.formats import FORMATS
from modelzoo.registry import Entry
from modelzoo.verification import comparison, originals
from scripts.convert import common

RUNNER = Path(__file__).parent / "originals" / "pytorch_run.py"
TAGS = {
    "torchvision": "torchvision",
    "tpu": "efficientnet_lite.torch",
}  # and the converters of their state dicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "models", nargs="*", help=f"registry names; default: all of the tags {', '.join(TAGS)}"
    )
    parser.add_argument("--python", required=True, help="interpreter of torch's environment")
    parser.add_argument("--weights", type=Path, help="a state dict of the one model named")
    arguments = parser.parse_args()
    if arguments.weights and len(arguments.models) != 1:
        parser.error("--weights goes with one model")
    print(common.HEADER)
    for name in arguments.models or [name for tag in TAGS for name in registry.list_models(tag=tag)]:
        with tempfile.TemporaryDirectory() as folder:
            entry = registry.info(name)
            if arguments.weights:
                compare(entry, Path(folder), arguments.python, arguments.weights)
            else:
                prove(entry, Path(folder), arguments.python)


def prove(entry: Entry, folder: Path, python: str) -> None:
    """Writes the golden, and compares what comes back from both of torch's formats."""
    arrays = comparison.synthetic_weights(entry)
    converter = CONVERTERS[TAGS[entry.tag]]
    poured = folder / "weights.pth"
    FORMATS["torch"].write(poured, converter.upstream_arrays(entry.graph.variant, arrays))
    originals.write_golden(entry, run(entry, folder, python, poured))
    for written in (folder / "zip.pth", folder / "legacy.pth"):
        for path, array in converted(entry, converter, written).items():
            if not np.array_equal(array, arrays[path]):
                raise SystemExit(f"{entry.key}: {path} came back from {written.name} with other values.")
    print(common.row(entry, comparison.compare(entry, originals.outputs(entry))), flush=True)


def compare(entry: Entry, folder: Path, python: str, weights: Path) -> None:
    """Prints how far the network and the program are apart with the real weights."""
    target = folder / "converted.h5"
    weight_files.write(target, converted(entry, CONVERTERS[TAGS[entry.tag]], weights).items(), {})
    outputs = comparison.golden(run(entry, folder, python, weights))
    print(common.row(entry, comparison.compare(entry, outputs, weights=target)), flush=True)


def run(entry: Entry, folder: Path, python: str, weights: Path) -> dict[str, np.ndarray]:
    """What the program computes with a state dict; it also writes zip.pth and legacy.pth into the folder."""
    inputs, outputs = folder / "inputs.npz", folder / "outputs.npz"
    np.savez(inputs, **comparison.inputs(entry))
    line = [python, str(RUNNER), entry.name, str(weights), str(inputs), str(outputs)]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    return dict(np.load(outputs))


def converted(entry: Entry, converter: Converter, path: Path) -> Mapping[str, np.ndarray]:
    """Our weights by path, of a state dict: also of an entry that has no such source."""
    with open_tensors(converter, "torch", entry.graph.variant, path) as tensors:
        pairs = converter.pair(entry.graph.variant, weight_shapes(entry), tensors)
        return dict(converter.arrays(pairs, tensors))


if __name__ == "__main__":
    main()
