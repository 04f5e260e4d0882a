"""finetune(): a folder with one folder a class, and a model -> a model folder for these classes."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelzoo import store
from modelzoo.evaluation import Evaluation, Proportion, evaluate
from modelzoo.store import PRETRAINED
from modelzoo.training import data, delta
from modelzoo.training.head import fit_head
from modelzoo.training.network import Base, build, check_level, open_layers, set_head, with_probabilities
from modelzoo.training.options import TrainingOptions
from modelzoo.training.pixels import Pixels, read_pixels
from modelzoo.training.progress import Progress
from modelzoo.training.runs import (
    WORK,
    check_settings,
    check_target,
    locked,
    run_of,
    writable,
    write_logs,
    write_text,
)

if TYPE_CHECKING:
    import keras

    from modelzoo.training.loop import State

RANDOM = "random-init"
DELTA = ".delta.safetensors"
DEFAULTS = TrainingOptions()
LEARNING = 0.95  # of the time; the rest is for saving and the report


@dataclass(frozen=True)
class Finetuned:
    """What came of a fine-tuning.

    folder: the model folder. run: the folder with log.csv, curves.svg, finetune.json and report/.
    best_epoch: whose weights are kept; 0: no epoch was better than the head alone on the validation images.
    head_accuracy: of the linear head alone on the validation images; None where training began at random.
    test: the figures on images that took no part in it; random_init: the same of the same training
        from random weights, if that was asked for.
    seconds: of this call's phases.
    """

    folder: str
    run: str
    classes: tuple[str, ...]
    images: dict[str, int]
    epochs: int
    best_epoch: int
    head_accuracy: float | None
    validation_accuracy: float
    test: Evaluation
    random_init: Evaluation | None
    delta: str | None
    notes: tuple[str, ...]
    seconds: dict[str, float]

    @property
    def accuracy(self) -> Proportion:
        """The part of the test images whose class is found, with its 95 % interval."""
        return self.test.top1

    def to_dict(self) -> dict[str, Any]:
        """All as plain JSON."""
        found = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        tests = {name: found[name] and found[name].to_dict() for name in ("test", "random_init")}
        return found | tests


@dataclass
class _Run:
    """What the phases share."""

    base: Base
    parts: data.Split
    options: TrainingOptions
    target: Path
    work: Path
    progress: Progress
    started: float
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    @contextmanager
    def timed(self, phase: str) -> Generator[None]:
        start = time.perf_counter()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start


def finetune(
    folder: str | os.PathLike[str],
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    test: str | os.PathLike[str] | None = None,
    validation: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = PRETRAINED,
    options: TrainingOptions = DEFAULTS,
    random_init: bool = False,
    delta_file: bool = False,
    tensorboard: bool = False,
    progress: bool = False,
) -> Finetuned:
    """Fine-tunes a model for the classes of a folder, and saves it as the model folder `output`.

    folder: with one folder a class, of images. test, validation: the same of others; without them parts
        of the folder are set aside, by the options' seed, a tenth each.
    model, weights: where training starts, as in modelzoo.load; a model folder is taken, too.
    options: see TrainingOptions.
    random_init: trains the same network from random weights, too, to see what the pretraining is worth.
    delta_file: writes OUTPUT.delta.safetensors, too, with the tensors that differ from the base's;
        apply_delta makes the model folder of it again.

    First a linear head is fit to embeddings by the frozen network; then all layers, or those from a level on,
    are trained. OUTPUT.run has the logs, curves and the report on the test images. Each epoch ends with a
    checkpoint: rerun the same call to resume after an interruption.

    Raises ImageError and LabelsError for images that cannot be learnt from, before anything is trained;
    ValueError for a level or size that the network does not have; OutputError, and as modelzoo.load does.
    """
    base, started = Base(model, weights, options.size), time.perf_counter()
    target = _checked(base, options, output)
    parts = data.split(folder, validation, test, options)
    run = _Run(base, parts, options, target, run_of(target) / WORK, Progress(progress), started)
    with writable(run_of(target)), locked(run.work):
        check_settings(run.work, base, parts, options)
        found = _finetuned(run, test, random_init=random_init, delta_file=delta_file, tensorboard=tensorboard)
    shutil.rmtree(run.work)
    return found


def _checked(base: Base, options: TrainingOptions, output: str | os.PathLike[str]) -> Path:
    """Where the model folder is to be; raises for what could not be trained or saved, whatever the images."""
    target = Path(os.path.abspath(os.path.expanduser(output)))
    base.check()
    check_level(base, options.from_level)
    check_target(target)
    return target


def _finetuned(
    run: _Run, test: str | os.PathLike[str] | None, *, random_init: bool, delta_file: bool, tensorboard: bool
) -> Finetuned:
    with run.timed("reading"):
        pixels = _pixels(run)
    model, head_accuracy = _with_head(run, pixels)
    folder, at_first = run.work / "training", head_accuracy or 0.0
    state = None if run.options.head_only else _trained(run, model, pixels, folder, at_first)
    logs = run_of(run.target)
    if state is not None:
        write_logs(logs, run.target.name, state, tensorboard=tensorboard)
    tested = _test_folder(run, test)
    with run.timed("report"):
        evaluation = _saved_and_evaluated(run, model, run.target, tested, logs / "report")
    path = run.target.with_name(run.target.name + DELTA) if delta_file else None
    if path is not None:
        delta.write(path, run.base, run.target, model)
    baseline = _baseline(run, pixels, tested, state) if random_init else None
    best = state.done[state.best - 1] if state is not None and state.best else None
    parts = run.parts
    found = Finetuned(
        folder=str(run.target),
        run=str(logs),
        classes=parts.classes,
        images={"train": len(parts.train), "validation": len(parts.validation), "test": len(parts.test)},
        epochs=0 if state is None else len(state.done),
        best_epoch=0 if best is None else best.epoch,
        head_accuracy=head_accuracy,
        validation_accuracy=at_first if best is None else best.validation_accuracy,
        test=evaluation,
        random_init=baseline,
        delta=None if path is None else str(path),
        notes=parts.notes,
        seconds=run.seconds,
    )
    write_text(logs / "finetune.json", json.dumps(found.to_dict(), indent=2, ensure_ascii=False) + "\n")
    return found


def _pixels(run: _Run) -> Pixels:
    options = run.options
    return read_pixels(
        run.parts,
        run.base,
        run.work,
        run.progress,
        head_only=options.head_only,
        embed=run.base.weights is not None,
        most=options.cache_bytes,
    )


def _labels(samples: tuple[data.Sample, ...]) -> np.ndarray:
    return np.array([sample.label for sample in samples], np.int64)


def _with_head(run: _Run, pixels: Pixels) -> tuple[keras.Model, float | None]:
    """The network with a head that is fit to its embeddings, and the head's accuracy."""
    model = build(run.base, len(run.parts.classes), run.options.dropout)
    if pixels.embeddings is None:
        return model, None
    from modelzoo.training.batches import sample_weights

    labels, classes = _labels(run.parts.train), len(run.parts.classes)
    with run.timed("head"):
        head = fit_head(
            (pixels.embeddings[0], labels),
            (pixels.embeddings[1], _labels(run.parts.validation)),
            classes,
            label_smoothing=0.0 if run.options.head_only else run.options.label_smoothing,
            sample_weights=sample_weights(labels, classes, run.options.class_weights),
        )
    set_head(model, head.kernel, head.bias)
    return model, head.accuracy


