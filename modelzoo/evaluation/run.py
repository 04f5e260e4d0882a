"""evaluate(): a folder with one folder a class, and a model -> its figures on these images."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from modelzoo import labels
from modelzoo.bulk import HERE, Execution, Request, Results, run_request
from modelzoo.bulk.outputs import write_jsonl
from modelzoo.errors import ImageError, OutputError, readable
from modelzoo.evaluation.classes import Classes, Mapped, read_mapping
from modelzoo.evaluation.figures import (
    TOP,
    Bin,
    ClassFigures,
    Confusion,
    Failure,
    Mistake,
    Proportion,
    Tally,
    proportion,
)
from modelzoo.evaluation.folders import LabeledFolder, LabeledRows, labeled_folder
from modelzoo.evaluation.report import ROWS, write_report
from modelzoo.files import temporary_directory
from modelzoo.images import encodable
from modelzoo.runtimes import DEFAULT_MODEL, Deployment
from modelzoo.tasks import LabelsHead

# Of what decides the rows, what a reader of the figures needs; see Request.facts().
SETTINGS = ("modelzoo", "weights", "runtime", "precision", "crops", "fast_decode", "pillow")
CPUS = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Dataset:
    """The images that a model was evaluated on; `images` counts those without an answer, too.

    sha256: of a line for each image, in the order of paths: the sha256 of its file, the id of its class and
    its path in the folder, with a space between them and a line feed at the end.
    """

    name: str
    images: int
    classes: int
    sha256: str


@dataclass(frozen=True)
class Evaluation:
    """A model's figures on labeled images. All are of the `images` that have an answer.

    unreadable: how many images have none, because they cannot be read or the network's output for them is not
        finite; they are in no figure. failures: the first of them, with the reason.
    top5: None for a model of five classes or fewer.
    balanced_accuracy: the mean recall of the classes that have images.
    calibration_error: the expected calibration error of the first label's probability, over `calibration`.
    classes: those that have images, in class order. confusions: every pair that occurs. mistakes: the most
        confident ones, the worst first.
    settings: what else decides the figures: the weights' checksum, versions, precision.
    empty, skipped: class folders without images, and what was passed by, by reason.
    names: the label set's names by id, in class order.
    """

    model: str
    dataset: Dataset
    images: int
    unreadable: int
    top1: Proportion
    top5: Proportion | None
    balanced_accuracy: float
    calibration_error: float
    classes: tuple[ClassFigures, ...]
    confusions: tuple[Confusion, ...]
    calibration: tuple[Bin, ...]
    mistakes: tuple[Mistake, ...]
    failures: tuple[Failure, ...]
    settings: dict[str, Any]
    empty: tuple[str, ...]
    skipped: dict[str, int]
    date: str
    machine: str
    names: dict[str, str] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """All but `names`, and metrics(), as plain JSON."""
        found = dataclasses.asdict(self) | {"metrics": self.metrics()}
        del found["names"]
        return found

    def metrics(self) -> list[dict[str, Any]]:
        """Top-1 and top-5 as a model's metrics are kept: percent, of which data, when, where and by whom."""
        dataset, settings = self.dataset, self.settings
        tool = f"modelzoo {settings['modelzoo']} evaluate ({settings['runtime']}, {settings['precision']})"
        return [
            {
                "name": name,
                "value": 100 * part.value,
                "interval": [100 * part.low, 100 * part.high],
                "dataset": f"{dataset.name} ({self.images} images, {dataset.classes} classes)",
                "dataset_sha256": dataset.sha256,
                "weights": settings["weights"],
                "date": self.date,
                "machine": self.machine,
                "measured_by": tool,
            }
            for name, part in (("top1", self.top1), ("top5", self.top5))
            if part is not None
        ]


