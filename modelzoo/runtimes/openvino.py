"""The network as OpenVINO runs it on the CPU: compiled once, and from then on only started."""

from __future__ import annotations

import ctypes
import os
import platform
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelzoo.backends.openvino_import import import_openvino
from modelzoo.runtimes.anew import MadeAnew
from modelzoo.runtimes.compiled import Stored
from modelzoo.runtimes.deployment import Precision, Runtime

if TYPE_CHECKING:
    import openvino as ov

    from modelzoo.graph import Graph
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

    def export(self, file: BytesIO) -> None:
        """Writes the compiled network as import_network takes it, a part after the other."""
        self._network.export_model(file)

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


def compile_graph(graph: Graph, arrays: Mapping[str, np.ndarray], precision: Precision) -> OpenVINOPredictor:
    """The network of a graph with one output and the arrays of its weights, for batches of any size.

    For the arrays see backends.openvino.model, which raises for those that do not fit. They are not needed
    any more afterwards.
    """
    from modelzoo.backends import openvino as backend  # which networks that are compiled do not need

    network = _core().compile_model(backend.model(graph, arrays), "CPU", _properties(precision))
    return OpenVINOPredictor(_checked(precision, network), precision)


def compile_file(path: Path, precision: Precision) -> OpenVINOPredictor:
    """The network of an .xml file, whose .bin file lies beside it."""
    check_process()
    check_precision(precision)
    network = _core().compile_model(str(path), "CPU", _properties(precision))
    return OpenVINOPredictor(_checked(precision, network), precision)


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
