"""The network as Keras runs it, on any of its backends and devices.

`predict_on_batch` is one traced function per shape (on TensorFlow one for all shapes from the second on), as
fast as a function traced by hand. Neither XLA nor folded batch norms measured faster on a CPU.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from modelzoo.runtimes.anew import MadeAnew
from modelzoo.runtimes.deployment import Precision, Runtime

if TYPE_CHECKING:
    import keras


class KerasPredictor(MadeAnew):
    """A Keras model whose outputs are float32. It answers in the process that made it."""

    runtime: Runtime = "keras"
    precision: Precision = "f32"

    def __init__(self, model: keras.Model):
        self.model = model
        self._process = os.getpid()
        self._lock = threading.Lock()  # on jax, Keras gives its variables away while it computes

    def predict(self, images: np.ndarray) -> np.ndarray:
        if self._process != os.getpid():  # Keras' backends would wait for threads that fork left behind
            raise RuntimeError(
                "This network was loaded before the process was forked, and Keras cannot run it here: "
                "load it in the child process, or start processes by spawn, or use runtime 'openvino'."
            )
        with self._lock:
            return self.model.predict_on_batch(np.asarray(images, np.float32))

    def predict_each(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        return map(self.predict, batches)
