"""An evaluation as files: JSON, tables for spreadsheets, and the two drawings."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelzoo.bulk.outputs import harmless
from modelzoo.evaluation.charts import confusion_svg, reliability_svg
from modelzoo.files import atomic_write

if TYPE_CHECKING:
    from modelzoo.evaluation.run import Evaluation

ROWS = "predictions.jsonl"  # each image's first labels, or why it has none
Table = Iterator[Sequence[Any]]


def write_report(folder: Path, evaluation: Evaluation) -> None:
    """Writes evaluation.json, TABLES and the drawings into the folder, each whole or not at all."""
    found = json.dumps(evaluation.to_dict(), indent=2, ensure_ascii=False)
    _write(folder / "evaluation.json", f"{found}\n")
    for name, table in TABLES.items():
        with atomic_write(folder / name) as path, path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(map(harmless, row) for row in table(evaluation))
    title = f"{evaluation.model}: top-1 {evaluation.top1.value:.2%} of {evaluation.images:,} images"
    _write(folder / "confusion.svg", confusion_svg(evaluation.confusions, _names(evaluation), title))
    title = f"{evaluation.model}: expected calibration error {evaluation.calibration_error:.2%}"
    _write(folder / "calibration.svg", reliability_svg(evaluation.calibration, title))


def _write(target: Path, text: str) -> None:
    with atomic_write(target) as path:
        path.write_text(text, "utf-8")


def _names(evaluation: Evaluation) -> dict[str, str]:
    """The names by id of the classes that have images or that images are taken for, in class order."""
    met = {identifier for found in evaluation.confusions for identifier in (found.truth, found.predicted)}
    return {identifier: name for identifier, name in evaluation.names.items() if identifier in met}


def _classes(evaluation: Evaluation) -> Table:
    yield "id", "name", "images", "correct", "predicted", "precision", "recall"
    for found in evaluation.classes:
        yield (
            *(found.id, found.name, found.images, found.correct, found.predicted),
            *(found.precision, found.recall),
        )


def _confusion(evaluation: Evaluation) -> Table:
    """A matrix: a row for each class with images, a column for each that any image is taken for or has."""
    columns = list(_names(evaluation))
    counts = {(found.truth, found.predicted): found.images for found in evaluation.confusions}
    yield "class", *columns
    for found in evaluation.classes:
        yield found.id, *(counts.get((found.id, column), 0) for column in columns)


def _calibration(evaluation: Evaluation) -> Table:
    yield "low", "high", "images", "confidence", "accuracy"
    for found in evaluation.calibration:
        yield found.low, found.high, found.images, found.confidence, found.accuracy


def _mistakes(evaluation: Evaluation) -> Table:
    yield "image", "class", "class_name", "predicted", "predicted_name", "probability"
    names = evaluation.names
    for found in evaluation.mistakes:
        truth, predicted = found.truth, found.predicted
        yield found.image, truth, names[truth], predicted, names[predicted], found.probability


TABLES: dict[str, Callable[[Evaluation], Iterable[Sequence[Any]]]] = {
    "classes.csv": _classes,
    "confusion.csv": _confusion,
    "calibration.csv": _calibration,
    "mistakes.csv": _mistakes,
}
