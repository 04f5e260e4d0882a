"""A training's state as one file that appears whole or not at all: safetensors, with facts in the header."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from modelzoo.errors import OutputError, readable
from modelzoo.files import atomic_write

CHECKPOINT = "checkpoint.safetensors"  # the file of a training that has done an epoch
FACTS = "modelzoo"  # the key in the header
OF_HDF5 = re.compile(r"error message = '([^']+)'")


def variables_of(model: keras.Model) -> list[keras.Variable]:
    """All that training changes: weights, moving statistics, states of random layers, the optimizer's."""
    own = [variable for layer in model.layers for variable in layer.variables]
    return [*own, *model.optimizer.variables]


def weights_of(model: keras.Model) -> list[np.ndarray]:
    """The weights, copied."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in model.weights]


def save(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
    *,
    key: str = FACTS,
    what: str = "checkpoint",
) -> None:
    """Writes a checkpoint in place of the last; raises OutputError, and the last one stays.

    key: of the facts in the header. what: the file is, for the error.
    """
    from safetensors.numpy import save_file

    try:
        with atomic_write(path) as temporary:
            save_file(dict(arrays), temporary, {key: json.dumps(facts)})
    except Exception as error:  # safetensors has errors of its own for a full disk
        if not isinstance(error, OSError) and type(error).__name__ != "SafetensorError":
            raise
        raise OutputError(
            f"The {what} {readable(os.fspath(path))} cannot be written ({reason(error)}): "
            "free some space there and rerun the same command to resume."
        ) from error


def reason(error: Exception) -> str:
    """What the system says of a file, without the rest that libraries say."""
    said = (isinstance(error, OSError) and error.strerror) or str(error)
    found = OF_HDF5.search(said)
    return readable(found[1] if found else said)


def load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """What save() wrote; None where there is nothing."""
    from safetensors import safe_open

    if not path.is_file():
        return None
    with safe_open(path, "numpy") as file:
        facts = json.loads((file.metadata() or {})[FACTS])
        return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118


def numbered(arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{place:05}": array for place, array in enumerate(arrays)}


def assign(variables: Sequence[keras.Variable], arrays: Mapping[str, np.ndarray]) -> None:
    """Gives variables the values of numbered()."""
    for place, variable in enumerate(variables):
        variable.assign(arrays[f"{place:05}"])
