"""What the conversion scripts share: an upstream checkpoint, the original program and our network, compared.

Each script does one of three things for each model:

- without --checkpoint: the synthetic weights are poured into the original program through the inverse
  name map; the original writes a checkpoint in its own format, loads it, and its outputs become
  modelzoo/verification/goldens/MODEL.npz. Our converter must get the same arrays back from that checkpoint.
- with --checkpoint: the upstream's file is converted, both programs run on it, and OUTPUT/MODEL.h5 is
  written with a provenance that states how closely they agree.
- with --export: the original reads the file that `modelzoo export` writes of the synthetic weights in its
  format, and is compared with our network.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import modelzoo
from modelzoo import conversion, registry
from modelzoo.registry import Entry
from modelzoo.verification import comparison, originals
from scripts.convert.round_trip import check_round_trip
from tests.parity import HEADER, row

EXPORTED = {"checkpoint.ckpt": "checkpoint.ckpt.index"}  # the file by which export() names a checkpoint
Command = Callable[[argparse.Namespace, Entry, Path, Path, Path], list[str]]


def main(
    description: str,
    tag: str,
    checkpoint_name: str,
    command: Command,
    options: Sequence[tuple[str, str]] = (),
    *,
    through: str | None = None,
) -> None:
    """`command` gives the original's command line for an entry, checkpoint, inputs and outputs.

    `options` are more options, all required, each with its help. With `through` the files are always those
    that we export, from one of that name that we exported before.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("models", nargs="*", help=f"registry names; default: all of the tag {tag}")
    parser.add_argument("--python", required=True, help="interpreter of the original's environment")
    parser.add_argument("--checkpoint", type=Path, help="the upstream's file of the one model named")
    parser.add_argument("--output", type=Path, help="folder for the converted file, with --checkpoint")
    help_ = "the original reads what `modelzoo export` writes"
    parser.add_argument("--export", action="store_true", default=through is not None, help=help_)
    parser.set_defaults(through=through)
    for option, help_ in options:
        parser.add_argument(option, required=True, help=help_)
    arguments = parser.parse_args()
    if arguments.checkpoint and arguments.export:
        parser.error("--checkpoint goes without --export")
    if arguments.checkpoint and (len(arguments.models) != 1 or not arguments.output):
        parser.error("--checkpoint goes with one model and --output")

    print(HEADER)
    for name in arguments.models or registry.list_models(tag=tag):
        with tempfile.TemporaryDirectory() as folder:
            _prove(registry.info(name), Path(folder), checkpoint_name, command, arguments)


def _prove(
    entry: Entry, folder: Path, checkpoint_name: str, command: Command, arguments: argparse.Namespace
) -> None:
    inputs, outputs = folder / "inputs.npz", folder / "outputs.npz"
    np.savez(inputs, **comparison.inputs(entry))
    checkpoint = arguments.checkpoint or folder / checkpoint_name
    line = command(arguments, entry, checkpoint, inputs, outputs)
    if arguments.export:
        weights = "synthetic"
        for name in filter(None, (arguments.through, checkpoint_name)):
            weights = modelzoo.export(entry.key, folder / EXPORTED.get(name, name), weights=weights).path
    elif not arguments.checkpoint:
        arrays = _upstream_arrays(entry)
        np.savez(folder / "weights.npz", **arrays)
        line += ["--weights", str(folder / "weights.npz")]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, stderr=None)
    original = dict(np.load(outputs))
    if arguments.export:
        print(
            row(entry, comparison.compare(entry, comparison.golden(original))),
            _beside_golden(entry, original),
        )
        return
    if arguments.checkpoint:
        _publish(entry, checkpoint, original, arguments.output)
        return
    originals.write_golden(entry, original)
    if entry.sources:
        for written in sorted(folder.glob("checkpoint*.params")) or [checkpoint]:
            check_round_trip(entry, written, folder / "converted.h5")
    print(row(entry, comparison.compare(entry, originals.outputs(entry))), flush=True)


def _beside_golden(entry: Entry, original: dict[str, np.ndarray]) -> str:
    """How far the logits are from those that the program of the golden gave."""
    kept = originals.outputs(entry)
    errors = [
        np.linalg.norm(original[name].astype(np.float64) - array) / np.linalg.norm(array)
        for name, array in kept.items()
        if name.endswith("/logits")
    ]
    return f"{max(errors):.1e} from the logits of {originals.program(entry)}"


def _upstream_arrays(entry: Entry) -> dict[str, np.ndarray]:
    """The synthetic weights under the upstream's names and in its layout."""
    converter = entry.sources[0].converter if entry.sources else entry.tag  # Tencent's depths without a file
    arrays = comparison.synthetic_weights(entry)
    return conversion.CONVERTERS[converter].upstream_arrays(entry.graph.variant, arrays)


def _publish(entry: Entry, checkpoint: Path, original: dict[str, np.ndarray], output: Path) -> None:
    target = output / f"{entry.key}.h5"
    conversion.convert(entry, checkpoint, target, official=True)
    figures = comparison.compare(entry, comparison.golden(original), weights=target)
    conversion.convert(entry, checkpoint, target, official=True, parity=figures)
    print(row(entry, figures), target, flush=True)
