"""Whether a model folder still answers as it did where it was saved: the checks that verify() runs on it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from modelzoo import zoo
from modelzoo.errors import ModelZooError
from modelzoo.registry import FolderEntry
from modelzoo.store import check_folder, probes
from modelzoo.verification.comparison import TOLERANCE, relative

Verdict = tuple[str, bool | None, str]  # of a check: its name, whether it passed, and the figures


def checks(entry: FolderEntry) -> Iterator[Verdict]:
    """The weight file by its sha256, then each answer that was stored, one after the other."""
    try:
        check_folder(entry)
    except ModelZooError as error:
        yield "weights", False, str(error)
        return
    yield "weights", True, f"sha256 {entry.file.sha256}, as its model.json states"
    if not entry.answers:
        yield "stored answers", None, "none are in its model.json"
        return
    try:
        yield from _answers(entry)
    except (ModelZooError, ValueError) as error:
        yield "stored answers", False, str(error)


def _answers(entry: FolderEntry) -> Iterator[Verdict]:
    import keras

    images = probes.inputs(entry.preprocessing)
    model = zoo.load(entry.reference, dtype="float32")
    for answer in entry.answers:
        name = f"stored answer to {answer.image}"
        if answer.image not in images:
            yield name, None, f"this version has no such image, only {', '.join(images)}"
            continue
        output = np.asarray(keras.ops.convert_to_numpy(model(images[answer.image], training=False)))[0]
        expected = np.array(answer.outputs)
        error = relative(output, expected) if np.any(expected) else math.inf
        largest = float(np.abs(output - expected).max())
        detail = (
            f"relative L2 error {error:.1e}, off by {largest:.1e} at most; up to {TOLERANCE:.0e} is rounding"
        )
        yield name, bool(error <= TOLERANCE), detail
