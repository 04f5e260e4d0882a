"""The network as OpenVINO runs it on the CPU: compiled once, then started without TensorFlow or Keras.

Keras builds the network the first time. What OpenVINO compiled of it is kept in the cache, named by all
that it depends on: the weights, the architecture, the precision, OpenVINO and the machine.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

import modelzoo
from modelzoo import zoo
from modelzoo.registry import Entry
from modelzoo.runtimes import BACKEND, compiled

if TYPE_CHECKING:
    import keras

CONVERTER = "openvino.tools.ovc"  # a part of OpenVINO that reports to Google Analytics when it is imported
CAPABILITIES = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}  # OpenVINO's words
WAITING = 2  # batches that OpenVINO has at a time: it computes one while Python fetches another


def _without_converter():
    """OpenVINO without its converter, which nothing here needs and which starts threads and connections.

    OpenVINO itself passes over a converter that cannot be imported. Whoever calls `openvino.convert_model`
    in this process still gets it.
    """
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    sys.modules[CONVERTER] = None
    try:
        import openvino
    finally:
        del sys.modules[CONVERTER]

    def convert_model(*arguments, **options):
        from openvino.tools.ovc import convert_model

        return convert_model(*arguments, **options)

    openvino.convert_model = convert_model
    return openvino


ov = _without_converter()


class OpenVINOPredictor:
    runtime = "openvino"

    def __init__(self, network: ov.CompiledModel, precision: str, stored: compiled.Stored | None = None):
        self.precision = precision
        self._network = network
        self._stored = stored  # its memory is where the network's weights lie
        self._idle: deque[ov.InferRequest] = deque()

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
            for request in running:
                request.wait()

    def _started(self, images: np.ndarray) -> ov.InferRequest:
        try:
            request = self._idle.popleft()
        except IndexError:
            request = self._network.create_infer_request()
        # The request keeps the array until it is given another.
        request.start_async(np.ascontiguousarray(images, np.float32), share_inputs=True)
        return request

    def _output(self, request: ov.InferRequest) -> np.ndarray:
        request.wait()
        output = request.get_output_tensor().data.copy()
        self._idle.append(request)
        return output


def predictor(
    entry: Entry, weights: str | os.PathLike | None, precision: str, arguments: dict[str, Any]
) -> OpenVINOPredictor:
    capabilities = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if CAPABILITIES[precision] not in capabilities:
        there = ", ".join(name for name, word in CAPABILITIES.items() if word in capabilities)
        raise ValueError(f"precision {precision!r} is not what this CPU computes in; it has {there}.")
    if found := _started(entry, weights, precision, arguments):
        return found
    with compiled.lock(entry):  # another process may have been quicker
        found = _started(entry, weights, precision, arguments)
        return found or _compiled(entry, weights, precision, arguments)


def is_compiled(
    entry: Entry, weights: str | os.PathLike | None, precision: str, arguments: dict[str, Any]
) -> bool:
    return _stored(entry, weights, precision, arguments) is not None


def _started(
    entry: Entry, weights: str | os.PathLike | None, precision: str, arguments: dict[str, Any]
) -> OpenVINOPredictor | None:
    """The network as an earlier call left it in the cache, or None if that cannot be used."""
    stored = _stored(entry, weights, precision, arguments)
    if stored is None:
        return None
    try:
        memory = ov.Tensor(stored.memory, shared_memory=True)
        network = _core().import_model(memory, "CPU", _properties(precision))
    except (RuntimeError, ValueError):  # damaged inside; ValueError where even the message is
        return None
    if stored.notes["synthetic"]:
        zoo.warn_of_synthetic(entry)
    return OpenVINOPredictor(_of(precision, network), precision, stored)


def _stored(
    entry: Entry, weights: str | os.PathLike | None, precision: str, arguments: dict[str, Any]
) -> compiled.Stored | None:
    source = compiled.weights(entry, weights, top=arguments.get("include_top", True))
    return source and compiled.find(source, _facts(entry, source, precision, arguments))


def _compiled(
    entry: Entry, weights: str | os.PathLike | None, precision: str, arguments: dict[str, Any]
) -> OpenVINOPredictor:
    """The network compiled from Keras', and kept in the cache if that can be written to."""
    model = zoo.load(entry.key, weights=weights, dtype="float32", **arguments)
    network = from_keras(model, precision)
    top = arguments.get("include_top", True)
    source = compiled.weights(entry, weights, top=top)
    if source is None:
        return OpenVINOPredictor(network, precision)
    try:
        notes = {"synthetic": zoo.is_synthetic(entry, weights, top=top)}
        facts = _facts(entry, source, precision, arguments)
        compiled.keep(source, facts, network.export_model().getbuffer(), notes)
    except OSError:  # nothing can be written
        pass
    return OpenVINOPredictor(network, precision)


def from_keras(model: keras.Model, precision: str) -> ov.CompiledModel:
    """The network of a Keras model, for batches of any size."""
    return _of(precision, _core().compile_model(_converted(model), "CPU", _properties(precision)))


def _converted(model: keras.Model) -> ov.Model:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Networks are compiled for OpenVINO with {BACKEND}=tensorflow, not {keras.backend.backend()}; "
            "do that once, or use runtime 'keras'."
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


def _of(precision: str, network: ov.CompiledModel) -> ov.CompiledModel:
    """The network itself, after a look that it computes in this precision: OpenVINO may choose another."""
    actual = network.get_property("INFERENCE_PRECISION_HINT")
    if actual != getattr(ov.Type, precision):
        raise ValueError(f"OpenVINO computes in {actual} on this machine where {precision} is wanted.")
    return network


def _properties(precision: str) -> dict[str, Any]:
    """Without the first, OpenVINO computes in bf16 on a CPU that can."""
    return {"INFERENCE_PRECISION_HINT": getattr(ov.Type, precision), "PERFORMANCE_HINT": "LATENCY"}


def _facts(
    entry: Entry, source: compiled.Weights, precision: str, arguments: dict[str, Any]
) -> dict[str, Any]:
    """All that a compiled network depends on."""
    return {
        "model": entry.key,
        "graph": dataclasses.asdict(entry.graph),
        "weights": source.content,
        "arguments": arguments,
        "precision": precision,
        "architecture": _architecture(entry.graph.family),
        "openvino": ov.__version__,
        "machine": _machine(),
    }


@cache
def _architecture(family: str) -> list[str]:
    """The version of the network's definition: the package's, and a checksum of the source."""
    folder = resources.files("modelzoo") / "architectures"
    source = b"".join((folder / f"{name}.py").read_bytes() for name in ("__init__", "layers", family))
    facts = [modelzoo.__version__, sha256(source).hexdigest()]
    if family == "keras_applications":  # drawn by Keras
        from importlib.metadata import version

        facts.append(version("keras"))
    return facts


@cache
def _machine() -> list[str]:
    name = _core().get_property("CPU", "FULL_DEVICE_NAME")
    return [platform.machine(), name, *_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")]


@cache
def _core() -> ov.Core:
    return ov.Core()
