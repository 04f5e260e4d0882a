"""The network as OpenVINO runs it on the CPU: compiled once, then started without TensorFlow or Keras."""

from __future__ import annotations

import ctypes
import os
import platform
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from modelzoo import settings
from modelzoo.runtimes.anew import MadeAnew
from modelzoo.runtimes.compiled import Stored
from modelzoo.runtimes.deployment import Precision, Runtime
from modelzoo.runtimes.openvino_import import import_openvino

if TYPE_CHECKING:
    import keras
    import openvino as ov
else:
    ov = import_openvino()


@dataclass
class _Forks:
    """What decides whether OpenVINO can load networks in a child.

    It gives the threads of a network that is gone to the next one; those of the parent never answer.
    """

    peak: int = 0  # of predictors at the same time
    left_threads: bool = False


_predictors: weakref.WeakSet[OpenVINOPredictor] = weakref.WeakSet()
_forks = _Forks()

CAPABILITIES = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}  # OpenVINO's words
WAITING = 2  # batches that OpenVINO has at a time: it computes one while Python fetches another


class OpenVINOPredictor(MadeAnew):
    """A network that OpenVINO compiled; its requests wait idle until they are needed again.

    A fork leaves OpenVINO's threads behind, and whoever waits for one hangs. So in the child, requests are
    computed by the thread that asks: the same numbers, on one core.
    """

    runtime: Runtime = "openvino"

    def __init__(self, network: ov.CompiledModel, precision: Precision, stored: Stored | None = None):
        self.precision: Precision = precision
        self._network = network
        self._stored = stored  # its memory is where the network's weights lie
        self._idle: deque[ov.InferRequest] = deque()
        self._requests: list[ov.InferRequest] = []
        self._process = os.getpid()
        _predictors.add(self)
        _forks.peak = max(_forks.peak, len(_predictors))

    def predict(self, images: np.ndarray) -> np.ndarray:
        return self._output(self._started(images))

    def predict_each(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        running: deque[ov.InferRequest] = deque()
        try:
            for images in batches:
                running.append(self._started(images))
                if len(running) == WAITING:
                    yield self._output(running.popleft())
            while running:
                yield self._output(running.popleft())
        finally:
            for request in running if self._process == os.getpid() else ():
                request.wait()

    def export(self) -> memoryview:
        """The compiled network as bytes that import_network takes."""
        return self._network.export_model().getbuffer()

    def keep_alive(self) -> None:
        """Lets nothing destroy the network as long as the process lasts: that would wait for its threads."""
        for left in (self._network, self._stored, *self._requests):
            _never_destroyed(left)

    def _started(self, images: np.ndarray) -> ov.InferRequest:
        try:
            request = self._idle.popleft()
        except IndexError:
            request = self._network.create_infer_request()
            self._requests.append(request)
        array = np.ascontiguousarray(images, np.float32)  # the request keeps it until it is given another
        if self._process == os.getpid():
            request.start_async(array, share_inputs=True)
        else:
            request.infer(array, share_inputs=True)
        return request

    def _output(self, request: ov.InferRequest) -> np.ndarray:
        if self._process == os.getpid():
            request.wait()
        output = request.get_output_tensor().data.copy()
        self._idle.append(request)
        return output


def check_process() -> None:
    """Raises RuntimeError in a process in which OpenVINO would hang while it loads a network."""
    if _forks.left_threads:
        raise RuntimeError(
            "This process was forked after a network had been used and dropped, so that OpenVINO would hang "
            "here: keep the Classifier that was made before the fork, or start processes by spawn."
        )


def check_precision(precision: Precision) -> None:
    """Raises ValueError unless this CPU computes in the precision."""
    capabilities = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if CAPABILITIES[precision] not in capabilities:
        there = ", ".join(name for name, word in CAPABILITIES.items() if word in capabilities)
        raise ValueError(f"precision {precision!r} is not what this CPU computes in; it has {there}.")


def facts(precision: Precision) -> dict[str, Any]:
    """What a compiled network depends on beside the network."""
    return {"precision": precision, "openvino": ov.__version__, "machine": _machine()}


def import_network(stored: Stored, precision: Precision) -> OpenVINOPredictor | None:
    """A network that export() gave; None if it cannot be used."""
    try:
        memory = ov.Tensor(stored.memory, shared_memory=True)
        network = _core().import_model(memory, "CPU", _properties(precision))
    except (RuntimeError, ValueError):  # damaged inside; ValueError where even the message is
        return None
    return OpenVINOPredictor(_checked(precision, network), precision, stored)


def compile_model(model: keras.Model, precision: Precision) -> OpenVINOPredictor:
    """The network of a Keras model, for batches of any size. Keras must run on TensorFlow."""
    network = _core().compile_model(_convert(model), "CPU", _properties(precision))
    return OpenVINOPredictor(_checked(precision, network), precision)


def _convert(model: keras.Model) -> ov.Model:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Networks are compiled for OpenVINO with {settings.BACKEND}=tensorflow, "
            f"not {keras.backend.backend()}; do that once, or use runtime 'keras'."
        )
    import tensorflow as tf
    from openvino.frontend import FrontEndManager
    from openvino.frontend.tensorflow.graph_iterator import GraphIteratorTFGraph

    function = tf.function(lambda images: model(images, training=False), autograph=False)
    graph = function.get_concrete_function(tf.TensorSpec(model.input_shape, tf.float32)).graph
    frontend = FrontEndManager().load_by_framework("tf")  # what openvino.convert_model uses, less its reports
    outputs = {graph.outputs[0].name: "output"}  # or else what nothing consumes is an output, too
    nodes = GraphIteratorTFGraph(graph, share_weights=False, output_names_map=outputs)
    return frontend.convert(frontend.load(nodes))  # which does not keep the nodes alive


def _checked(precision: Precision, network: ov.CompiledModel) -> ov.CompiledModel:
    """The network itself, after a look that it computes in this precision: OpenVINO may choose another."""
    actual = network.get_property("INFERENCE_PRECISION_HINT")
    if actual != getattr(ov.Type, precision):
        raise ValueError(f"OpenVINO computes in {actual} on this machine where {precision} is asked for.")
    return network


def _properties(precision: Precision) -> dict[str, Any]:
    """Without the first, OpenVINO computes in bf16 on a CPU that can."""
    return {"INFERENCE_PRECISION_HINT": getattr(ov.Type, precision), "PERFORMANCE_HINT": "LATENCY"}


@cache
def _machine() -> list[str]:
    name = _core().get_property("CPU", "FULL_DEVICE_NAME")
    return [platform.machine(), name, *_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")]


@cache
def _core() -> ov.Core:
    return ov.Core()


def _never_destroyed(thing: object) -> None:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _after_fork() -> None:
    """In the child: forgets what OpenVINO's threads of the parent belong to, and lets nothing destroy it."""
    predictors = list(_predictors)
    _forks.left_threads |= _forks.peak > len(predictors)
    for predictor in predictors:
        predictor.keep_alive()
    if _core.cache_info().currsize:
        _never_destroyed(_core())
        _core.cache_clear()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_after_fork)
