"""TensorFlow checkpoints: V1 is one file; V2 is PREFIX.index and PREFIX.data-00000-of-0000N."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.conversion.readers.common import (
    TensorInfo,
    Tensors,
    as_conversion_error,
    files_in,
    only_file,
    visible_in,
)
from modelzoo.errors import ConversionError, some

# Both kinds of table end with this number (tensorflow/core/lib/io/format.h, kTableMagicNumber).
TABLE_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
PATTERN_CHARACTERS = set("*?[\\")  # load_checkpoint() has no way to escape them
CHECKPOINT_PART = re.compile(r"(?<=.)\.(index|meta|data-\d{5}-of-\d{5})$")
CHECKPOINT_STATE = re.compile(r'^\s*model_checkpoint_path:\s*"([^"]*)"', re.MULTILINE)


def open_tensorflow_checkpoint(path: Path) -> Tensors:
    """The variables of a checkpoint, V1 or V2.

    `path` is the checkpoint's prefix, any of its files, or a folder. In a folder, the file named
    `checkpoint` decides; without it, there must be exactly one checkpoint there or one level below.
    """
    prefix = _checkpoint_prefix(Path(path))
    _require_whole_checkpoint(prefix)
    return _TensorFlowTensors(prefix)


class _TensorFlowTensors(Tensors):
    def __init__(self, prefix: Path):
        import tensorflow as tf

        with as_conversion_error(f"The TensorFlow checkpoint {prefix} cannot be opened"):
            self._reader: Any = tf.train.load_checkpoint(prefix.as_posix())
            dtypes = self._reader.get_variable_to_dtype_map()
            shapes = self._reader.get_variable_to_shape_map()
        super().__init__(
            prefix,
            {name: TensorInfo(tuple(shapes[name]), _native(dtypes[name])) for name in sorted(shapes)},
        )

    def _read(self, name: str) -> np.ndarray:
        if self._reader is None:
            raise ConversionError(f"{self.path} is closed; read its tensors inside the `with` statement.")
        with as_conversion_error(f"Tensor {name!r} of {self.path} cannot be read"):
            return np.asarray(self._reader.get_tensor(name), dtype=self[name].dtype)

    def close(self) -> None:
        self._reader = None


def _native(dtype: Any) -> np.dtype:
    """The NumPy dtype of a TensorFlow one; bfloat16 and its like, which NumPy has not, become float32."""
    native = np.dtype(dtype.as_numpy_dtype)
    return np.dtype(np.float32) if native.isbuiltin == 2 else native


def _with_ending(prefix: Path, ending: str) -> Path:
    return prefix.with_name(prefix.name + ending)


def _checkpoint_prefix(path: Path) -> Path:
    if not path.is_dir():
        return path.with_name(CHECKPOINT_PART.sub("", path.name))
    return only_file(path, "TensorFlow checkpoint", _checkpoints_in)


def _checkpoints_in(folder: Path) -> list[Path]:
    """The prefixes of the checkpoints that lie in a folder, or the one that its state file names."""
    state = folder / "checkpoint"
    if state.is_file():
        found = CHECKPOINT_STATE.search(state.read_text("utf-8", errors="replace"))
        if found:  # the folder may have moved since, also from Windows: only the base name holds
            return [folder / re.split(r"[/\\]", found.group(1))[-1]]
    files = [file for file in visible_in(folder) if file.is_file()]
    prefixes = {
        file.with_name(CHECKPOINT_PART.sub("", file.name))
        for file in files
        if file.suffix in (".ckpt", ".index") or ".data-" in file.suffix or _ends_as_table(file)
    }
    return sorted(prefixes)


def _ends_as_table(file: Path) -> bool:
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - len(TABLE_MAGIC)))
        return stream.read() == TABLE_MAGIC


def _require_whole_checkpoint(prefix: Path) -> None:
    """Find what is wrong before TensorFlow does, whose messages name neither file nor remedy."""
    if set(prefix.as_posix()) & PATTERN_CHARACTERS:
        raise ConversionError(
            f"TensorFlow takes the path {prefix} for a pattern: rename what contains * ? [ or a backslash."
        )
    index, shards = _with_ending(prefix, ".index"), _shards(prefix)
    if index.is_file():
        table = index
        _require_shards(prefix, shards)
    elif prefix.is_file():
        table = prefix
    elif shards:
        raise ConversionError(f"The TensorFlow checkpoint {prefix} has data files but no {index.name}.")
    else:
        raise ConversionError(
            f"There is no TensorFlow checkpoint {prefix}: neither that file nor {index.name} exists."
        )
    if not _ends_as_table(table):
        raise ConversionError(
            f"{table} does not end as a TensorFlow checkpoint does: it is cut off, or another kind of file."
        )


def _shards(prefix: Path) -> list[Path]:
    if not prefix.parent.is_dir():
        return []
    name = re.compile(re.escape(prefix.name) + r"\.data-\d{5}-of-\d{5}")
    return [file for file in prefix.parent.iterdir() if name.fullmatch(file.name)]


def _require_shards(prefix: Path, shards: list[Path]) -> None:
    present = {file.name for file in shards}
    totals = {int(file.name[-5:]) for file in shards} or {1}
    missing: list[str] = []
    for total in sorted(totals):
        wanted = [f"{prefix.name}.data-{shard:05}-of-{total:05}" for shard in range(total)]
        missing = [name for name in wanted if name not in present]
        if not missing:
            return
    raise ConversionError(
        f"The TensorFlow checkpoint {prefix} lacks {some(missing)}; its data files belong beside its index."
    )


def is_tensorflow_checkpoint(path: Path) -> bool:
    if path.is_dir():
        return bool(files_in(path, _checkpoints_in))
    prefix = _checkpoint_prefix(path)
    return _with_ending(prefix, ".index").is_file() or (prefix.is_file() and _ends_as_table(prefix))
