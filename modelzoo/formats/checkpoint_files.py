"""Where a TensorFlow checkpoint's files are: V1 is one, V2 an index and data files, the shards."""

from __future__ import annotations

import re
from pathlib import Path

from modelzoo.errors import ConversionError, abbreviated
from modelzoo.formats.leveldb_table import TABLE_MAGIC
from modelzoo.formats.tensors import files_in, only_file, visible_in

CHECKPOINT_PART = re.compile(r"(?<=.)\.(index|meta|data-\d{5}-of-\d{5})$")
CHECKPOINT_STATE = re.compile(r'^\s*model_checkpoint_path:\s*"([^"]*)"', re.MULTILINE)


def checkpoint_prefix(path: Path) -> Path:
    """The prefix of the checkpoint that `path` names: itself, one of its files, or the folder it lies in."""
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


def index_path(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def shard_name(prefix: Path, shard: int, count: int) -> str:
    return f"{prefix.name}.data-{shard:05}-of-{count:05}"


def shard_names_of(prefix: Path) -> set[str]:
    """The names of the data files that are there, of any count."""
    if not prefix.parent.is_dir():
        return set()
    name = re.compile(re.escape(prefix.name) + r"\.data-\d{5}-of-\d{5}")
    return {file.name for file in prefix.parent.iterdir() if name.fullmatch(file.name)}


def require_whole_checkpoint(prefix: Path) -> Path:
    """The file that lists the tensors: the V1 file or the V2 index. All others are there, too."""
    index, shards = index_path(prefix), shard_names_of(prefix)
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
            f"{table} does not end as a TensorFlow checkpoint does: it is truncated, or another kind of file."
        )
    return table


def _require_shards(prefix: Path, shards: set[str]) -> None:
    totals = {int(name[-5:]) for name in shards} or {1}
    missing: list[str] = []
    for total in sorted(totals):
        expected = [shard_name(prefix, shard, total) for shard in range(total)]
        missing = [name for name in expected if name not in shards]
        if not missing:
            return
    raise ConversionError(
        f"The TensorFlow checkpoint {prefix} is missing {abbreviated(missing)}; "
        f"its data files belong beside its index."
    )


def is_tensorflow_checkpoint(path: Path) -> bool:
    """Whether `path` is a checkpoint's prefix, one of its files, or a folder in which one lies."""
    if path.is_dir():
        return bool(files_in(path, _checkpoints_in))
    prefix = checkpoint_prefix(path)
    return index_path(prefix).is_file() or (prefix.is_file() and _ends_as_table(prefix))
