"""The network of a SavedModel, as TensorFlow runs it; of a program that can do nothing but compute."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.errors import ExportError, quoted, readable
from modelzoo.formats import saved_model
from modelzoo.runtimes.anew import MadeAnew
from modelzoo.runtimes.deployment import SAVED_MODEL, Precision, Runtime

# What networks and their preprocessing are made of. A SavedModel is a program, and TensorFlow's other
# operators read and write files, run Python, and reach other machines.
COMPUTING = frozenset(
    (
        "Abs", "AddN", "AddV2", "All", "Any", "AvgPool", "BatchMatMulV2", "BatchToSpaceND",
        "BiasAdd", "BroadcastArgs", "BroadcastTo", "Cast", "Ceil", "ConcatV2", "Const", "Conv2D",
        "Conv2DBackpropInput", "Cumsum", "DecodeImage", "DecodeJpeg", "DecodeRaw",
        "DepthwiseConv2dNative", "DivNoNan", "Einsum", "Elu", "EnsureShape", "Equal", "Erf", "Erfc",
        "Exp", "ExpandDims", "Fill", "Floor", "FloorDiv", "FloorMod", "FusedBatchNormV3",
        "GatherNd", "GatherV2", "Greater", "GreaterEqual", "Identity", "IdentityN", "If",
        "LeakyRelu", "Less", "LessEqual", "LogicalAnd", "LogicalNot", "LogicalOr", "MatMul", "Max",
        "MaxPool", "Maximum", "Mean", "Minimum", "Mul", "Neg", "NoOp", "NotEqual", "Pack", "Pad",
        "PadV2", "PartitionedCall", "Placeholder", "Pow", "Prod", "Range", "ReadVariableOp",
        "RealDiv", "Relu", "Relu6", "Reshape", "ResizeBilinear", "ResizeNearestNeighbor",
        "ReverseV2", "RightShift", "Round", "Rsqrt", "Select", "SelectV2", "Shape", "Sigmoid",
        "Sign", "Size", "Slice", "Softmax", "Softplus", "Softsign", "SpaceToBatchND", "Split",
        "SplitV", "Sqrt", "Square", "SquaredDifference", "Squeeze", "StatefulPartitionedCall",
        "StatelessIf", "StatelessWhile", "StaticRegexFullMatch", "StopGradient", "StridedSlice",
        "StringJoin", "Sub", "Substr", "Sum", "Tanh", "TensorListFromTensor", "TensorListGetItem",
        "TensorListReserve", "TensorListSetItem", "TensorListStack", "Tile", "TopKV2", "Transpose",
        "Unpack", "VarHandleOp", "Where", "While", "ZerosLike",
    )
)  # fmt: skip
# What TensorFlow puts into every SavedModel to save it again; nothing may call it.
SAVING = frozenset(
    ("AssignVariableOp", "DisableCopyOnRead", "MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename")
)
# Fields of SavedObject that run no function when they are loaded: what belongs to an object, and its kind.
OBJECTS = frozenset((1, 3, 4, 6, 7, 8, 9, 12, 13, 15))
REGISTERED = frozenset(("tf.TrackableConstant",))  # the classes of objects; others run functions of theirs


class SavedModelPredictor(MadeAnew):
    """A network that TensorFlow has loaded; threads may share it. It answers in the process that made it."""

    runtime: Runtime = "tensorflow"
    precision: Precision = "f32"

    def __init__(self, path: Path):
        check_program(path)
        untyped: Any = import_module("tensorflow")
        self._tensorflow, self._process = untyped, os.getpid()
        self._model = untyped.saved_model.load(str(path))  # its program was looked through
        self._answer = self._model.signatures["serving_default"]
        (self._input,) = self._answer.structured_input_signature[1]
        own = {operation.type for operation in self._answer.graph.get_operations()}
        _check_operators(path, own, COMPUTING)  # what saves is not called by others, but may be called itself

    def predict(self, images: np.ndarray) -> np.ndarray:
        if self._process != os.getpid():  # TensorFlow would wait for threads that fork left behind
            raise RuntimeError(
                "This SavedModel was loaded before the process was forked, where TensorFlow cannot run it: "
                "load it in the child process, or start processes by spawn."
            )
        given = self._tensorflow.constant(np.asarray(images, np.float32))
        (output,) = self._answer(**{self._input: given}).values()
        return output.numpy()

    def predict_each(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        return map(self.predict, batches)


def check_program(path: Path) -> None:
    """Raises ExportError for a SavedModel that can do anything but compute, or that cannot be read."""
    try:
        program = saved_model.read(path / SAVED_MODEL)
    except ValueError as error:
        raise ExportError(f"{readable(str(path))} is not a SavedModel that can be read: {error}.") from error
    for function in (program.main, *program.functions.values()):
        _check_operators(path, function.operators, COMPUTING | SAVING)
    calls = set[str]().union(*(function.calls for function in program.functions.values()))
    savers = {name for name, function in program.functions.items() if function.operators & SAVING}
    others = program.objects - OBJECTS or program.registered - REGISTERED
    if calls & savers or not program.objects or others:
        raise ExportError(
            f"{readable(str(path))} has functions that save, or that run when it is loaded: "
            "modelzoo writes no such SavedModel, and does not run it."
        )


def _check_operators(path: Path, operators: set[str], allowed: frozenset[str]) -> None:
    if others := sorted(operators - allowed):
        raise ExportError(
            f"{readable(str(path))} has the operator {quoted(others[0])}: modelzoo writes no such SavedModel "
            "and does not run it."
        )
