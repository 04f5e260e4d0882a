"""The same rows from a Ray cluster: a pool of workers, each with one loaded network, fed by Ray Data.

Ray Data does what a cluster needs: it reads and writes any filesystem, holds the readers back while the
workers are busy, and replaces workers that die, whose images it gives to others.
"""

# Ray is not installed everywhere that types are checked.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from modelzoo.bulk import outputs
from modelzoo.bulk.rows import Request, Row, groups, rows_of
from modelzoo.errors import ImageError, OutputError
from modelzoo.images.files import ADDRESS, ENDINGS, encodable, image_files

IMAGES = 64  # in a block: what a worker takes at a time, and starts anew if another has died over it
DONE = "_SUCCESS"  # Spark's and Hadoop's name for the empty file that says that a folder is complete
OUR_ERROR = re.compile(r"^modelzoo\.errors\.\w+: (.+)$", re.MULTILINE)
CORES = 0.5  # of a worker, for Ray's book-keeping: readers and writers must find a free one beside it
QUIET = {  # read when Ray is imported, when it starts a cluster and while it works
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
    "RAY_DATA_LOG_LEVEL": "CRITICAL",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
COLUMNS = "'path' and 'bytes', as Ray's read_binary_files gives them, or Hugging Face's 'image'"


@contextmanager
def session() -> Generator[None]:
    """Ray is connected: to the cluster of RAY_ADDRESS or one that runs on this machine, or to a new one here.

    QUIET, where the user has not set it, is in the environment for as long as the block lasts.
    """
    missing = [name for name in QUIET if name not in os.environ]
    os.environ.update({name: QUIET[name] for name in missing})
    try:
        _connect()
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


def _connect() -> None:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise OutputError("The engine 'ray' needs Ray: pip install 'modelzoo-keras[ray]'.") from error
    if not ray.is_initialized():
        ray.init(logging_level="ERROR", log_to_driver=False)


def reads(sources: Sequence[str]) -> bool:
    """Whether Ray itself reads one of the sources: an address, or Parquet."""
    return any(ADDRESS in source or _is_parquet(source) for source in sources)


def writes(output: str) -> bool:
    """Whether Ray itself writes the output: a folder of Parquet files, maybe at an address."""
    return ADDRESS in output or output.endswith("/")


def rows(
    request: Request, facts: dict[str, Any], names: Iterator[str], workers: int | None
) -> Iterator[list[Row]]:
    """The rows of these files, in their order. Every machine must see the files by the same path.

    Raises OutputError if a worker's weights or versions are not those of `facts`.
    """
    images = _files(names)
    if images is None:
        return
    tables = _answered(request, facts, images, workers).iter_batches(batch_size=None, batch_format="pyarrow")
    with _one_sentence():
        for table in tables:
            yield [_row(row) for row in table.to_pylist()]


def to_folder(
    request: Request, sources: Sequence[str], output: str, workers: int | None, skipped: Counter[str]
) -> tuple[int, int, int]:
    """Writes Parquet files into a folder, which is complete when it holds DONE.

    Returns how many images there are, how many an earlier run had done (none), and how many have an error.
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
        images = _read(sources, skipped)
        _answered(request, _facts_of_a_worker(request), images, workers).write_parquet(place)
    written = dataset.dataset(folder, filesystem=filesystem, format="parquet")
    counts = written.count_rows(), 0, written.count_rows(filter=dataset.field("error").is_valid())
    with filesystem.open_output_stream(f"{folder.rstrip('/')}/{DONE}"):
        return counts


def _facts_of_a_worker(request: Request) -> dict[str, Any]:
    """The facts where the work is done, which may be where this program has neither weights nor network."""
    import ray

    def facts() -> dict[str, Any]:
        return request.facts()

    return ray.get(ray.remote(num_cpus=CORES)(facts).remote())


@contextmanager
def _one_sentence() -> Generator[None]:
    """In place of Ray's pages the sentence with which a worker failed."""
    from ray.exceptions import RayError

    try:
        yield
    except RayError as error:
        said = OUR_ERROR.findall(str(error)) or str(error).splitlines()
        raise OutputError(f"A worker of Ray failed: {said[-1] if said else type(error).__name__}") from error


def _read(sources: Sequence[str], skipped: Counter[str]) -> Any:
    """A dataset of the columns that Worker takes."""
    import ray.data

    if not reads(sources):
        return _files(image_files(*sources, skipped=skipped))
    kinds = {_is_parquet(source) for source in sources}
    if len(kinds) > 1:
        raise ImageError("Parquet and images cannot be mixed: make two runs of them.")
    if kinds == {True}:
        return ray.data.read_parquet(list(sources))
    endings = [ending.removeprefix(".") for ending in ENDINGS]
    return ray.data.read_binary_files(list(sources), include_paths=True, file_extensions=endings)


def _files(names: Iterator[str]) -> Any:
    """A dataset of names, in blocks; None for no names."""
    import pyarrow as pa
    import ray.data

    blocks = [
        pa.table({"path": [encodable(name) for name in block], "file": list(map(os.fsencode, block))})
        for block in groups(names, IMAGES)
    ]
    return ray.data.from_arrow(blocks) if blocks else None


def _answered(request: Request, facts: dict[str, Any], images: Any, workers: int | None) -> Any:
    """The dataset of the images' rows, in the images' order."""
    import ray
    import ray.data
    from ray.data.dataset import MaterializedDataset

    size = workers or sum(node["Alive"] for node in ray.nodes())  # a network uses all of a machine's cores
    if isinstance(images, MaterializedDataset):
        size = min(size, images.num_blocks())  # more would have nothing to do
    images.context.execution_options.preserve_order = True
    images.context.enable_progress_bars = False
    return images.map_batches(
        Worker,
        fn_constructor_kwargs={"request": request, "facts": facts, "folder": os.getcwd()},
        batch_size=IMAGES,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=size),  # which starts and feeds anew whoever dies
        num_cpus=CORES,
    )


class Worker:
    """A process of the pool: its network is loaded once."""

    def __init__(self, request: Request, facts: dict[str, Any], folder: str):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        self.pipeline = request.pipeline(facts)
        self.folder = folder
        self.schema = outputs.schema(request)

    def __call__(self, block: Any) -> Iterator[Any]:
        for batch in rows_of(self.pipeline, self._named(block)):
            yield outputs.table(batch, self.schema)

    def _named(self, block: Any) -> Iterator[tuple[str, Any]]:
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
            raise ImageError(f"The Parquet has the columns {sorted(columns)}; expected {COLUMNS}.")


def _row(row: Row) -> Row:
    """The row as one process makes it."""
    row = {name: value for name, value in row.items() if value is not None}
    if "embedding" in row:
        row["embedding"] = np.asarray(row["embedding"], np.float32)
    return row


def _is_parquet(source: str) -> bool:
    return source.rstrip("/").endswith(".parquet")
