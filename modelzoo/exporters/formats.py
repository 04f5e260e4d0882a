"""The formats that networks are exported to: the one explicit list. What is heavy is imported when used."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from modelzoo.errors import ExportError, quoted, readable
from modelzoo.exporters.format import Format, Writer
from modelzoo.exporters.options import Arrays, Options

if TYPE_CHECKING:
    from modelzoo.graph import Graph


def _module(name: str) -> Callable[[], Writer]:
    """What imports the module of a format when it is asked for."""
    return lambda: cast(Writer, importlib.import_module(f"modelzoo.exporters.{name}"))


def _check(name: str) -> Callable[[Path, Graph, Arrays, Options], str]:
    """The check of a module, which is imported when it is used."""

    def check(path: Path, graph: Graph, arrays: Arrays, options: Options) -> str:
        return importlib.import_module(f"modelzoo.exporters.{name}").check(path, graph, arrays, options)

    return check


def _mxnet_symbol(path: Path) -> list[Path]:
    from modelzoo.exporters import mxnet

    return [mxnet.symbol_path(path)]


def _opencv_reads(function: str) -> Callable[[Options], bool]:
    """Whether there is an OpenCV that still reads files of the forerunners: 5 reads none."""

    def reads(options: Options) -> bool:
        try:
            return hasattr(importlib.import_module("cv2").dnn, function)
        except ImportError:
            return False

    return reads


def _has_original(options: Options) -> bool:
    """Whether the program is here that has the network itself."""
    return options.upstream is not None and bool(options.upstream.original)


FORMATS: dict[str, Format] = {
    found.name: found
    for found in (
        Format(
            "onnx",
            ".onnx",
            "ONNX",
            runtime="onnxruntime",
            package="onnxruntime",
            pip="'modelzoo-keras[onnx]'",
            writer=_module("onnx"),
            opsets=(17, 9),
        ),
        Format(
            "openvino",
            ".xml",
            "OpenVINO",
            runtime="openvino",
            package="openvino",
            pip="openvino",
            writer=_module("openvino"),
            besides=(".bin",),
        ),
        Format(
            "keras",
            ".keras",
            "Keras",
            runtime="keras",
            package="keras",
            pip="keras",
            writer=_module("keras"),
            precisions=("f32",),
            computed_padding=False,
        ),
        Format(
            "litert",
            ".tflite",
            "LiteRT",
            runtime="litert",
            package="tensorflow",
            pip="tensorflow",
            writer=_module("litert"),
            open_sides=False,
        ),
        Format(
            "python",
            ".py",
            "Python",
            runtime="python",
            package="keras",
            pip="keras",
            writer=_module("python"),
            precisions=("f32",),
            besides=(".h5",),
            computed_padding=False,
        ),
        Format(
            "torch",
            ".pt2",
            "PyTorch",
            runtime="torch",
            package="torch",
            pip="'modelzoo-keras[torch]'",
            writer=_module("torch"),
        ),
        Format(
            "safetensors",
            ".safetensors",
            "safetensors",
            runtime="",  # the package whose class it is of
            package="torch",
            pip="'modelzoo-keras[torch]'",
            writer=_module("safetensors"),
        ),
        Format(
            "saved_model",
            "",
            "SavedModel",
            runtime="tensorflow",
            package="tensorflow",
            pip="tensorflow",
            writer=_module("saved_model"),
            precisions=("f32",),
            computed_padding=False,
            marker="saved_model.pb",
            answers_images=True,
        ),
        Format(
            "coreml",
            ".mlpackage",
            "Core ML",
            runtime="coreml",
            package="coremltools",
            pip="'modelzoo-keras[coreml]'",
            writer=_module("coreml"),
            open_sides=False,
            marker="Manifest.json",
            check=_check("coreml_check"),
        ),
        Format(
            "tf_checkpoint",
            ".index",
            "TensorFlow checkpoint",
            runtime="",
            package="tensorflow",
            pip="tensorflow",
            writer=_module("tf_checkpoint"),
            precisions=("f32",),
            besides=(".data-00000-of-00001", ".modelzoo.json"),
            check=_check("tf_checkpoint"),
            upstream="tensorflow",
        ),
        Format(
            "mxnet",
            ".params",
            "MXNet",
            runtime="mxnet",
            package="numpy",
            pip="numpy",
            writer=_module("mxnet"),
            precisions=("f32",),
            open_sides=False,
            companions=_mxnet_symbol,
            check=_check("mxnet"),
            upstream="mxnet",
        ),
        Format(
            "caffe",
            ".caffemodel",
            "Caffe",
            runtime="caffe",
            package="numpy",
            pip="numpy",
            writer=_module("caffe"),
            precisions=("f32",),
            open_sides=False,
            besides=(".prototxt",),
            check=_check("caffe"),
            runs=_opencv_reads("readNetFromCaffe"),
        ),
        Format(
            "darknet",
            ".weights",
            "Darknet",
            runtime="darknet",
            package="numpy",
            pip="numpy",
            writer=_module("darknet"),
            precisions=("f32",),
            open_sides=False,
            besides=(".cfg",),
            check=_check("darknet"),
            runs=_opencv_reads("readNetFromDarknet"),
        ),
        Format(
            "keras_h5",
            ".h5",
            "Keras 2's weights",
            runtime="keras_applications",
            package="keras",
            pip="keras",
            writer=_module("keras_h5"),
            precisions=("f32",),
            open_sides=False,
            check=_check("keras_h5"),
            runs=_has_original,
            upstream="keras_h5",
        ),
        Format(
            "ir",
            ".pb",
            "MMdnn's intermediate representation",
            runtime="",
            package="numpy",
            pip="numpy",
            writer=_module("ir"),
            precisions=("f32",),
            open_sides=False,
            besides=(".json", ".npy"),
            check=_check("ir"),
        ),
    )
}
# What the forerunners wrote and nobody reads any more, and what to write instead.
RETIRED = {"cntk": "CNTK's last release is of 2019 and reads ONNX: give an .onnx file and opset 9"}


def format_of(path: Path, name: str | None = None) -> Format:
    """The format of this name, or of the file's ending. Raises ExportError if they are none or differ."""
    if name in RETIRED:
        raise ExportError(f"{RETIRED[name]}.")
    if name is not None and name not in FORMATS:
        raise ExportError(f"Expected a format among {', '.join(FORMATS)}, got {quoted(name)}.")
    by_ending = next((f for f in FORMATS.values() if f.suffix and f.suffix == path.suffix.lower()), None)
    if by_ending is None:
        folder = next((f for f in FORMATS.values() if not f.suffix and f.is_folder(path)), None)
        by_ending = folder if name is None or FORMATS[name].suffix else FORMATS[name]
    found = by_ending if name is None else FORMATS[name]
    if found is None:
        endings = ", ".join(f.suffix for f in FORMATS.values() if f.suffix)
        raise ExportError(
            f"Expected a file that ends in {endings}, or a folder with {_markers()}, "
            f"got {readable(str(path))}."
        )
    if found is not by_ending:
        expected = f"a file that ends in {found.suffix}" if found.suffix else "a name with another ending"
        raise ExportError(f"Expected {expected} for {found.title}, got {readable(str(path))}.")
    return found


def _markers() -> str:
    return ", ".join(f.marker for f in FORMATS.values() if f.marker and not f.suffix)
