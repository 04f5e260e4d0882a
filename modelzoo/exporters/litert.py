"""Graph and arrays -> a .tflite file, by TensorFlow's converter."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from modelzoo import files
from modelzoo.exporters.keras import STAMP, add_text, read_texts
from modelzoo.exporters.metadata import Metadata
from modelzoo.exporters.options import Arrays, Options, Texts
from modelzoo.exporters.saved_model import save
from modelzoo.graph import Graph

LABELS = "labels.txt"  # as TensorFlow Lite's own tools call it, in the archive at the end of the file

__all__ = ["add_text", "read_texts", "write"]


def write(path: Path, graph: Graph, arrays: Arrays, texts: Texts, options: Options) -> None:
    """Writes the file, for batches of any size, in LiteRT's own operators; "f16" keeps weights in float16.

    The names of the classes and the metadata lie in an archive at the file's end, where readers of
    the network do not look. Raises ValueError for what Keras or the converter cannot do.
    """
    path.write_bytes(_converted(graph, arrays, options.precision))
    labels = [name for _, name in Metadata.of(texts).labels]
    if labels:
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(zipfile.ZipInfo(LABELS, STAMP), "\n".join(labels))
    for name, text in texts.items():
        add_text(path, name, text)


def _converted(graph: Graph, arrays: Arrays, precision: str) -> bytes:
    import tensorflow

    tf: Any = tensorflow
    with files.temporary_directory() as folder:
        save(folder, graph, arrays)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
        if precision == "f16":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        try:
            return converter.convert()
        except Exception as error:  # of MLIR, of many lines
            words = str(error).strip().splitlines() or [type(error).__name__]
            raise ValueError(words[-1]) from error
