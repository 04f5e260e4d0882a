"""The same rows from a Ray cluster: a pool of workers, each with one loaded network, fed by Ray Data.

Ray Data does what a cluster needs: it reads and writes any filesystem, holds the readers back while the
workers are busy, and replaces workers that die, whose pictures it gives to others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np

from modelzoo.bulk import formats, pipeline
from modelzoo.bulk.job import Job, RowMaker
from modelzoo.bulk.journal import Row, encodable
from modelzoo.bulk.sources import ADDRESS, ENDINGS, picture_files
from modelzoo.errors import OutputError, PictureError

PICTURES = 64  # in a block: what a worker takes at a time, and starts anew if another has died over it
DONE = "_SUCCESS"  # Spark's and Hadoop's name for the empty file that says that a folder is complete
OUR_ERROR = re.compile(r"^modelzoo\.errors\.\w+: (.+)$", re.MULTILINE)
CORES = 0.5  # of a worker, for Ray's book-keeping: readers and writers must find a free one beside it
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
    "RAY_DATA_LOG_LEVEL": "CRITICAL",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}
COLUMNS = "'path' and 'bytes', as Ray's read_binary_files gives them, or Hugging Face's 'image'"


def start() -> None:
    """Connects to the cluster of RAY_ADDRESS or one that runs on this machine, or starts one here."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise OutputError("The engine 'ray' needs Ray: pip install 'modelzoo[ray]'.") from error
    if not ray.is_initialized():
        ray.init(logging_level="ERROR", log_to_driver=False)
    ray.data.DataContext.get_current().execution_options.preserve_order = True


def reads(sources: Sequence[str]) -> bool:
    """Whether Ray itself reads one of the sources: an address, or Parquet."""
    return any(ADDRESS in source or _is_parquet(source) for source in sources)


def writes(output: str) -> bool:
    """Whether Ray itself writes the output: a folder of Parquet files, maybe at an address."""
    return ADDRESS in output or output.endswith("/")


def rows(job: Job, names: Iterator[str], workers: int | None) -> Iterator[list[Row]]:
    """The rows of these files, in their order. Every machine must see the files by the same path."""
    pictures = _files(names)
    if pictures is None:
        return
    tables = _answered(job, pictures, workers).iter_batches(batch_size=None, batch_format="pyarrow")
    with _one_sentence():
        for table in tables:
            yield [_row(row) for row in table.to_pylist()]


def to_folder(job: Job, sources: Sequence[str], output: str, workers: int | None) -> tuple[int, int, int]:
    """Writes Parquet files into a folder, which is complete when it holds DONE.

    Returns how many pictures there are, how many an earlier run had done (none), and how many have an error.
    """
    if not writes(output):
        raise OutputError(
            f"{output} is a single file; what Ray itself reads goes to a folder (end it in /) or an address."
        )
    from pyarrow import dataset, fs

    place = output if ADDRESS in output else os.path.abspath(output)
    filesystem, folder = fs.FileSystem.from_uri(place)
    if filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True)):
        raise OutputError(f"{output} is not empty; give another folder.")
    with _one_sentence():
        _answered(job, _read(sources), workers).write_parquet(place)
    written = dataset.dataset(folder, filesystem=filesystem, format="parquet")
    counts = written.count_rows(), 0, written.count_rows(filter=dataset.field("error").is_valid())
    with filesystem.open_output_stream(f"{folder.rstrip('/')}/{DONE}"):
        return counts


@contextmanager
def _one_sentence() -> Iterator[None]:
    """In place of Ray's pages the sentence with which a worker failed."""
    from ray.exceptions import RayError

    try:
        yield
    except RayError as error:
        said = OUR_ERROR.findall(str(error)) or str(error).splitlines()
        raise OutputError(f"A worker of Ray failed: {said[-1] if said else type(error).__name__}") from error


def _read(sources: Sequence[str]):
    """A dataset of the columns that Worker takes."""
    import ray.data

    if not reads(sources):
        return _files(picture_files(*sources))
    kinds = {_is_parquet(source) for source in sources}
    if len(kinds) > 1:
        raise PictureError("Parquet and pictures cannot be mixed: make two runs of them.")
    if kinds == {True}:
        return ray.data.read_parquet(list(sources))
    endings = [ending.removeprefix(".") for ending in ENDINGS]
    return ray.data.read_binary_files(list(sources), include_paths=True, file_extensions=endings)


def _files(names: Iterator[str]):
    """A dataset of names, in blocks; None for no names."""
    import pyarrow as pa
    import ray.data

    blocks = []
    while block := list(islice(names, PICTURES)):
        blocks.append(
            pa.table({"path": [encodable(n) for n in block], "file": list(map(os.fsencode, block))})
        )
    return ray.data.from_arrow(blocks) if blocks else None


def _answered(job: Job, pictures, workers: int | None):
    import ray
    import ray.data
    from ray.data.dataset import MaterializedDataset

    size = workers or sum(node["Alive"] for node in ray.nodes())  # a network uses all of a machine's cores
    if isinstance(pictures, MaterializedDataset):
        size = min(size, pictures.num_blocks())  # more would have nothing to do
    return pictures.map_batches(
        Worker,
        fn_constructor_kwargs={"job": job, "folder": os.getcwd()},
        batch_size=PICTURES,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=size),  # which starts and feeds anew whoever dies
        num_cpus=CORES,
    )


class Worker:
    """A process of the pool: its network is loaded once."""

    def __init__(self, job: Job, folder: str):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        self.maker = RowMaker(job)
        self.folder = folder
        self.schema = formats.schema(job)

    def __call__(self, block) -> Iterator[Any]:
        for batch in pipeline.rows(self._named(block), self.maker):
            yield formats.table(batch, self.schema)

    def _named(self, block) -> Iterator[tuple[str, Any]]:
        columns = set(block.column_names)
        if "file" in columns:
            for row in block.to_pylist():
                yield row["path"], os.path.join(self.folder, os.fsdecode(row["file"]))
        elif {"path", "bytes"} <= columns:
            for row in block.select(["path", "bytes"]).to_pylist():
                yield row["path"], row["bytes"] or b""
        elif "image" in columns:
            for row in block.select(["image"]).to_pylist():
                image = row["image"] or {}
                yield image.get("path") or "", image.get("bytes") or b""
        else:
            raise PictureError(f"The Parquet has the columns {sorted(columns)}; wanted {COLUMNS}.")


def _row(row: Row) -> Row:
    """The row as one process makes it."""
    row = {name: value for name, value in row.items() if value is not None}
    if "features" in row:
        row["features"] = np.asarray(row["features"], np.float32)
    return row


def _is_parquet(source: str) -> bool:
    return source.rstrip("/").endswith(".parquet")
