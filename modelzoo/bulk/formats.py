"""The output's formats: each publishes a journal's rows as one file, whole or not at all, row by row."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelzoo.bulk.job import Job
from modelzoo.errors import OutputError
from modelzoo.files import appearing

if TYPE_CHECKING:
    import pyarrow

    from modelzoo.bulk.journal import Journal

ROW_GROUP = 4096  # pictures; of features of 2048 numbers, 32 MiB


def publisher(output: Path, job: Job) -> Callable[[Journal], None]:
    """What writes the format of the file's ending. Raises OutputError where there is none, or no pyarrow."""
    offered = LABELS if job.top is not None else FEATURES
    ending = output.suffix.lower()
    if ending not in offered:
        raise OutputError(f"{output} must end in {' or '.join(offered)}, which say the format.")
    if output.is_dir():
        raise OutputError(f"{output} is a folder; give the name of a file.")
    if ending == ".parquet":
        require_pyarrow()
    return offered[ending]


def require_pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise OutputError("Parquet needs pyarrow: pip install 'modelzoo[parquet]'.") from error


def jsonl(journal: Journal) -> None:
    """The rows as they are: picture, model, and predictions or error."""
    with appearing(journal.output) as path, path.open("wb") as file:
        for row in journal.rows():
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def comma_separated(journal: Journal) -> None:
    """A line for each picture: picture, model, error, then id_1, name_1, probability_1, id_2 ..."""
    ranks = range(1, journal.job.labels_each() + 1)
    header = [f"{field}_{rank}" for rank in ranks for field in ("id", "name", "probability")]
    with appearing(journal.output) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "model", "error", *header])
        for row in journal.rows():
            cells = [cell for prediction in row.get("predictions", ()) for cell in prediction.values()]
            writer.writerow([row["picture"], row["model"], row.get("error"), *cells])


def parquet(journal: Journal) -> None:
    """A row for each picture, columns as in `schema`."""
    from pyarrow import parquet

    rows, columns = journal.rows(), schema(journal.job)
    with appearing(journal.output) as path, parquet.ParquetWriter(path, columns) as writer:
        while group := list(islice(rows, ROW_GROUP)):
            writer.write_table(table(group, columns))


def schema(job: Job) -> pyarrow.Schema:
    import pyarrow as pa

    text = pa.string()
    if job.top is None:
        answer = pa.field("features", pa.list_(pa.float32()))
    else:
        prediction = pa.struct({"id": text, "name": text, "probability": pa.float32()})
        answer = pa.field("predictions", pa.list_(prediction))
    return pa.schema([pa.field("picture", text), pa.field("model", text), answer, pa.field("error", text)])


def table(rows: list[dict[str, Any]], columns: pyarrow.Schema) -> pyarrow.Table:
    import pyarrow as pa

    return pa.Table.from_pylist(rows, columns)


def npy(journal: Journal) -> None:
    """An array (pictures, width), float32; beside it OUTPUT.jsonl: each picture with its row or its error."""
    good = journal.pictures - journal.failed
    if not good:
        raise OutputError(f"{journal.output} is not written: none of the pictures could be read.")
    names = journal.output.with_suffix(".jsonl")
    width = len(next(_features(journal.rows())))
    with appearing(journal.output) as path, appearing(names) as names_path:
        with names_path.open("wb") as file:
            for row in _numbered(journal.rows()):
                file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        array = np.lib.format.open_memmap(path, "w+", np.float32, (good, width))
        for place, features in enumerate(_features(journal.rows())):
            array[place] = features
        array.flush()
        del array  # Windows moves no file that is mapped


def _features(rows: Iterable[dict[str, Any]]) -> Iterator[np.ndarray]:
    return (row["features"] for row in rows if "features" in row)


def _numbered(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows with the place of their features in the array, counted from 0, in place of the features."""
    place = 0
    for row in rows:
        if row.pop("features", None) is not None:
            row["row"] = place
            place += 1
        yield row


LABELS = {".jsonl": jsonl, ".csv": comma_separated, ".parquet": parquet}
FEATURES = {".npy": npy, ".parquet": parquet}
