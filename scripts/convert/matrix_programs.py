"""answered(): what runs the file of a cell where export() itself only compares what it holds.

MMdnn runs its intermediate representation, and the original program a checkpoint in its names, each in an
environment of its own. Core ML packages run on Apple's systems only: the tests' interpreter takes its place.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

import numpy as np

from modelzoo import conversion, registry
from modelzoo.backends import numpy as reference
from modelzoo.exporters import FORMATS, Comparison, proof
from modelzoo.exporters.network import Network
from modelzoo.registry import Entry
from modelzoo.tasks import networks
from modelzoo.verification import comparison
from modelzoo.zoo import SYNTHETIC

MMDNN = Path(__file__).parent / "originals" / "mmdnn_run.py"
INTERPRETER = "an interpreter of MIL in float64, of modelzoo's tests"
ORIGINALS = {  # by tag: the module here that runs the original program, its name, and its clone
    "slim": ("slim", "TF-slim", "models/research/slim"),
    "tencent": ("tencent", "Tencent's ML-Images", "tencent-ml-images"),
    "gluon": ("gluon2tf", "gluon2TF", "gluon2TF"),
}
MODULES = {  # of runtimes that have no package of their name: what says the version
    "mxnet": ("MXNet", "mxnet"),
    "caffe": ("OpenCV", "cv2"),
    "darknet": ("OpenCV", "cv2"),
    "tf_checkpoint": ("TensorFlow", "tensorflow"),
}


@dataclass(frozen=True)
class Means:
    """The interpreters of other environments by the format whose files they run, and the folder of clones."""

    pythons: Mapping[str, str] = field(default_factory=dict[str, str])
    clones: Path | None = None

    def to_json(self) -> str:
        return json.dumps([dict(self.pythons), None if self.clones is None else str(self.clones)])

    @classmethod
    def from_json(cls, text: str) -> Means:
        pythons, clones = json.loads(text)
        return cls(pythons, None if clones is None else Path(clones))


@dataclass(frozen=True)
class Answer:
    """What ran a file, and how far its outputs are from the network's.

    interpreted: whether that is a stand-in for the format's own runtime.
    """

    runtime: str
    relative_l2: float
    outputs: int
    interpreted: bool = False


def answered(model: str, format: str, path: Path, means: Means) -> Answer | None:
    """What a program answers with the file of a model in a format; None where none is here.

    Raises ExportError for outputs of other shapes, and CalledProcessError if the program fails.
    """
    return PROGRAMS[format](registry.info(model), path, means) if format in PROGRAMS else None


def version_of(name: str, python: str | None = None) -> str:
    """The program by the key of MODULES and its version, in this environment or in that of an interpreter."""
    title, module = MODULES[name]
    command = [python or sys.executable, "-c", f"import {module}; print({module}.__version__)"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return f"{title} {done.stdout.split()[-1]}"


def _mmdnn(entry: Entry, path: Path, means: Means) -> Answer | None:
    """The network that MMdnn makes of the file, in batches of one and of three."""
    if "ir" not in means.pythons:
        return None
    inputs, outputs = path.with_name("inputs.npz"), path.with_name("outputs.npz")
    with networks.opened(entry.key, SYNTHETIC, FORMATS["ir"]) as (_, network):
        (batch,) = network.samples.batches(network.graph)
        ((name, images),) = batch.items()
        batches = {"one": images[:1], "all": images}
        np.savez(inputs, **batches)  # type: ignore[arg-type]
        words = [means.pythons["ir"], str(MMDNN), str(path.with_suffix("")), str(inputs), str(outputs)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        found, comparisons = dict(np.load(outputs)), list[Comparison]()
        for key, given in batches.items():
            answers = [found[f"{key}/{position}"] for position in range(len(network.graph.outputs))]
            comparisons += _compared(network, {name: given}, answers)
    return _answer(str(found["runtime"]), comparisons)


def _interpreter(entry: Entry, path: Path, means: Means) -> Answer:
    """The package as the tests read it, in a batch of three."""
    from tests import mil

    with networks.opened(entry.key, SYNTHETIC, FORMATS["coreml"]) as (_, network):
        (batch,) = network.samples.batches(network.graph)
        found = mil.outputs(path, batch)
        comparisons = list(_compared(network, batch, [found[name] for name in network.graph.outputs]))
    return replace(_answer(INTERPRETER, comparisons), interpreted=True)


def _original(entry: Entry, path: Path, means: Means) -> Answer | None:
    """The program that has the network, with the checkpoint restored; its logits beside those of ours."""
    if "tf_checkpoint" not in means.pythons or means.clones is None:
        return None
    if conversion.exported_by(entry, "tensorflow") is None or entry.tag not in ORIGINALS:
        return None
    module, program, clone = ORIGINALS[entry.tag]
    command = import_module(f"scripts.convert.{module}").command  # beside Core ML's tools these crash
    inputs, outputs = path.with_name("inputs.npz"), path.with_name("outputs.npz")
    np.savez(inputs, **comparison.inputs(entry))  # type: ignore[arg-type]
    python = means.pythons["tf_checkpoint"]
    arguments = argparse.Namespace(python=python, clone=str(means.clones / clone))
    words = command(arguments, entry, path.with_suffix(""), inputs, outputs)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    figures = comparison.compare(entry, comparison.golden(dict(np.load(outputs))))
    runtime = f"{program} on {version_of('tf_checkpoint', python)}"
    return Answer(runtime, float(figures["logits"]), len(comparison.inputs(entry)))


def _compared(
    network: Network, batch: Mapping[str, np.ndarray], found: list[np.ndarray]
) -> Iterator[Comparison]:
    expected = reference.run(network.graph, network.arrays, batch)
    return proof.compared(network.graph, batch, found, expected)


def _answer(runtime: str, comparisons: list[Comparison]) -> Answer:
    return Answer(runtime, max(found.relative_l2 for found in comparisons), len(comparisons))


Program = Callable[[Entry, Path, Means], Answer | None]
PROGRAMS: dict[str, Program] = {"ir": _mmdnn, "tf_checkpoint": _original, "coreml": _interpreter}
