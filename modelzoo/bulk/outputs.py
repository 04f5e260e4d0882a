"""The output's formats: each writes all rows as one file, whole or not at all, row by row."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelzoo.bulk.rows import Request, Results, Row, groups
from modelzoo.errors import OutputError, readable
from modelzoo.files import atomic_write

if TYPE_CHECKING:
    import pyarrow

FORMULA = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
)  # how a cell begins that a spreadsheet computes: a file's name may
ROW_GROUP = 4096  # images; of embeddings of 2048 values, 32 MiB

Writer = Callable[[Path, Results], None]


def writer_for(output: Path, request: Request) -> Writer:
    """What writes the format of the file's ending. Raises OutputError where there is none, or no pyarrow."""
    offered = EMBEDDINGS if request.embeds else LABELS
    ending = output.suffix.lower()
    if ending not in offered:
        raise OutputError(
            f"{readable(str(output))} must end in {' or '.join(offered)}, which say the format."
        )
    if output.is_dir():
        raise OutputError(f"{readable(str(output))} is a folder; give the name of a file.")
    if ending == ".parquet":
        require_pyarrow()
    return offered[ending]


def require_pyarrow() -> None:
    """Raises OutputError where pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise OutputError("Parquet needs pyarrow: pip install 'modelzoo-keras[parquet]'.") from error


def write_jsonl(output: Path, results: Results) -> None:
    """The rows as they are: image, model, and predictions or error."""
    with atomic_write(output) as path, path.open("wb") as file:
        for row in results.rows():
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def write_csv(output: Path, results: Results) -> None:
    """A line for each image: image, model, error, then id_1, name_1, probability_1, id_2 ...

    Text that a spreadsheet would compute has an apostrophe before it, see FORMULA.
    """
    ranks = range(1, results.request.labels_each() + 1)
    header = [f"{field}_{rank}" for rank in ranks for field in ("id", "name", "probability")]
    with atomic_write(output) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "model", "error", *header])
        for row in results.rows():
            cells = [cell for prediction in row.get("predictions", ()) for cell in prediction.values()]
            writer.writerow(map(harmless, [row["image"], row["model"], row.get("error"), *cells]))


def harmless(cell: Any) -> Any:
    """A cell of a .csv, with an apostrophe before text that a spreadsheet would compute."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def write_parquet(output: Path, results: Results) -> None:
    """A row for each image, columns as in `schema`."""
    from pyarrow import parquet

    columns = schema(results.request)
    with atomic_write(output) as path, parquet.ParquetWriter(path, columns) as writer:
        for group in groups(results.rows(), ROW_GROUP):
            writer.write_table(table(group, columns))


def schema(request: Request) -> pyarrow.Schema:
    """The columns of Parquet: image, model, class of a folder of classes, predictions or embedding, error."""
    import pyarrow as pa

    text = pa.string()
    if request.embeds:
        answer = pa.field("embedding", pa.list_(pa.float32()))
    else:
        prediction = pa.struct({"id": text, "name": text, "probability": pa.float32()})
        answer = pa.field("predictions", pa.list_(prediction))
    columns = ["image", "model", *(["class"] if request.has_classes else [])]
    return pa.schema([*(pa.field(name, text) for name in columns), answer, pa.field("error", text)])


def table(rows: list[Row], columns: pyarrow.Schema) -> pyarrow.Table:
    """The rows in these columns."""
    import pyarrow as pa

    return pa.Table.from_pylist(rows, columns)


def write_npy(output: Path, results: Results) -> None:
    """An array (images, width), float32; beside it OUTPUT.jsonl: each image with its row or its error."""
    good = results.images - results.failed
    if not good:
        raise OutputError(f"{readable(str(output))} is not written: none of the images could be read.")
    width = len(next(_embeddings(results.rows())))
    with atomic_write(output) as path, atomic_write(output.with_suffix(".jsonl")) as names_path:
        with names_path.open("wb") as file:
            for row in _numbered(results.rows()):
                file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        array = np.lib.format.open_memmap(path, "w+", np.dtype(np.float32), (good, width))
        for place, embedding in enumerate(_embeddings(results.rows())):
            array[place] = embedding
        array.flush()
        del array  # Windows moves no file that is mapped


def _embeddings(rows: Iterable[Row]) -> Iterator[np.ndarray]:
    return (row["embedding"] for row in rows if "embedding" in row)


def _numbered(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows with the place of their embedding in the array, counted from 0, instead of the embedding."""
    place = 0
    for row in rows:
        if row.pop("embedding", None) is not None:
            row["row"] = place
            place += 1
        yield row


LABELS: dict[str, Writer] = {".jsonl": write_jsonl, ".csv": write_csv, ".parquet": write_parquet}
EMBEDDINGS: dict[str, Writer] = {".npy": write_npy, ".parquet": write_parquet}