def _trained(run: _Run, model: keras.Model, pixels: Pixels, folder: Path, at_first: float = 0.0) -> State:
    """Trains the model, which has the best epoch's weights afterwards."""
    from modelzoo.training.batches import Batches
    from modelzoo.training.loop import Training

    options, parts = run.options, run.parts
    if pixels.embeddings is None or folder.name == RANDOM:  # there is nothing to keep
        options = dataclasses.replace(options, batch_norm=True, from_level=None)
    open_layers(model, options)
    batches = Batches(
        pixels.squares, _labels(parts.train), len(parts.classes), run.base.preprocessing, options
    )
    validation = (pixels.validation, _labels(parts.validation))
    ends = None if options.seconds is None else run.started + LEARNING * options.seconds
    with run.timed(folder.name):
        found = Training(model, batches, validation, folder, options, run.progress, ends, at_first)
        return found.run()


def _baseline(run: _Run, pixels: Pixels, tested: Path, trained: State | None) -> Evaluation:
    """The figures of the same network, trained for as many epochs from random weights."""
    import keras

    if trained is not None:
        options = dataclasses.replace(run.options, epochs=len(trained.done), seconds=None, patience=None)
        run = dataclasses.replace(run, options=options)
    keras.utils.set_random_seed(run.options.seed)
    base = dataclasses.replace(run.base, weights=None)
    model = build(base, len(run.parts.classes), run.options.dropout)
    state = _trained(run, model, pixels, run.work / RANDOM)
    logs = run_of(run.target) / RANDOM
    write_logs(logs, f"{run.target.name}, from random weights", state, tensorboard=False)
    return _saved_and_evaluated(run, model, logs / "model", tested, logs / "report")


def _saved_and_evaluated(
    run: _Run, model: keras.Model, target: Path, tested: Path, report: Path
) -> Evaluation:
    """Saves the model as a folder that holds the figures on the test images."""
    store.save(
        with_probabilities(model),
        target,
        base=run.base.model,
        labels=run.parts.classes,
        preprocessing=run.base.preprocessing,
        note=f"Fine-tuned by modelzoo on {len(run.parts.train)} images.",
    )
    shutil.rmtree(report, ignore_errors=True)
    evaluation = evaluate(tested, target, output=report)
    store.add_metrics(target, evaluation.metrics())
    return evaluation


def _test_folder(run: _Run, given: str | os.PathLike[str] | None) -> Path:
    """The folder of the test images; those that were set aside are linked in one of the run's."""
    if given is not None:
        return Path(given)
    folder = run_of(run.target) / "test"
    shutil.rmtree(folder, ignore_errors=True)
    for sample in run.parts.test:
        path = folder / sample.relative
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.symlink_to(os.path.abspath(sample.path))
        except OSError:  # Windows, mostly
            shutil.copyfile(sample.path, path)
    return folder
