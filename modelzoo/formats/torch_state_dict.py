"""torch state dicts, as torch.save writes them: a pickle that names tensors, and the storages they lie in.

Since torch 1.6 a file is a zip archive: NAME/data.pkl, and a member NAME/data/KEY for each storage. Before,
it was five pickles (a magic number, a version, facts about the machine, the state dict, the list of keys),
then per key an int64 count and the values. A tensor is a view of a storage: an offset, a shape, and a stride
for each dimension, which need not be those of C order.

Both are read, without executing anything (pickles.py); what is written is the zip, for torch.load.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from modelzoo.errors import ConversionError, abbreviated, readable
from modelzoo.formats.pickles import RefusedPickle
from modelzoo.formats.tensors import (
    AVERAGE,
    MAX_NAME_BYTES,
    MAX_TENSORS,
    StoredTensors,
    Tensors,
    files_in,
    first_bytes,
    only_file,
    visible_in,
)
from modelzoo.formats.torch_files import LEGACY_START, TensorView, is_torch_zip, read_legacy, read_zip

KIND = "a torch state dict"
SUFFIXES = (".pth", ".pt", ".bin")
# Where training programs put the state dict among a checkpoint's other values, and the moving averages of it:
# of each the first that is there.
KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "module")
AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "model_ema_state_dict")
MAX_DEPTH = 3  # dicts around a state dict


def read_torch_state_dict(path: Path) -> Tensors:
    """The tensors of a torch file, or of the only one in a folder or one level below.

    Of a checkpoint those of its state dict, wherever KEYS say, and those of AVERAGES under their names with
    AVERAGE behind; other values are left out, and `beside` names them. bfloat16 becomes float32. Raises
    ConversionError, also for a file that asks for more than tensors.
    """
    path = Path(path)
    if path.is_dir():
        path = only_file(path, "torch file", _torch_files_in)
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConversionError(f"{path} cannot be opened: {error.strerror}.") from error
    try:
        return _scan(path, file)
    except RefusedPickle as error:
        file.close()
        raise ConversionError(f"{path} cannot be read as {KIND}: {error}.") from error
    except BaseException:
        file.close()
        raise


def is_torch_state_dict(path: Path) -> bool:
    """Whether the file starts as torch's do, or one lies in the folder or one level below."""
    if path.is_dir():
        return bool(files_in(path, _torch_files_in))
    return first_bytes(path, len(LEGACY_START)) == LEGACY_START or is_torch_zip(path)


def _torch_files_in(folder: Path) -> list[Path]:
    return [file for file in visible_in(folder) if file.suffix in SUFFIXES and is_torch_state_dict(file)]


def _scan(path: Path, file: BinaryIO) -> StoredTensors:
    value, stored = read_zip(file) if is_torch_zip(path) else read_legacy(file)
    state, beside = _found(value)
    if len(state) > MAX_TENSORS:
        raise RefusedPickle(f"expected at most {MAX_TENSORS} tensors, got {len(state)}")
    for name in state:
        if not isinstance(name, str) or not 0 < len(name.encode("utf-8", "replace")) <= MAX_NAME_BYTES:
            raise RefusedPickle(
                f"expected names of 1 to {MAX_NAME_BYTES} bytes for its tensors, got {readable(name)}"
            )
    tensors = StoredTensors(path, file, {name: stored(tensor) for name, tensor in state.items()})
    tensors.beside = beside
    return tensors


def _found(value: Any, depth: int = 0) -> tuple[dict[str, TensorView], tuple[str, ...]]:
    """The tensors by name and the averages of them, and what else is beside.

    They are in the dict itself, or in the one that it holds under the first of KEYS.
    """
    if not isinstance(value, Mapping):
        raise RefusedPickle(f"expected tensors by name, got {type(value).__name__}")
    keys = [key for key in KEYS if isinstance(value.get(key), Mapping)]
    tensors = _tensors(value)
    if not value or (tensors and not (keys and _tensors(value[keys[0]]))):
        return tensors, ()
    averages = [key for key in AVERAGES if isinstance(value.get(key), Mapping)][:1]
    if not (keys or averages) or depth == MAX_DEPTH:
        names = abbreviated([readable(key) for key in value])
        raise RefusedPickle(
            f"expected tensors by name, or a dict of these at {' or '.join(KEYS)}, got {names}"
        )
    tensors, beside = _found(value[keys[0]], depth + 1) if keys else ({}, ())
    for key in averages:
        copies, more = _found(value[key], depth + 1)
        tensors = tensors | {f"{name}{AVERAGE}": tensor for name, tensor in copies.items()}
        beside += more
    return tensors, (*(str(key) for key in value if key not in (*keys[:1], *averages)), *beside)


def _tensors(value: Mapping[Any, Any]) -> dict[str, TensorView]:
    return {name: tensor for name, tensor in value.items() if isinstance(tensor, TensorView)}
