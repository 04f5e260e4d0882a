"""The original program of an entry, and what it computes with the synthetic weights.

Most originals were run once, by scripts/convert/, and left a golden under goldens/ (comparison.py says what
it keeps). keras.applications, which Keras brings along, is run each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.registry import Entry
from modelzoo.verification import comparison, keras_originals

GOLDENS = Path(str(resources.files("modelzoo") / "verification" / "goldens"))
PROGRAMS = {  # by the entries' tag
    "darknet": "readNetFromDarknet, OpenCV 4.10",
    "gluon": "gluoncv 0.10.5 on mxnet 1.9.1",
    "modelzoo": "modelzoo 0.1 itself",
    "slim": "research/slim nets, tf_slim 1.1, TF 2.21",
    "torchvision": "torchvision 0.29 on torch 2.15",
    "tpu": "efficientnet-lite-pytorch 0.1.0 on torch 2.15",
    "tencent": "tencent-ml-images models/resnet.py, TF 2.21",
}


def program(entry: Entry) -> str:
    """What the entry's original is called."""
    if keras_originals.has(entry):
        return "keras.applications"
    return PROGRAMS.get(entry.tag, f"the original program of {entry.tag}")


def is_known(entry: Entry) -> bool:
    """Whether the original program's outputs are known; of a model of the user's own they are not."""
    return keras_originals.has(entry) or golden_path(entry).is_file()


def outputs(entry: Entry) -> dict[str, np.ndarray]:
    """The original program's outputs on comparison.inputs(entry), as a golden keeps them."""
    if keras_originals.has(entry):
        return comparison.golden(keras_originals.outputs(entry, comparison.inputs(entry)))
    with np.load(golden_path(entry)) as file:
        return dict(file)


def write_golden(entry: Entry, outputs: Mapping[str, np.ndarray]) -> None:
    """Keeps what the original program computed, {"input/map": array}, as the entry's golden."""
    arrays: dict[str, Any] = dict(comparison.golden(outputs))
    np.savez_compressed(golden_path(entry), **arrays)


def golden_path(entry: Entry) -> Path:
    """Where the entry's golden is, or would be."""
    return GOLDENS / f"{entry.key}.npz"
