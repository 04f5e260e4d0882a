"""predictor(): a model of the registry, ready to answer by the fastest runtime that is at hand.

A predictor turns the array that modelzoo.preprocess gives, float32 (batch, height, width, channels), into the
network's float32 output. Several threads may use one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from modelzoo.registry import Entry

if TYPE_CHECKING:
    import numpy as np

RUNTIMES = ("auto", "openvino", "keras")
PRECISIONS = ("f32", "bf16", "f16")  # what OpenVINO computes in
BACKEND = "KERAS_BACKEND"  # Keras' own variable


class Predictor(Protocol):
    """A network that is ready; which runtime it is on, and what that computes in."""

    runtime: str
    precision: str

    def predict(self, images: np.ndarray) -> np.ndarray:
        """The network's output for a batch of any size."""

    def predict_each(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The output for each batch, in order; the next one is fetched while the network computes."""


def predictor(
    entry: Entry, weights: str | os.PathLike | None, runtime: str, precision: str, **arguments: Any
) -> Predictor:
    """The model that `modelzoo.load(entry.key, weights=weights, **arguments)` gives, ready to answer.

    "auto" is OpenVINO where it can be imported, unless the environment chooses another backend of Keras
    than TensorFlow (for a GPU, say); then it is Keras, like where OpenVINO is not installed. Raises
    ValueError for a runtime or precision that there is not, here or at all.
    """
    check(runtime, precision)
    if chosen(runtime) == "openvino":
        from modelzoo.runtimes import openvino

        return openvino.predictor(entry, weights, precision, arguments)
    if precision != "f32":
        raise ValueError(
            f"precision {precision!r} is OpenVINO's; runtime 'keras' computes in f32, "
            "and modelzoo.load(dtype=...) in others."
        )
    from modelzoo.runtimes import keras

    return keras.predictor(entry, weights, arguments)


def is_compiled(
    entry: Entry, weights: str | os.PathLike | None, runtime: str, precision: str, **arguments: Any
) -> bool:
    """Whether predictor() needs no Keras, because an earlier one of the same arguments did the work."""
    check(runtime, precision)
    if chosen(runtime) != "openvino":
        return False
    from modelzoo.runtimes import openvino

    return openvino.is_compiled(entry, weights, precision, arguments)


def check(runtime: str, precision: str) -> None:
    """Raises ValueError unless there are such a runtime and precision."""
    if runtime not in RUNTIMES:
        raise ValueError(f"runtime must be one of {', '.join(RUNTIMES)}, not {runtime!r}.")
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}.")


def chosen(runtime: str) -> str:
    """Which runtime "auto" means here; raises ValueError if OpenVINO is wanted and cannot be imported."""
    if runtime == "keras" or (runtime == "auto" and os.environ.get(BACKEND, "tensorflow") != "tensorflow"):
        return "keras"
    try:
        from modelzoo.runtimes import openvino  # noqa: F401
    except ImportError as error:
        if runtime == "auto":
            return "keras"
        raise ValueError(
            f"runtime 'openvino' wants the package openvino, which cannot be imported ({error}): "
            "pip install openvino, or use runtime 'keras'."
        ) from error
    return "openvino"
