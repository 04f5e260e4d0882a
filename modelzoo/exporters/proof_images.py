"""Proof of files that take encoded images: they prepare a photograph as modelzoo does, and name it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from modelzoo.backends import numpy as reference
from modelzoo.errors import ExportError, quoted
from modelzoo.exporters.metadata import Labels
from modelzoo.exporters.network import Network
from modelzoo.exporters.proof import CLEAR, Comparison, Proof, run

LEVELS = 1.0  # of 255, by which a pixel may differ
ROUNDING = 1e-3  # of a level
ENCODED, IMAGES = "image_bytes", "images"
ANSWERS = ("scores", "classes", "ids")


def with_images(proof: Proof, path: Path, runtime: str, network: Network) -> Proof:
    """The proof with what the file makes of a photograph's bytes, alone and with another like it.

    Raises ExportError for pixels that differ by more than a level, and for other names than the network's.
    """
    metadata, samples = network.metadata, network.samples
    if metadata.preprocessing is None or len(network.graph.inputs) != 1 or not samples.encoded:
        return proof
    labels = metadata.labels if metadata.task == "classification" else ()
    one = np.array([samples.encoded], np.bytes_)
    batches = [{ENCODED: one}, {ENCODED: np.concatenate([one, one])}]
    names = [IMAGES, *(ANSWERS if labels else ())]
    alone, together = run(path, runtime, batches, names)
    words = _pixels(together[0], samples.photograph, metadata.preprocessing)
    compared = []
    if labels:
        inputs = dict.fromkeys(network.graph.inputs, alone[0])
        (expected,) = reference.run(network.graph, network.arrays, inputs).values()
        compared = [_answers(found[1:], expected[0], labels) for found in (alone, together)]
    return replace(proof, images=words, comparisons=(*proof.comparisons, *compared))


def _pixels(found: np.ndarray, ours: np.ndarray, facts: Mapping[str, object]) -> str:
    """How the pixels differ, in levels of 255."""
    std = np.asarray(facts["std"], np.float64)
    scale = 255 * (std[::-1] if facts["channels"] == "BGR" else std) / float(str(facts["max_value"]))
    difference = np.abs(found.astype(np.float64) - ours) * scale
    if found.shape[1:] != ours.shape or not difference.max() <= LEVELS + ROUNDING:
        raise ExportError(
            f"Expected the photograph's pixels within {LEVELS:.0f} level of 255, got a difference of "
            f"{difference.max():.2f}. The file is of no use."
        )
    share = (difference > ROUNDING).mean()
    return (
        f"pixels differ from modelzoo's by at most {difference.max():.2g} of 255 levels, {share:.1%} of them "
        f"by more than {ROUNDING}"
    )


def _answers(found: list[np.ndarray], expected: np.ndarray, labels: Labels) -> Comparison:
    """The scores compared with the network's largest values; and its names, where those tell them apart."""
    scores, classes, ids = found
    best = np.argsort(-expected, kind="stable")[: scores.shape[1]]
    difference = scores - expected[best]
    error = float(np.linalg.norm(difference) / np.linalg.norm(np.tile(expected[best], (len(scores), 1))))
    noise, (first, second) = np.sqrt((difference**2).mean()), expected[best][:2]
    names = [(id.decode(), name.decode()) for id, name in zip(ids[:, 0], classes[:, 0], strict=True)]
    same = sum(name == labels[best[0]] for name in names)
    if any(name not in labels for name in names):
        raise ExportError(f"Expected the names of classes, got {quoted(names)}.")
    changed = len(names) - same if first - second > CLEAR * noise else 0
    return Comparison("classify", ((len(scores),),), scores.shape, error, same, changed)
