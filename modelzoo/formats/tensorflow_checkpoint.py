"""TensorFlow checkpoints: V1 is one file; V2 is PREFIX.index and PREFIX.data-00000-of-0000N; frozen graphs.

They are read without TensorFlow, whose own reader ends the process at some damaged files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from modelzoo.errors import ConversionError
from modelzoo.formats.checkpoint_files import (
    checkpoint_prefix,
    is_tensorflow_checkpoint,
    require_whole_checkpoint,
)
from modelzoo.formats.checkpoint_v1 import SavedSlices
from modelzoo.formats.checkpoint_v2 import Bundle, write_bundle
from modelzoo.formats.frozen_graph import FrozenGraph, is_frozen_graph
from modelzoo.formats.tensors import Tensors, as_conversion_error

__all__ = [
    "is_tensorflow",
    "is_tensorflow_checkpoint",
    "read_tensorflow_checkpoint",
    "write_tensorflow_checkpoint",
]

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"  # what tf.train.Checkpoint, tf.saved_model and Keras add


def read_tensorflow_checkpoint(path: Path) -> Tensors:
    """The variables of a checkpoint, V1 or V2, or of a frozen graph.

    `path` is the checkpoint's prefix, any of its files, a folder, or the graph's file. In a folder, the file
    named `checkpoint` decides; without it, there must be exactly one checkpoint there or one level below.
    """
    path = Path(path)
    if is_frozen_graph(path):
        return FrozenGraph(path)
    prefix = checkpoint_prefix(path)
    table = require_whole_checkpoint(prefix)
    with as_conversion_error(f"The TensorFlow checkpoint {prefix} cannot be opened"):
        tensors = SavedSlices(prefix) if table == prefix else Bundle(prefix, table)
    if OBJECT_GRAPH in tensors:
        tensors.close()
        raise ConversionError(
            f"{prefix} is a checkpoint of TensorFlow 2's objects, which names variables by their place in a "
            "program and not by their names. Load it into its model in Keras, and write "
            "model.save('model.h5')."
        )
    return tensors


def is_tensorflow(path: Path) -> bool:
    """Whether `path` is a checkpoint, by its prefix, one of its files or its folder, or a frozen graph."""
    return is_tensorflow_checkpoint(path) or is_frozen_graph(path)


def write_tensorflow_checkpoint(path: Path, arrays: Mapping[str, np.ndarray]) -> list[Path]:
    """Writes a V2 checkpoint of which `path` is the prefix; returns its data file and its index.

    The order of the arrays does not matter: the bytes are those that TensorFlow 2 writes for names in sorted
    order. Raises ConversionError for a name or dtype that a checkpoint cannot have.
    """
    return write_bundle(Path(path), arrays)
