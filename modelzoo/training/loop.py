"""The epochs: each ends with a checkpoint, from which the same training goes on after any interruption."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from modelzoo.tasks.pipeline import in_order
from modelzoo.training import checkpoints
from modelzoo.training.batches import Batch, Batches
from modelzoo.training.head import Floats, Numbers, score
from modelzoo.training.options import TrainingOptions
from modelzoo.training.progress import Progress
from modelzoo.training.rates import rate_at, rate_for

THREADS = min(8, max(2, os.cpu_count() or 1))  # that make batches
AHEAD = THREADS + 2  # batches that are made before they are needed
NO_DECAY = ["bias", "gamma", "beta"]
BEST = "best.safetensors"


@dataclass(frozen=True)
class Epoch:
    """What came of an epoch; the validation is of the averaged weights."""

    epoch: int
    loss: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    seconds: float
    images_per_second: float


@dataclass
class State:
    """How far a training is. `epochs` is how many it will have; `best` the one whose weights
    are kept; 0: those of the beginning, the fitted head's."""

    epochs: int
    done: list[Epoch] = field(default_factory=list[Epoch])
    best: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> State:
        return cls(facts["epochs"], [Epoch(**epoch) for epoch in facts["done"]], facts["best"])


@dataclass
class Training:
    """One training: a model of logits, its batches, its validation images, and the folder of its checkpoints.

    ends: by time.perf_counter(), when it should be over; None: after the options' epochs.
    at_first: the validation accuracy before the first epoch, which an epoch must reach to be the best.
    """

    model: keras.Model
    batches: Batches
    validation: tuple[Floats, Numbers]
    folder: Path
    options: TrainingOptions
    progress: Progress
    ends: float | None = None
    at_first: float = 0.0
    highest_rate: float = field(init=False, default=0.0)

    def run(self) -> State:
        """Trains, or resumes an earlier run; the model has the best epoch's weights afterwards."""
        self.compile()
        beginning = checkpoints.weights_of(self.model)
        state = self._resumed() or State(self.options.epochs)
        norms, made = quick_batch_norms(self.model, self.batches.steps), self.batches_from(len(state.done))
        with norms, closing(made):
            while len(state.done) < state.epochs and not self._is_patient_no_more(state):
                self._epoch(state, made)
        self._take_best(beginning if state.best == 0 else None)
        return state

    def compile(self) -> None:
        """Gives the model its optimizer and loss; run() does it, too."""
        options = self.options
        self.highest_rate = options.learning_rate or rate_for(self.model)
        optimizer = keras.optimizers.AdamW(
            self.highest_rate,
            weight_decay=options.weight_decay,
            use_ema=options.ema > 0,
            ema_momentum=min(options.ema, kept_by_a_step(self.batches.steps)),
        )
        optimizer.exclude_from_weight_decay(var_names=NO_DECAY)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=options.label_smoothing)
        # XLA's convolutions are slower on a CPU, and take long to compile.
        self.model.compile(optimizer, loss, jit_compile=keras.backend.backend() == "jax")
        optimizer.build(self.model.trainable_variables)

    def _resumed(self) -> State | None:
        found = checkpoints.load(self.folder / checkpoints.CHECKPOINT)
        if found is None:
            return None
        arrays, facts = found
        checkpoints.assign(checkpoints.variables_of(self.model), arrays)
        return State.from_dict(facts)

    def batches_from(self, epochs_done: int) -> Generator[Batch]:
        """All batches that come after so many epochs, without an end, made before they are needed."""
        first = epochs_done * self.batches.steps
        steps = iter(range(first, 2**62))
        return in_order(self.batches.batch, steps, ahead=AHEAD, threads=THREADS)

    def step(self, batch: Batch) -> float:
        """The batch's loss before the model learns from it."""
        self.model.reset_metrics()
        found = self.model.train_on_batch(batch.images, batch.targets, sample_weight=batch.weights)
        return float(found)

    def _is_patient_no_more(self, state: State) -> bool:
        patience = self.options.patience
        if patience is None or len(state.done) <= patience:
            return False
        losses = [epoch.validation_loss for epoch in state.done]
        return min(losses[-patience:]) > min(losses[:-patience])

    def _epoch(self, state: State, made: Iterator[Batch]) -> None:
        number, steps = len(state.done), self.batches.steps
        started = time.perf_counter()
        after_first, losses, rate = started, list[float](), 0.0
        for place in self.progress.shown(range(steps), steps, f"epoch {number + 1}/{state.epochs}"):
            rate = rate_at(number * steps + place, steps, state.epochs, self.highest_rate)
            self.model.optimizer.learning_rate.assign(rate)
            losses.append(self.step(next(made)))
            if not place:
                after_first = time.perf_counter()
        trained = time.perf_counter()
        averaged, logits = self._validated()
        seconds = time.perf_counter() - started
        if not state.done and self.options.seconds is not None and self.ends is not None:
            step = (trained - after_first) / max(1, steps - 1)  # without the first, which traces the network
            each = step * steps + time.perf_counter() - trained
            state.epochs = 1 + max(0, int((self.ends - time.perf_counter()) / each))
        images = steps * self.options.batch_size
        loss, speed = float(np.mean(losses)), images / (trained - started)
        state.done.append(Epoch(number + 1, loss, *score(logits, self.validation[1]), rate, seconds, speed))
        self._keep(state, averaged)

    def _validated(self) -> tuple[list[np.ndarray], Floats]:
        """The averaged weights, and the validation images' logits by them; the model stays as it is."""
        own = checkpoints.weights_of(self.model)
        if self.options.ema > 0:
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        averaged = checkpoints.weights_of(self.model)
        # On JAX the model now shares the optimizer's arrays, which predicting would take from both.
        checkpoints.assign(self.model.weights, checkpoints.numbered(averaged))
        logits = predicted(self.model, self.validation[0], self.options.batch_size)
        for variable, array in zip(self.model.weights, own, strict=True):
            variable.assign(array)
        return averaged, logits

    def _keep(self, state: State, averaged: Sequence[np.ndarray]) -> None:
        """Writes the checkpoint, and before it the best weights: an epoch done again makes the same."""
        best = max(state.done, key=lambda epoch: (epoch.validation_accuracy, -epoch.validation_loss))
        if best is state.done[-1] and best.validation_accuracy >= self.at_first:
            state.best = best.epoch
            checkpoints.save(self.folder / BEST, checkpoints.numbered(averaged), {"epoch": best.epoch})
        variables = checkpoints.variables_of(self.model)
        arrays = [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
        checkpoints.save(self.folder / checkpoints.CHECKPOINT, checkpoints.numbered(arrays), state.to_dict())

    def _take_best(self, beginning: Sequence[np.ndarray] | None) -> None:
        if beginning is not None:
            checkpoints.assign(self.model.weights, checkpoints.numbered(beginning))
        elif found := checkpoints.load(self.folder / BEST):
            checkpoints.assign(self.model.weights, found[0])


def predicted(model: keras.Model, images: Floats, batch_size: int) -> Floats:
    """The model's outputs; the last batch is filled up with zeros, so that all have one shape."""
    found: list[Floats] = []
    for start in range(0, len(images), batch_size):
        batch = np.zeros((batch_size, *images.shape[1:]), np.float32)
        part = images[start : start + batch_size]
        batch[: len(part)] = part
        found.append(model.predict_on_batch(batch)[: len(part)])
    return np.concatenate(found)


def kept_by_a_step(steps: int) -> float:
    """The part of a moving average that a step keeps, for one of about an epoch."""
    return 1 - 1 / (steps + 1)


@contextmanager
def quick_batch_norms(model: keras.Model, steps: int) -> Generator[None]:
    """Within it the moving statistics of batch norms are those of about an epoch, at most.

    Keras' momentum of 0.99, and that of some networks of 0.9997, takes more steps than few images make: what
    is trained with the images' statistics would be used with mostly those of the pretraining.
    """
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    before = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = min(layer.momentum, kept_by_a_step(steps))
    try:
        yield
    finally:
        for layer, momentum in zip(norms, before, strict=True):
            layer.momentum = momentum
