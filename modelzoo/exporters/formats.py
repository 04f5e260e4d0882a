"""The formats that networks are exported to: the one explicit list. What is heavy is imported when used."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from modelzoo.errors import ExportError, quoted, readable
from modelzoo.exporters.options import Arrays, Options, Precision, Texts
from modelzoo.files import files_in

if TYPE_CHECKING:
    from modelzoo.graph import Graph


class Writer(Protocol):
    """What a format's module has."""

    def write(self, path: Path, graph: Graph, arrays: Arrays, texts: Texts, options: Options) -> None:
        """Writes a network's files. Raises ValueError, with the node's name, for what the format lacks."""

    def add_text(self, path: Path, name: str, text: str) -> None:
        """Adds a text to the metadata of a file that was written."""

    def read_texts(self, path: Path) -> dict[str, str]:
        """The metadata. Raises OSError, and ValueError for a file that is not of the format."""
        ...


@dataclass(frozen=True)
class Format:
    """One format: its writer, what proves its files, and how they keep metadata.

    runtime: what runs its files, as runner.py calls it.
    package: what must be importable to write and to prove; pip: what installs it.
    besides: the endings of further files that belong to one.
    marker: where a product is a folder, the file in it by which one is known. A format without a suffix is
        known by that alone.
    answers_images: whether its files take encoded images, too.
    check: where nothing here runs the files: reads one back and says in words what it compared by value;
        raises ExportError where that differs.
    """

    name: str
    suffix: str
    title: str
    runtime: str
    package: str
    pip: str
    writer: Callable[[], Writer]
    precisions: tuple[Precision, ...] = ("f32", "f16")
    open_sides: bool = True  # of images; all formats keep the batch open
    computed_padding: bool = True  # also where what is padded depends on those sides
    besides: tuple[str, ...] = ()
    marker: str | None = None
    answers_images: bool = False
    check: Callable[[Path, Graph, Arrays, Options], str] | None = None

    def files(self, path: Path) -> list[Path]:
        """All files of one that is exported; the one that is named comes last."""
        if self.marker is not None:
            return sorted(files_in(path))
        return [*(path.with_suffix(suffix) for suffix in self.besides), path]

    def require(self, options: Options | None = None) -> None:
        """Raises ExportError, with pip's command, if a package is missing."""
        needed = [self.package]
        if options is not None and options.state_dict is not None:
            needed.append(options.state_dict.package)
        for package in needed:
            if importlib.util.find_spec(package) is None:
                raise ExportError(f"{self.title} needs the package {package}: pip install {self.pip}.")

    def is_folder(self, path: Path) -> bool:
        """Whether this is a folder as the format's products are, whoever wrote it."""
        return self.marker is not None and path.is_dir() and (path / self.marker).exists()


def _module(name: str) -> Callable[[], Writer]:
    """What imports the module of a format when it is asked for."""
    return lambda: cast(Writer, importlib.import_module(f"modelzoo.exporters.{name}"))


def _check_coreml(path: Path, graph: Graph, arrays: Arrays, options: Options) -> str:
    from modelzoo.exporters import coreml_check

    return coreml_check.check(path, graph, arrays, fold=options.fold)


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
            check=_check_coreml,
        ),
    )
}


def format_of(path: Path, name: str | None = None) -> Format:
    """The format of this name, or of the file's ending. Raises ExportError if they are none or differ."""
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
