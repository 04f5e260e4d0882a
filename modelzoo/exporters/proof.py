"""Proof: a file that was written is read back in its own runtime and answers as its network does.

The runtime runs in a process of its own, with bounded memory and time. The network's answers are those of the
reference, modelzoo.backends.numpy: NumPy in float64, of the graph and weights that were exported.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo import files
from modelzoo.backends import numpy as reference
from modelzoo.errors import ExportError, quoted, readable
from modelzoo.exporters.samples import Samples
from modelzoo.graph import Graph
from modelzoo.graph.elementwise import Activation

RUNNER = Path(__file__).with_name("runner.py")
TIMEOUT = 900  # seconds that a file may take to be loaded and to answer
MEMORY = 16 << 30  # bytes of address space that a runtime may have, beside a multiple of the file
PER_BYTE = 8  # of the file
TOLERANCES = {"f32": 1e-5, "f16": 5e-2}  # of the relative L2 error
CLEAR = 6  # times the noise by which a first label must lead to have to stay first
TINY = np.finfo(np.float64).tiny
UNDERFLOW = 1e-30  # below which a probability in float32 says nothing
REFERENCE = "modelzoo's graph in float64, by NumPy"

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """One output, at one size of images and one of batches, compared with the network's own.

    same_labels: in how many images the first label is the same; None for an output that gives none.
    changed: how many of the others the network told apart by more than the noise of the format.
    as_logits: whether what is compared are the logarithms of a softmax's output, less their mean: logits of
        100 that are right to seven digits are probabilities that are right to five. Their sum must be 1, too.
        Logits that are smaller than 1 on average count as if they were 1: probabilities that are much alike.
        Those of probabilities that float32 cannot tell from 0 are left out.
    """

    output: str
    inputs: tuple[tuple[int, ...], ...]  # the shapes
    shape: tuple[int, ...]
    relative_l2: float
    same_labels: int | None = None
    changed: int = 0
    as_logits: bool = False

    def __str__(self) -> str:
        logits = " as logits" if self.as_logits else ""
        line = f'"{self.output}" {self.shape}{logits}: relative L2 {self.relative_l2:.1e}'
        if self.same_labels is None:
            return line
        return f"{line}, first label equal {self.same_labels} of {self.shape[0]}"


@dataclass(frozen=True)
class Proof:
    """What a file answered, beside what its network does.

    checked: where nothing here runs the file, what was read back from it and compared, in words.
    images: where the file prepares images by itself, how its pixels differ from modelzoo's, in words.
    """

    runtime: str
    precision: str
    tolerance: float
    comparisons: tuple[Comparison, ...]
    reference: str = REFERENCE
    checked: str = ""
    images: str = ""

    @property
    def failures(self) -> list[Comparison]:
        """The comparisons that differ by more than they may; also those with values that are not finite."""
        return [c for c in self.comparisons if not c.relative_l2 <= self.tolerance or c.changed]

    @property
    def worst(self) -> float:
        """The largest relative L2 error."""
        return max((comparison.relative_l2 for comparison in self.comparisons), default=0.0)

    def to_json(self) -> str:
        """One line, for the file."""
        return json.dumps(asdict(self))


def prove(
    path: Path,
    runtime: str,
    graph: Graph,
    arrays: Arrays,
    samples: Samples,
    *,
    precision: str = "f32",
    python: str | None = None,
) -> Proof:
    """What a runtime answers with the file, compared; batches of one and of three images.

    `python` is the interpreter of another environment, in which the runtime is.

    Raises ExportError if the runtime cannot load or run the file, or gives other outputs.
    """
    batches = samples.batches(graph)
    given = [part for batch in batches for part in (_first(batch), batch)]
    found = run(path, runtime, given, list(graph.outputs), python)
    comparisons = []
    for batch, (alone, together) in zip(batches, zip(found[::2], found[1::2], strict=True), strict=True):
        expected = reference.run(graph, arrays, batch)
        for inputs, outputs in ((_first(batch), alone), (batch, together)):
            comparisons += compared(graph, inputs, outputs, expected)
    name = f"{runtime} {_version(runtime)}".strip() if python is None else f"{runtime} by {python}"
    return Proof(name, precision, TOLERANCES[precision], tuple(comparisons))


def run(
    path: Path, runtime: str, batches: Sequence[Arrays], names: Sequence[str], python: str | None = None
) -> list[list[np.ndarray]]:
    """The outputs of a file, of these names, for each batch of inputs; from a process of its own."""
    with files.temporary_directory() as folder:
        given, got = folder / "inputs.npz", folder / "outputs.npz"
        keyed = {f"{n}/{name}": array for n, batch in enumerate(batches) for name, array in batch.items()}
        np.savez(given, **keyed)  # type: ignore[arg-type]
        most_bytes = MEMORY + PER_BYTE * sum(map(files.size_of, path.parent.glob(f"{path.stem}*")))
        program = shutil.copy(RUNNER, folder)  # its own folder has modules that are called as runtimes are
        words = (program, runtime, str(path), str(given), str(got), str(most_bytes), json.dumps(names))
        command = [python or sys.executable, *words]
        try:
            done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired as error:
            raise ExportError(f"{runtime} took more than {TIMEOUT} s to answer with the file.") from error
        except OSError as error:
            raise ExportError(f"{readable(command[0])} cannot be started: {error.strerror}.") from error
        if done.returncode:
            raise ExportError(f"{runtime} cannot run the file: {_last_words(done)}.")
        return list(_outputs(got, len(batches)))


def _outputs(path: Path, batches: int) -> Iterator[list[np.ndarray]]:
    with np.load(path) as found:
        for number in range(batches):
            positions = sorted(int(k.partition("/")[2]) for k in found if k.startswith(f"{number}/"))
            yield [found[f"{number}/{position}"] for position in positions]


def _last_words(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return quoted(lines[-1]) if lines else f"it ended with exit code {done.returncode}"


def _first(batch: Arrays) -> Arrays:
    return {name: array[:1] for name, array in batch.items()}


def compared(
    graph: Graph, inputs: Arrays, outputs: Sequence[np.ndarray], expected: Mapping[str, Any]
) -> Iterator[Comparison]:
    """One comparison an output, of those that a runtime gave for the inputs.

    expected: the network's own; it may be of more images, whose first are those.

    Raises ExportError for outputs that are missing or have other shapes.
    """
    if len(outputs) != len(graph.outputs):
        raise ExportError(f"Expected {len(graph.outputs)} outputs of the file, got {len(outputs)}.")
    shapes = tuple(array.shape for array in inputs.values())
    images = len(next(iter(inputs.values())))
    for name, found in zip(graph.outputs, outputs, strict=True):
        ours = np.asarray(expected[name], np.float64)[:images]
        if found.shape != ours.shape:
            raise ExportError(f"Expected {quoted(name)} of shape {ours.shape}, got {found.shape}.")
        found, as_logits = found.astype(np.float64), _is_softmax(graph, name)
        error, least, difference = 0.0, TINY, found - ours
        if as_logits:
            error = float(np.abs(found.sum(axis=-1) - 1).max())
            ours, difference, least = _logits(ours), _difference_of_logits(found, ours), ours.size**0.5
        error = max(error, float(np.linalg.norm(difference) / max(np.linalg.norm(ours), least)))
        same, changed = _labels(found, ours, difference)
        yield Comparison(name, shapes, found.shape, error, same, changed, as_logits)


def _is_softmax(graph: Graph, output: str) -> bool:
    node = graph.node.get(graph.outputs[output])
    return node is not None and node.operator == Activation("softmax")


def _logits(probabilities: np.ndarray) -> np.ndarray:
    """What they are the softmax of, up to a constant."""
    logits = np.log(np.maximum(probabilities, TINY))
    return logits - logits.mean(axis=-1, keepdims=True)


def _difference_of_logits(found: np.ndarray, ours: np.ndarray) -> np.ndarray:
    """By what the logits of two softmaxes differ, up to a constant; 0 where both are below UNDERFLOW.

    It is scaled so that its mean square is that of the others: where six of a thousand probabilities can be
    told apart, as of logits of hundreds, these six say how exact logits are, beside all of the network's.
    """
    told = np.fmax(found, ours) > UNDERFLOW  # also where what was found is not a number
    share = told.mean(axis=-1, keepdims=True)
    difference = np.log(np.maximum(found, UNDERFLOW)) - np.log(np.maximum(ours, TINY))
    mean = difference.mean(axis=-1, keepdims=True, where=told)
    return np.where(told, difference - mean, 0) / np.sqrt(share)


def _labels(found: np.ndarray, ours: np.ndarray, difference: np.ndarray) -> tuple[int | None, int]:
    """In how many images the first label is the same, and how many others were told apart clearly.

    Clearly is by more than the noise, the root of the mean square of what an image's values differ by.
    """
    if ours.ndim != 2 or ours.shape[1] < 2:
        return None, 0
    same = found.argmax(axis=1) == ours.argmax(axis=1)
    second, first = np.sort(ours, axis=1)[:, -2:].T
    noise = np.sqrt((difference**2).mean(axis=1))
    return int(same.sum()), int((~same & (first - second > CLEAR * noise)).sum())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