def evaluate(
    folder: str | os.PathLike[str],
    deployment: Deployment | str | os.PathLike[str] = DEFAULT_MODEL,
    *,
    classes: Mapped | str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    execution: Execution = HERE,
) -> Evaluation:
    """The model's figures on a folder with one folder a class.

    Folders are named by ids of the model's label set, such as n02123045, or names, such as tabby; `classes`
    maps others: a dict of folder -> id or name, or a .json, .csv or .txt file of these. A class that is empty
    or None leaves the folder out. All images in a class's folder and below it count.
    output: a folder for evaluation.json, tables, drawings and each image's labels. Until all are there the
    labels are in OUTPUT/predictions.jsonl.unfinished; rerun the same call to resume after an interruption.
    Without it nothing is kept.

    Raises LabelsError for folders that are no classes, ImageError where no image can be read, and as
    classify_files does.
    """
    deployment = deployment if isinstance(deployment, Deployment) else Deployment(deployment)
    request, entry = Request(deployment, LabelsHead(TOP)), deployment.entry
    known = Classes(entry.labels, labels.of(entry))
    labeled = labeled_folder(folder, known, read_mapping(classes))
    found: list[Evaluation] = []
    with _folder_for(output, labeled) as target:
        write = partial(_write, labeled=labeled, names=known.names, found=found)
        run_request(request, labeled.sources, target / ROWS, execution, write)
    if not found:
        raise ImageError(
            f"None of the images in {readable(labeled.path)} has an answer, so that there are no figures: "
            "see the errors of `modelzoo classify`."
        )
    return found[0]


@contextmanager
def _folder_for(output: str | os.PathLike[str] | None, labeled: LabeledFolder) -> Generator[Path]:
    """The folder for the results, or one that is gone at the end. Raises OutputError."""
    if output is None:
        with temporary_directory() as folder:
            yield folder
        return
    target, root = Path(output), Path(labeled.path).resolve()
    if target.exists() and not target.is_dir():
        raise OutputError(f"{readable(str(target))} is a file; give the name of a folder.")
    if target.resolve().is_relative_to(root):
        raise OutputError(f"{readable(str(target))} lies in the folder of images; give another place.")
    yield target


def _write(
    rows: Path, results: Results, *, labeled: LabeledFolder, names: dict[str, str], found: list[Evaluation]
) -> None:
    """Writes the report and then the rows; adds the evaluation to `found` unless no image has an answer."""
    labeled_rows, tally = LabeledRows(labeled, results.rows()), Tally()
    for row in labeled_rows:
        tally.add(row.image, row.folder.label.id, row.row)
    if tally.images:
        name = encodable(Path(labeled.path).resolve().name)
        classes = len({folder.label.id for folder in labeled.folders})
        dataset = Dataset(name, results.images, classes, labeled_rows.sha256)
        found.append(_evaluation(results, dataset, tally, labeled, names))
        write_report(rows.parent, found[0])
    write_jsonl(rows, results)


def _evaluation(
    results: Results, dataset: Dataset, tally: Tally, labeled: LabeledFolder, names: dict[str, str]
) -> Evaluation:
    classes = tally.classes(names)
    order = {identifier: place for place, identifier in enumerate(names)}
    confusions = sorted(tally.confusions.items(), key=lambda item: [order[name] for name in item[0]])
    return Evaluation(
        model=results.request.deployment.entry.key,
        dataset=dataset,
        images=tally.images,
        unreadable=tally.failed,
        top1=proportion(tally.top1, tally.images),
        top5=proportion(tally.top5, tally.images) if len(names) > TOP else None,
        balanced_accuracy=sum(found.recall for found in classes) / len(classes),
        calibration_error=tally.calibration_error(),
        classes=classes,
        confusions=tuple(Confusion(*pair, count) for pair, count in confusions),
        calibration=tally.calibration(),
        mistakes=tally.mistakes(),
        failures=tuple(tally.failures),
        settings={name: results.facts[name] for name in SETTINGS},
        empty=labeled.empty,
        skipped=dict(labeled.skipped),
        date=date.today().isoformat(),
        machine=_machine(),
        names=names,
    )


def _machine() -> str:
    """The system and its CPU, without the machine's own name: figures are published."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = CPUS.read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    return f"{platform.system()} {platform.machine()}, {cpu}"
