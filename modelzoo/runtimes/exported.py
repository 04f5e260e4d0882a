"""The networks of exported files, each on the runtime that its format is for."""

from __future__ import annotations

import ctypes
import os
import threading
import warnings
from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelzoo.errors import ExportError, quoted, readable
from modelzoo.exporters import inspect
from modelzoo.runtimes.anew import MadeAnew
from modelzoo.runtimes.deployment import Precision, Runtime
from modelzoo.runtimes.saved_model import SavedModelPredictor

if TYPE_CHECKING:
    from modelzoo.runtimes.keras import KerasPredictor
    from modelzoo.runtimes.openvino import OpenVINOPredictor

LITERT = "ai_edge_litert"  # LiteRT's own package; TensorFlow has the same interpreter


class OnnxPredictor(MadeAnew):
    """A network that ONNX Runtime has loaded; threads may share it.

    A fork leaves its threads behind, so that a child loads it again.
    """

    runtime: Runtime = "onnxruntime"
    precision: Precision = "f32"

    def __init__(self, path: Path):
        self._path, self._lock = path.absolute(), threading.Lock()
        self._load()

    def _load(self) -> None:
        untyped: Any = import_module("onnxruntime")
        options = untyped.SessionOptions()
        options.log_severity_level = 3  # errors only
        self._session = untyped.InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])
        self._input: str = self._session.get_inputs()[0].name
        self._process = os.getpid()

    def predict(self, images: np.ndarray) -> np.ndarray:
        with self._lock:
            if self._process != os.getpid():
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))  # its end would wait for threads
                self._load()
        return self._session.run(None, {self._input: np.ascontiguousarray(images, np.float32)})[0]

    def predict_each(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        return map(self.predict, batches)


class LitertPredictor(MadeAnew):
    """A network that LiteRT has loaded; one thread at a time runs it."""

    runtime: Runtime = "litert"
    precision: Precision = "f32"

    def __init__(self, path: Path):
        with warnings.catch_warnings():  # TensorFlow's own says that it moves elsewhere
            warnings.simplefilter("ignore")
            self._interpreter = _interpreter()(model_path=str(path))
        self._runner = self._interpreter.get_signature_runner()
        (self._input,) = self._runner.get_input_details()
        self._lock = threading.Lock()

    def predict(self, images: np.ndarray) -> np.ndarray:
        with self._lock:
            found = self._runner(**{self._input: np.ascontiguousarray(images, np.float32)})
        (output,) = found.values()
        return output

    def predict_each(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        return map(self.predict, batches)


def _interpreter() -> Any:
    """LiteRT's interpreter: its own package's, or TensorFlow's."""
    try:
        return import_module(f"{LITERT}.interpreter").Interpreter
    except ImportError:
        return import_module("tensorflow.lite.python.interpreter").Interpreter


def file_predictor(
    path: Path, runtime: Runtime, precision: Precision
) -> OnnxPredictor | LitertPredictor | OpenVINOPredictor | KerasPredictor | SavedModelPredictor:
    """The network of a file, ready to answer. Raises ExportError, with pip's command where that helps."""
    found = inspect(path)
    if runtime == "coreml":
        raise ExportError(
            f"{readable(str(path))} runs on Apple's systems, by Core ML, and not by modelzoo: "
            "name the model, or export it to another format."
        )
    if runtime != "litert" or find_spec(LITERT) is None:
        found.format.require()
    try:
        if runtime == "onnxruntime":
            return OnnxPredictor(path)
        if runtime == "litert":
            return LitertPredictor(path)
        if runtime == "tensorflow":
            return SavedModelPredictor(path)
        if runtime == "openvino":
            from modelzoo.runtimes import openvino

            return openvino.compile_file(path, precision)
        return _of_keras(path)
    except ExportError:
        raise
    except Exception as error:  # each runtime has its own for what it cannot load
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise ExportError(f"{readable(str(path))} cannot be loaded: {quoted(words[0])}") from error


def _of_keras(path: Path) -> KerasPredictor:
    from modelzoo.backends import keras_files
    from modelzoo.runtimes.keras import KerasPredictor

    return KerasPredictor(keras_files.opened(path))
