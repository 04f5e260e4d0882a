"""evaluate: a model's figures on a folder with one folder a class."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from modelzoo import store
from modelzoo.cli.arguments import add_command, add_deployment, add_file, deployment
from modelzoo.cli.printing import note, percent, print_card, print_json, print_table, say
from modelzoo.errors import SHOWN, OutputError, readable
from modelzoo.registry import FetchedFolderEntry, FolderEntry
from modelzoo.runtimes import DEFAULT_MODEL, Deployment

if TYPE_CHECKING:
    from modelzoo.evaluation import ClassFigures, Evaluation, Proportion

BUNDLED = "the one that comes with the package"
CLASSES, MISTAKES = 20, 10  # lines of the tables for people; the files have all


def add_commands(commands: Any) -> None:
    help_ = "a model's accuracy, confusions and calibration on images in one folder a class"
    command = add_command(commands, "evaluate", _evaluate, help_)
    add_file(command, "folder", help="of folders that are named by a class's id (n02123045) or name (tabby)")
    add_deployment(command, BUNDLED)
    mapping = "folder -> class for other names: a .json object, .csv or .txt; no class leaves a folder out"
    add_file(command, "--classes", metavar="FILE", help=mapping)
    output = "for tables, drawings and each image's labels; rerun the same command to resume"
    add_file(command, "-o", "--output", metavar="FOLDER", help=output)
    write = "adds top-1 and top-5, with date, data and machine, to the model folder that -m names"
    command.add_argument("--write-metrics", action="store_true", help=write)
    crops_help = "10: the mean of corners, center and mirror images"
    command.add_argument("--crops", type=int, choices=(1, 10), default=1, help=crops_help)


def _evaluate(options: argparse.Namespace) -> int:
    from modelzoo.bulk import Execution
    from modelzoo.evaluation import evaluate

    deployed = deployment(options, DEFAULT_MODEL)
    measured = _check_measured(deployed) if options.write_metrics else None
    found = evaluate(
        options.folder,
        deployed,
        classes=options.classes,
        output=options.output,
        execution=Execution(progress=sys.stderr.isatty()),
    )
    if measured is not None:
        store.add_metrics(measured.folder, found.metrics())
    if options.json:
        print_json(found.to_dict())
    else:
        _print(found, options.output)
        if measured is not None:
            say(f"metrics written to {readable(measured.folder)}")
    return 0


def _check_measured(deployed: Deployment) -> FolderEntry:
    """The model folder that is measured; raises OutputError for what has no place for metrics."""
    entry = deployed.entry
    if not isinstance(entry, FolderEntry) or isinstance(entry, FetchedFolderEntry):
        raise OutputError(
            f"--write-metrics writes into a model folder of yours (-m FOLDER), got {entry.key}: "
            "modelzoo.save makes one."
        )
    if deployed.weights != store.PRETRAINED:
        raise OutputError("--write-metrics is about the folder's own weights: leave out --weights.")
    store.check_folder_target(entry.folder)
    return entry


def _print(found: Evaluation, output: str | None) -> None:
    print_card(f"{found.model} on {found.dataset.name}", _facts(found))
    say()
    _print_classes(found)
    if found.mistakes:
        say()
        names = found.names
        rows = [
            (f"{mistake.probability:.1%}", names[mistake.truth], names[mistake.predicted], mistake.image)
            for mistake in found.mistakes[:MISTAKES]
        ]
        print_table(("sure by", "class", "taken for", "image"), rows, right={0}, wrap=True)
    if output is not None:
        say()
        say(f"written to {readable(output)}")
    for failure in found.failures[:SHOWN]:
        note(failure.reason)
    if found.unreadable > SHOWN:
        note(f"{found.unreadable - SHOWN} more images have no answer")


def _facts(found: Evaluation) -> Iterator[tuple[str, str]]:
    left_out = f"; {found.unreadable} more have no answer and are in no figure" if found.unreadable else ""
    yield "images", f"{found.images:,} in {len(found.classes):,} classes{left_out}"
    if found.empty:
        yield "no images", ", ".join(map(readable, found.empty))
    if found.skipped:
        yield "skipped", ", ".join(f"{count} {reason}" for reason, count in sorted(found.skipped.items()))
    yield "top-1", _with_interval(found.top1)
    if found.top5 is not None:
        yield "top-5", _with_interval(found.top5)
    yield "balanced", f"{percent(100 * found.balanced_accuracy)} (mean recall of the classes)"
    yield "calibration", f"{percent(100 * found.calibration_error)} expected calibration error"
    yield "data", f"sha256 {found.dataset.sha256}"


def _with_interval(part: Proportion) -> str:
    return f"{percent(100 * part.value)} (95 % interval {100 * part.low:.2f} to {100 * part.high:.2f})"


def _print_classes(found: Evaluation) -> None:
    """The classes of the lowest recall first, if there are too many for a screen; what each is taken for."""
    shown = list(found.classes)
    if len(shown) > CLASSES:
        shown = sorted(shown, key=lambda figures: figures.recall)[:CLASSES]
    rows = [_row(found, figures) for figures in shown]
    header = ("class", "images", "recall", "precision", "most taken for")
    print_table(header, rows, right={1, 2, 3}, optional=(3,))
    if len(found.classes) > CLASSES:
        say(f"the lowest recall first; {len(found.classes) - CLASSES} more classes are written by -o FOLDER")


def _row(found: Evaluation, figures: ClassFigures) -> tuple[str, ...]:
    wrong = [c for c in found.confusions if c.truth == figures.id != c.predicted]
    most = max(wrong, key=lambda confusion: confusion.images, default=None)
    return (
        figures.name,
        str(figures.images),
        f"{figures.recall:.1%}",
        "none" if figures.precision is None else f"{figures.precision:.1%}",
        "" if most is None else f"{found.names[most.predicted]} ({most.images})",
    )
