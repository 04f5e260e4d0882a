"""The folder of a run, beside the model's: its lock, what it is a run of, logs and curves."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelzoo import store
from modelzoo.errors import ModelZooError, OutputError, readable
from modelzoo.evaluation.charts import curves_svg
from modelzoo.files import atomic_write
from modelzoo.training import data
from modelzoo.training.checkpoints import CHECKPOINT, reason
from modelzoo.training.network import Base
from modelzoo.training.options import TrainingOptions

if TYPE_CHECKING:
    from modelzoo.training.loop import State

RUN = ".run"  # ends the name of the folder, with logs, curves and the report
WORK = "work"  # in it, until the end: images, checkpoints
SETTINGS = "settings.json"
LOCK = "lock"


def run_of(target: Path) -> Path:
    return target.with_name(target.name + RUN)


def write_text(target: Path, text: str) -> None:
    with atomic_write(target) as path:
        path.write_text(text, "utf-8")


def check_target(target: Path) -> None:
    store.check_folder_target(target)
    if target.exists() and any(target.iterdir()) and not (run_of(target) / WORK).exists():
        raise OutputError(
            f"{readable(str(target))} is a model folder already: choose another name, or remove it."
        )


def check_settings(work: Path, base: Base, parts: data.Split, options: TrainingOptions) -> None:
    """Notes what this run is of; raises OutputError where another one has trained and is unfinished."""
    facts = {
        "base": f"{base.entry.key} {base.weights}",
        "data": parts.digest(),
        **{k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(options).items()},
    }
    path = work / SETTINGS
    try:
        known: Any = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        known = {}
    has_trained = any(work.glob(f"*/{CHECKPOINT}"))
    if not known or not has_trained:  # an image may have been repaired, or an option
        write_text(path, json.dumps(facts))
    elif changed := [name for name in facts if known.get(name) != facts[name]]:
        raise OutputError(
            f"{readable(str(work.parent))} has an unfinished run of another {', '.join(changed)}: "
            "rerun that one to resume it, or remove the folder, or choose another output."
        )


@contextmanager
def writable(folder: Path) -> Generator[None]:
    """Raises OutputError where a file of the run, or of the model beside it, cannot be written."""
    try:
        yield
    except ModelZooError:
        raise
    except OSError as error:
        if error.filename is not None and not Path(error.filename).is_relative_to(folder.parent):
            raise
        raise OutputError(
            f"{readable(str(folder))} cannot be written to ({reason(error)}): free some space there, or "
            "choose another output; the same command resumes."
        ) from error


@contextmanager
def locked(work: Path) -> Generator[None]:
    from filelock import FileLock, Timeout

    work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(work.with_name(LOCK))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OutputError(f"Another process trains in {readable(str(work.parent))}: wait for it.") from error
    try:
        yield
    finally:
        lock.release()
        work.with_name(LOCK).unlink(missing_ok=True)


def write_logs(folder: Path, title: str, state: State, *, tensorboard: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [dataclasses.asdict(epoch) for epoch in state.done]
    with atomic_write(folder / "log.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    losses = {
        name: [row[name] for row in rows] for name in ("loss", "validation_loss", "validation_accuracy")
    }
    write_text(folder / "curves.svg", curves_svg(losses, title))
    if tensorboard:
        _write_events(folder / "tensorboard", rows)


def _write_events(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    """What TensorBoard shows as scalars; it need not be installed here, as tf.summary.scalar asks for."""
    import tensorflow as tf

    Metadata: Any = tf.compat.v1.SummaryMetadata
    scalars = Metadata(plugin_data=Metadata.PluginData(plugin_name="scalars"), data_class="DATA_CLASS_SCALAR")
    with tf.summary.create_file_writer(str(folder)).as_default():
        for row in rows:
            for name, value in row.items():
                tf.summary.write(name, tf.constant(value, tf.float32), row["epoch"], scalars)
