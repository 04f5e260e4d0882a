"""Graph and arrays -> a TensorFlow checkpoint, V2: weights by names; the network itself is the program's.

It is written without TensorFlow, in the names of the program that has the network, or else in ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.errors import ExportError, quoted
from modelzoo.exporters import beside
from modelzoo.exporters.options import Arrays, Options, Texts
from modelzoo.exporters.upstream import named_by, stored_arrays
from modelzoo.formats import write_tensorflow_checkpoint
from modelzoo.graph import Graph


def write(path: Path, graph: Graph, arrays: Arrays, texts: Texts, options: Options) -> None:
    """Writes PREFIX.index, which is `path`, the data beside it, and the texts; one array at a time.

    Raises ValueError for an array that is missing or has another shape.
    """
    write_tensorflow_checkpoint(path.with_suffix(""), stored_arrays(graph, arrays, options))
    beside.write(_texts(path), texts)


def add_text(path: Path, name: str, text: str) -> None:
    """Adds a text to the metadata."""
    beside.add(_texts(path), name, text)


def read_texts(path: Path) -> dict[str, str]:
    """The metadata. Raises OSError, and ValueError for what is none."""
    return beside.read(_texts(path))


def check(path: Path, graph: Graph, arrays: Arrays, options: Options) -> str:
    """What TensorFlow's own reader gave, in words. Raises ExportError if a variable differs in a bit."""
    import tensorflow

    tf: Any = tensorflow
    reader = tf.train.load_checkpoint(str(path.with_suffix("")))
    expected = stored_arrays(graph, arrays, options)
    if reader.get_variable_to_shape_map().keys() != set(expected):
        raise ExportError(f"TensorFlow reads other variables from the file than the {len(expected)} written.")
    for name in expected:
        if not np.array_equal(reader.get_tensor(name), expected[name]):
            raise ExportError(f"TensorFlow reads other values of {quoted(name)} than were written.")
    by = f"TensorFlow {tf.__version__} reads"
    return f"{by} {len(expected):,} variables, bit-identical, in {named_by(options)}"


def _texts(path: Path) -> Path:
    return path.with_suffix(beside.ENDING)
