"""Deployment: which model answers, with which weights, and how: one value that all who run networks share."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from modelzoo import registry, settings, store
from modelzoo.backends.openvino_import import import_openvino
from modelzoo.errors import UnknownModel, quoted, readable
from modelzoo.registry import Entry
from modelzoo.store import PRETRAINED

Runtime = Literal["auto", "openvino", "keras", "onnxruntime", "litert", "tensorflow", "coreml"]
Precision = Literal["f32", "bf16", "f16"]  # what OpenVINO computes in
Crops = Literal[1, 10]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
CROPS: tuple[Crops, ...] = get_args(Crops)
PACKAGE = ".mlpackage"  # the ending that a folder has
FILES: dict[str, Runtime] = {  # that modelzoo exports, by their ending
    ".onnx": "onnxruntime",
    ".xml": "openvino",
    ".keras": "keras",
    ".tflite": "litert",
    PACKAGE: "coreml",
}
SAVED_MODEL = "saved_model.pb"  # in a folder that is a SavedModel
DEFAULT_MODEL = "resnet9_cifar10"  # it comes with the package, so it always answers


@dataclass(frozen=True)
class Deployment:
    """A model and how it runs: frozen, hashable, JSON. Equal deployments give equal answers.

    model: a name of the registry, kept as its key; the path of a model folder, kept as an absolute one; or
        the path of a file that modelzoo exported, which answers by itself, on the runtime that its format is
        for.
    weights: as in modelzoo.load; a path is kept as a string.
    runtime: "openvino", on the CPU; "keras", on any of Keras' backends and devices; or "auto", the fastest
        available: OpenVINO, unless it cannot be imported or KERAS_BACKEND chooses another backend than
        TensorFlow (for a GPU, say). Kept as what it means here: all machines of a cluster run the same.
        "onnxruntime", "litert" and "tensorflow" are for exported .onnx and .tflite files and SavedModels.
    precision: what OpenVINO computes in: "f32", or on request "bf16" or "f16" if the CPU can.
    crops: 10 takes the mean over the corners, the center and their mirror images.
    fast_decode: decodes JPEGs at reduced resolution: faster, slightly different pixels.

    Raises UnknownModel, ExportError for a file that modelzoo did not export, and ValueError for another
    runtime, precision or number of crops.
    """

    model: str | os.PathLike[str] = DEFAULT_MODEL
    weights: str | os.PathLike[str] | None = PRETRAINED
    runtime: Runtime = "auto"
    precision: Precision = "f32"
    crops: Crops = 1
    fast_decode: bool = False

    def __post_init__(self) -> None:
        _check("runtime", self.runtime, RUNTIMES)
        _check("precision", self.precision, PRECISIONS)
        _check("crops", self.crops, CROPS)
        if not isinstance(cast(object, self.model), str | os.PathLike):
            raise UnknownModel(
                f"Expected the name of a model, got {quoted(self.model)}. For your own Keras model, write "
                "decode_predictions(model.predict(preprocess(images, NAME)), LABELS)."
            )
        for field in ("model", "weights"):
            if isinstance(getattr(self, field), os.PathLike):
                object.__setattr__(self, field, os.fspath(getattr(self, field)))
        if self.file is None:
            object.__setattr__(self, "model", registry.info(self.model).reference)
            object.__setattr__(self, "runtime", _chosen(self.runtime))
        else:
            object.__setattr__(self, "runtime", _of_file(self.file, self.runtime, self.weights))
        if self.runtime != "openvino" and self.precision != "f32":
            raise ValueError(
                f"precision {self.precision!r} is OpenVINO's; runtime {self.runtime!r} computes in f32, "
                "and modelzoo.load(dtype=...) in others."
            )

    @property
    def file(self) -> Path | None:
        """The exported file that answers; None for a name of the registry, and for a model folder."""
        path = Path(self.model)
        if _is_saved_model(path, self.model):
            return path
        ending = path.suffix.lower()
        folder = path.is_dir() and ending != PACKAGE
        if ending not in FILES or folder or self.model in registry.current().entries:
            return None
        return path if ending != ".keras" or path.is_file() else None

    @property
    def entry(self) -> Entry:
        """The registry's entry of the model, or what an exported file says of itself.

        Of weights in a file it has the classes and labels of these.
        """
        if self.file is None:
            return store.entry_of(registry.info(self.model), self.weights)
        from modelzoo.runtimes.file_entry import entry_of  # with the labels

        return entry_of(self.file)

    def to_json(self) -> str:
        """The fields as one line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Deployment:
        """The deployment that to_json() wrote; raises ValueError or TypeError for other text."""
        return cls(**json.loads(text))


def _is_saved_model(path: Path, name: str | os.PathLike[str]) -> bool:
    """Whether this is the folder of a SavedModel, and no name of the registry."""
    if not (path / SAVED_MODEL).is_file():
        return False
    try:
        registry.info(name)
    except UnknownModel:
        return True
    return False


def _check(field: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{field} must be one of {', '.join(map(str, allowed))}, not {value!r}.")


def _of_file(file: Path, runtime: Runtime, weights: object) -> Runtime:
    """The runtime of an exported file; raises ValueError if it is asked for on another one."""
    own = "tensorflow" if (file / SAVED_MODEL).is_file() else FILES[file.suffix.lower()]
    if runtime not in ("auto", own):
        raise ValueError(f"{readable(str(file))} runs on runtime {own!r}, not on {runtime!r}.")
    if weights != PRETRAINED:
        raise ValueError(f"{readable(str(file))} has its weights in it: leave out others.")
    return own


def _chosen(runtime: Runtime) -> Runtime:
    """Which runtime "auto" means here; raises ValueError if OpenVINO is asked for and cannot be imported."""
    if runtime == "tensorflow":
        raise ValueError(
            "runtime 'tensorflow' runs SavedModels: `modelzoo export MODEL --to saved_model -o FOLDER` "
            "writes one; runtime 'keras' runs a name on TensorFlow."
        )
    if runtime in ("onnxruntime", "litert", "coreml"):
        ending = next(ending for ending, own in FILES.items() if own == runtime)
        raise ValueError(
            f"runtime {runtime!r} runs {ending} files: `modelzoo export MODEL -o FILE{ending}` writes one."
        )
    if runtime == "keras" or (runtime == "auto" and settings.keras_backend() != "tensorflow"):
        return "keras"
    try:
        import_openvino()
    except ImportError as error:
        if runtime == "auto":
            return "keras"
        raise ValueError(
            f"runtime 'openvino' needs the package openvino, which cannot be imported ({error}): "
            "pip install openvino, or use runtime 'keras'."
        ) from error
    return "openvino"
