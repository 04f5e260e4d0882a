"""A fine-tuning as the tensors that it changed: a small file that makes the folder again, bit by bit."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelzoo import labels as label_sets
from modelzoo import registry, store
from modelzoo.backends import keras_values
from modelzoo.errors import WeightsMismatch, readable
from modelzoo.registry import FolderEntry, Label, Licenses, Preprocessing
from modelzoo.registry.dataclass_json import build as build_dataclass
from modelzoo.store import PRETRAINED
from modelzoo.training import checkpoints
from modelzoo.training.network import LOGITS, Base, build, with_probabilities

if TYPE_CHECKING:
    import keras

FACTS = "modelzoo-delta"  # the key in the header
PARTS = ("preprocessing", "licenses")


def write(path: Path, base: Base, folder: Path, model: keras.Model) -> None:
    """Writes the tensors of the model, saved as `folder`, that are not the base's; raises OutputError."""
    found = registry.info(folder)
    before = _arrays(build(base, found.graph.classes, 0.0))
    changed, kept = {}, []
    for name, array in _arrays(model).items():
        same = name in before and not name.startswith(f"{LOGITS}/") and np.array_equal(before[name], array)
        if same:
            kept.append(name)
        else:
            changed[name] = array
    facts = {
        "base": os.fspath(base.entry.reference),
        "size": base.side,
        "classes": found.graph.classes,
        "unchanged": _digest(before[name] for name in kept),
        "labels": [dataclasses.asdict(label) for label in label_sets.of(found)],
        **{name: dataclasses.asdict(getattr(found, name)) for name in PARTS},
        "metrics": [dataclasses.asdict(metric) for metric in found.metrics],
        "note": found.note,
    }
    checkpoints.save(path, changed, facts, key=FACTS, what="delta")


def apply_delta(
    delta: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = PRETRAINED,
) -> FolderEntry:
    """The model folder `output`, of a file that finetune(delta_file=True) wrote, and of its base's weights.

    weights: of the base, as in modelzoo.load. Raises WeightsMismatch for others, or another file.
    """
    tensors, facts = _read(Path(delta))
    base = Base(facts["base"], weights, facts["size"])
    model = build(base, facts["classes"], 0.0)
    arrays = _arrays(model)
    if _digest(array for name, array in arrays.items() if name not in tensors) != facts["unchanged"]:
        raise WeightsMismatch(
            f"{readable(str(delta))} is of other weights of {facts['base']}: give those that were fine-tuned."
        )
    for path, variable in keras_values.by_path(model):
        if path in tensors:
            variable.assign(tensors[path])
    return store.save(
        with_probabilities(model),
        output,
        base=base.model,
        labels=[build_dataclass(Label, label, "labels") for label in facts["labels"]],
        preprocessing=build_dataclass(Preprocessing, facts["preprocessing"], "preprocessing"),
        license=build_dataclass(Licenses, facts["licenses"], "licenses"),
        metrics=facts["metrics"],
        note=facts["note"],
    )


def _arrays(model: keras.Model) -> dict[str, np.ndarray]:
    """The weights by path."""
    import keras

    return {
        path: np.array(keras.ops.convert_to_numpy(variable)) for path, variable in keras_values.by_path(model)
    }


def _digest(arrays: Iterable[np.ndarray]) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The tensors and the facts; raises WeightsMismatch for a file of another kind."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            facts = json.loads((file.metadata() or {})[FACTS])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise WeightsMismatch(
            f"{readable(str(path))} is no delta: `modelzoo finetune --delta` writes one."
        ) from error
