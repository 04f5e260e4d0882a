"""classify_files() and embed_files(): any number of image files -> one file of labels or embeddings."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from modelzoo.bulk.journal import Journal
from modelzoo.bulk.outputs import Writer
from modelzoo.bulk.rows import Request, Row, rows_of
from modelzoo.images import encodable, image_files
from modelzoo.images.files import ENDINGS
from modelzoo.runtimes import DEFAULT_MODEL, Deployment
from modelzoo.tasks import EmbeddingsHead, LabelsHead
from modelzoo.tasks.classification import TOP

Sources = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
Engine = Literal["local", "ray"]
ENGINES: tuple[Engine, ...] = get_args(Engine)


@dataclass(frozen=True)
class Execution:
    """Where a run's work is done.

    engine: "ray" shares the work between `workers` processes of a Ray cluster; see modelzoo.bulk.ray.
    progress: whether a progress bar is shown.
    """

    engine: Engine = "local"
    workers: int | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {self.engine!r}.")


HERE = Execution()


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a run: the images, how many of them an earlier run had done, how many have an error.

    skipped: how many files and folders of the sources were passed by, by reason; see image_files().
    """

    output: str
    images: int
    resumed: int
    failed: int
    seconds: float
    skipped: dict[str, int] = field(default_factory=dict[str, int])


def classify_files(
    images: Sources,
    output: str | os.PathLike[str],
    deployment: Deployment | str | os.PathLike[str] = DEFAULT_MODEL,
    *,
    top: int = TOP,
    execution: Execution = HERE,
) -> Summary:
    """Writes the `top` labels of each image to a .jsonl, .csv or .parquet file, in the images' order.

    images: a folder, a .txt file with a path on each line, a pattern, an image, or an iterable of these.
    deployment: the model and how it runs, or just its name or folder.
    An image that cannot be read has an "error" in its row instead of labels. Memory stays the same however
    many there are. Until the last row is there the rows are in OUTPUT.unfinished; rerun the same call to
    resume after an interruption. Then the output appears whole, in place of an older one. A run is resumed
    only with the same weights, versions, precision, preprocessing, labels and arguments, so that no file
    mixes the rows of two networks. In a .csv a cell that begins with =, +, -, @, a tab or a line break gets
    an apostrophe before it, because spreadsheets would compute it.

    Raises UnknownModel, WeightsUnavailable, ImageError for sources that are not there, and OutputError.
    """
    return run_request(Request(_deployment(deployment), LabelsHead(top)), images, output, execution)


def embed_files(
    images: Sources,
    output: str | os.PathLike[str],
    deployment: Deployment | str | os.PathLike[str] = DEFAULT_MODEL,
    *,
    execution: Execution = HERE,
) -> Summary:
    """Writes each image's embedding, what the network pools before its head, to an .npy or .parquet file.

    An .npy holds an array (images that could be read, width), float32, which np.load(..., mmap_mode="r")
    opens at any size; the .jsonl beside it names the image of each row, and those that have none. Of a folder
    that has its images in folders, one a class, each row also has its "class", the folder's name.
    The rest as in classify_files.
    """
    head = EmbeddingsHead(classes_in=_folder_of_classes(images))
    return run_request(Request(_deployment(deployment), head), images, output, execution)


def _folder_of_classes(images: Sources) -> str | None:
    """The source, if it is one folder with images in folders only."""
    if not isinstance(images, str | os.PathLike):
        sources = list(images) if isinstance(images, list | tuple) else []
        if len(sources) != 1:
            return None
        (images,) = sources
    root = os.fspath(images)
    if not os.path.isdir(root):
        return None
    with os.scandir(root) as found:
        members = [(member.name, member.is_dir()) for member in found if not member.name.startswith(".")]
    in_folders = any(is_folder for _, is_folder in members)
    beside = any(name.lower().endswith(ENDINGS) for name, is_folder in members if not is_folder)
    return root if in_folders and not beside else None


def _deployment(given: Deployment | str | os.PathLike[str]) -> Deployment:
    return given if isinstance(given, Deployment) else Deployment(given)


def run_request(
    request: Request,
    images: Sources,
    output: str | os.PathLike[str],
    execution: Execution = HERE,
    write: Writer | None = None,
) -> Summary:
    """Makes each image's row and writes them, as classify_files does.

    With `write` all rows are handed to it instead, while they still are in OUTPUT.unfinished: what it raises,
    or a kill, loses none, and the same call resumes.
    """
    start = time.perf_counter()
    paths = [images] if isinstance(images, str | os.PathLike) else images
    sources, target = [os.fspath(path) for path in paths], os.fspath(output)
    skipped: Counter[str] = Counter()
    if execution.engine == "ray" and request.is_random:
        raise ValueError("weights=None are random, and others in every worker of Ray; use engine 'local'.")
    with _session(execution):
        counts = _counts(request, sources, target, execution, skipped, write)
    return Summary(target, *counts, time.perf_counter() - start, dict(skipped))


def _session(execution: Execution) -> AbstractContextManager[None]:
    if execution.engine == "local":
        return nullcontext()
    from modelzoo.bulk import ray

    return ray.session()


def _counts(
    request: Request,
    sources: list[str],
    output: str,
    execution: Execution,
    skipped: Counter[str],
    write: Writer | None,
) -> tuple[int, int, int]:
    """Writes the output; returns how many images there are, how many were resumed, how many failed."""
    if execution.engine == "ray" and write is None:
        from modelzoo.bulk import ray

        if ray.reads(sources) or ray.writes(output):
            return ray.to_folder(request, sources, output, execution.workers, skipped)
    journal = Journal(output, request, write)
    files = image_files(*sources, skipped=skipped)
    with journal:
        names = journal.remaining(files)
        batches = _rows(journal, names, execution)
        for rows in _shown(batches, journal, sources) if execution.progress else batches:
            journal.append(rows)
        journal.finish()
    return journal.images, journal.resumed, journal.failed


def _rows(journal: Journal, names: Iterator[str], execution: Execution) -> Iterator[list[Row]]:
    request, facts = journal.request, journal.facts
    if execution.engine == "ray":
        from modelzoo.bulk import ray

        yield from ray.rows(request, facts, names, execution.workers)
        return
    yield from rows_of(request.pipeline(facts), ((encodable(name), name) for name in names))


def _shown(batches: Iterator[list[Row]], journal: Journal, sources: list[str]) -> Iterator[list[Row]]:
    """The same, with a bar that says how many images there are and how many come in a second."""
    from tqdm.auto import tqdm

    total = sum(1 for _ in image_files(*sources))
    bar: Any
    with tqdm(total=total, initial=journal.resumed, unit=" images") as bar:
        for rows in batches:
            yield rows
            bar.update(len(rows))
            bar.set_postfix(bad=journal.failed, refresh=False)
