"""The formats that networks are exported to: the one explicit list. What is heavy is imported when used."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from modelzoo.errors import ExportError, quoted, readable

if TYPE_CHECKING:
    import numpy as np

    from modelzoo.graph import Graph

Precision = Literal["f32", "f16"]
Texts = Mapping[str, str]


@dataclass(frozen=True)
class Options:
    """How a file is written.

    precision: of kernels and matrices in the file; what computes with them is the runtime's matter.
    fold: whether batch norms become part of the kernels before them, where the writer can do both.
    producer: the program that writes, and its version.
    """

    precision: Precision = "f32"
    fold: bool = True
    producer: tuple[str, str] = ("modelzoo", "")


Write = Callable[[Path, "Graph", "Mapping[str, np.ndarray]", Texts, Options], None]


@dataclass(frozen=True)
class Format:
    """One format: its writer, what proves its files, and how they keep metadata.

    package: what must be importable to write and to prove; pip: what installs it.
    besides: the endings of further files that belong to one.
    """

    name: str
    suffix: str
    title: str
    runtime: str
    package: str
    pip: str
    write: Write
    add_text: Callable[[Path, str, str], None]
    read_texts: Callable[[Path], dict[str, str]]
    precisions: tuple[Precision, ...] = ("f32", "f16")
    open_sides: bool = True  # of images; all formats keep the batch open
    besides: tuple[str, ...] = ()

    def files(self, path: Path) -> list[Path]:
        """All files of one that is exported; the one that is named comes last."""
        return [*(path.with_suffix(suffix) for suffix in self.besides), path]

    def require(self) -> None:
        """Raises ExportError, with pip's command, if the package is missing."""
        if importlib.util.find_spec(self.package) is None:
            raise ExportError(f"{self.title} needs the package {self.package}: pip install {self.pip}.")


def _write_onnx(
    path: Path, graph: Graph, arrays: Mapping[str, np.ndarray], texts: Texts, options: Options
) -> None:
    from modelzoo.exporters import onnx

    onnx.write(
        path,
        graph,
        arrays,
        texts,
        precision=options.precision,
        fold=options.fold,
        producer=options.producer,
    )


def _add_onnx(path: Path, name: str, text: str) -> None:
    from modelzoo.formats import onnx

    with path.open("ab") as file:
        file.write(onnx.metadata_bytes({name: text}))


def _read_onnx(path: Path) -> dict[str, str]:
    from modelzoo.formats import onnx

    return dict(onnx.read_summary(path).metadata)


def _write_openvino(
    path: Path, graph: Graph, arrays: Mapping[str, np.ndarray], texts: Texts, options: Options
) -> None:
    from modelzoo.exporters import openvino

    openvino.write(path, graph, arrays, texts, precision=options.precision)


def _add_openvino(path: Path, name: str, text: str) -> None:
    from modelzoo.exporters import openvino

    openvino.add_text(path, name, text)


def _read_openvino(path: Path) -> dict[str, str]:
    from modelzoo.exporters import openvino

    return openvino.read_texts(path)


def _write_keras(
    path: Path, graph: Graph, arrays: Mapping[str, np.ndarray], texts: Texts, options: Options
) -> None:
    from modelzoo.exporters import keras

    keras.write(path, graph, arrays, texts, precision=options.precision)


def _add_keras(path: Path, name: str, text: str) -> None:
    from modelzoo.exporters import keras

    keras.add_text(path, name, text)


def _read_keras(path: Path) -> dict[str, str]:
    from modelzoo.exporters import keras

    return keras.read_texts(path)


def _write_litert(
    path: Path, graph: Graph, arrays: Mapping[str, np.ndarray], texts: Texts, options: Options
) -> None:
    from modelzoo.exporters import litert
    from modelzoo.exporters.metadata import Metadata

    labels = tuple(name for _, name in Metadata.of(texts).labels)
    litert.write(path, graph, arrays, texts, precision=options.precision, labels=labels)


FORMATS: dict[str, Format] = {
    found.name: found
    for found in (
        Format(
            "onnx",
            ".onnx",
            "ONNX",
            "onnxruntime",
            "onnxruntime",
            "'modelzoo-keras[onnx]'",
            _write_onnx,
            _add_onnx,
            _read_onnx,
        ),
        Format(
            "openvino",
            ".xml",
            "OpenVINO",
            "openvino",
            "openvino",
            "openvino",
            _write_openvino,
            _add_openvino,
            _read_openvino,
            besides=(".bin",),
        ),
        Format(
            "keras",
            ".keras",
            "Keras",
            "keras",
            "keras",
            "keras",
            _write_keras,
            _add_keras,
            _read_keras,
            precisions=("f32",),
        ),
        Format(
            "litert",
            ".tflite",
            "LiteRT",
            "litert",
            "tensorflow",
            "tensorflow",
            _write_litert,
            _add_keras,
            _read_keras,
            open_sides=False,
        ),
    )
}


def format_of(path: Path, name: str | None = None) -> Format:
    """The format of this name, or of the file's ending. Raises ExportError if they are none or differ."""
    by_ending = next((f for f in FORMATS.values() if f.suffix == path.suffix.lower()), None)
    if name is not None and name not in FORMATS:
        raise ExportError(f"Expected a format among {', '.join(FORMATS)}, got {quoted(name)}.")
    found = by_ending if name is None else FORMATS[name]
    if found is None:
        endings = ", ".join(f.suffix for f in FORMATS.values())
        raise ExportError(f"Expected a file that ends in {endings}, got {readable(str(path))}.")
    if found is not by_ending:
        raise ExportError(
            f"Expected a file that ends in {found.suffix} for {found.title}, got {readable(str(path))}."
        )
    return found
