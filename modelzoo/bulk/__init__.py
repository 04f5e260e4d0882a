"""classify_files() and features_of_files(): any number of picture files -> one file of labels or features."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelzoo.bulk.job import FEATURES, Job
from modelzoo.bulk.sources import picture_files
from modelzoo.classification import DEFAULT_MODEL
from modelzoo.zoo import PRETRAINED

if TYPE_CHECKING:
    from modelzoo.bulk.journal import Journal, Row

__all__ = ["FEATURES", "Summary", "classify_files", "features_of_files"]
ENGINES = ("local", "ray")
Sources = str | os.PathLike | Iterable[str | os.PathLike]


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a run: the pictures, how many of them an earlier run had done, how many have an error."""

    output: str
    pictures: int
    resumed: int
    failed: int
    seconds: float


def classify_files(
    pictures: Sources,
    output: str | os.PathLike,
    model: str = DEFAULT_MODEL,
    *,
    weights: str | os.PathLike = PRETRAINED,
    top: int = 5,
    fast_decode: bool = False,
    runtime: str = "auto",
    precision: str = "f32",
    engine: str = "local",
    workers: int | None = None,
    progress: bool = False,
) -> Summary:
    """Writes the `top` labels of each picture to a .jsonl, .csv or .parquet file, in the pictures' order.

    pictures: a folder, a .txt file with a path on each line, a pattern, a picture, or an iterable of these.
    A picture that cannot be read has an "error" in its row instead of labels. Memory stays the same however
    many there are. Until the last row is there the rows are in OUTPUT.unfinished, from which the same call
    goes on after an interruption; then the output appears whole, in place of an older one.
    fast_decode: lets JPEG's decoder leave out detail; faster for large pictures, other probabilities.
    runtime, precision: as in modelzoo.Classifier.
    engine: "ray" shares the work between `workers` processes of a Ray cluster; see modelzoo.bulk.cluster.

    Raises UnknownModel, WeightsUnavailable, PictureError for sources that are not there, and OutputError.
    """
    job = Job(model, str(weights), top, 1, fast_decode, runtime, precision)
    return _run(job, pictures, output, engine, workers, progress)


def features_of_files(
    pictures: Sources,
    output: str | os.PathLike,
    model: str = DEFAULT_MODEL,
    *,
    weights: str | os.PathLike = PRETRAINED,
    crops: int = 1,
    fast_decode: bool = False,
    runtime: str = "auto",
    precision: str = "f32",
    engine: str = "local",
    workers: int | None = None,
    progress: bool = False,
) -> Summary:
    """Writes each picture's features, what the network pools before its head, to an .npy or .parquet file.

    An .npy holds an array (pictures that could be read, width), float32, which np.load(..., mmap_mode="r")
    opens at any size; the .jsonl beside it names the picture of each row, and those that have none.
    crops: 10 takes the mean over the corners, the centre and their mirror images. The rest as in
    classify_files.
    """
    job = Job(model, str(weights), None, crops, fast_decode, runtime, precision)
    return _run(job, pictures, output, engine, workers, progress)


def _run(job: Job, pictures: Sources, output, engine: str, workers: int | None, progress: bool) -> Summary:
    if engine not in ENGINES:
        raise ValueError(f"engine must be {' or '.join(map(repr, ENGINES))}, not {engine!r}.")
    from modelzoo.bulk.journal import Journal

    start = time.perf_counter()
    sources = [pictures] if isinstance(pictures, str | os.PathLike) else list(pictures)
    sources, output = [os.fspath(source) for source in sources], os.fspath(output)
    if engine == "ray":
        from modelzoo.bulk import cluster

        cluster.start()
        if cluster.reads(sources) or cluster.writes(output):
            counts = cluster.to_folder(job, sources, output, workers)
            return Summary(output, *counts, time.perf_counter() - start)
    with Journal(output, job) as journal:
        names = journal.remaining(picture_files(*sources))
        batches = cluster.rows(job, names, workers) if engine == "ray" else _rows(job, names)
        for rows in _shown(batches, journal, sources) if progress else batches:
            journal.append(rows)
        journal.publish()
    seconds = time.perf_counter() - start
    return Summary(output, journal.pictures, journal.resumed, journal.failed, seconds)


def _rows(job: Job, names: Iterator[str]) -> Iterator[list[Row]]:
    from modelzoo.bulk import pipeline
    from modelzoo.bulk.job import RowMaker
    from modelzoo.bulk.journal import encodable

    yield from pipeline.rows(((encodable(name), name) for name in names), RowMaker(job))


def _shown(batches: Iterator[list[Row]], journal: Journal, sources: list[str]) -> Iterator[list[Row]]:
    """The same, with a bar that says how many pictures there are and how many come in a second."""
    from tqdm import tqdm

    total = sum(1 for _ in picture_files(*sources))
    with tqdm(total=total, initial=journal.resumed, unit=" pictures") as bar:
        for rows in batches:
            yield rows
            bar.update(len(rows))
            bar.set_postfix(bad=journal.failed, refresh=False)
