"""The two sides of a comparison: networks as graphs, and files that their own runtime computes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo import files
from modelzoo.errors import ExportError, quoted, readable
from modelzoo.exporters import proof
from modelzoo.exporters.formats import Format
from modelzoo.formats import onnx as onnx_file
from modelzoo.graph import Graph

Arrays = Mapping[str, np.ndarray]
PROGRAMS = ("python",)  # runtimes whose files are programs
OUTPUT = "output "  # what marks the names of a file's outputs among those of its tensors


@dataclass(frozen=True)
class GraphSide:
    """A network that is computed in float64, by NumPy: its graph and its weights by path."""

    name: str
    graph: Graph
    arrays: Arrays


@dataclass(frozen=True)
class FileSide:
    """A file that its own runtime computes."""

    name: str
    path: Path
    format: Format


@dataclass(frozen=True)
class Tensors:
    """What a file computes: its tensors by name, in the order of its network, and its outputs.

    channels_first: whether most have their channels before height and width.
    """

    values: Arrays
    outputs: Arrays
    channels_first: bool = False


def tensors_of(side: FileSide, images: np.ndarray, graph: Graph | None = None) -> Tensors:
    """The tensors of a file for a batch of images; of a format that shows none of them, only the outputs.

    graph: what names inputs and outputs where the file does not tell them. Raises ExportError for a file that
    its runtime cannot run, and for a format that nothing here runs.
    """
    side.format.require()
    if side.format.runtime in PROGRAMS:  # an untrusted one could do anything
        raise ExportError(f"{readable(side.name)} is a program, which diff does not run: name the model.")
    if side.format.check is not None:
        raise ExportError(f"Nothing here runs {side.format.title} files, such as {readable(side.name)}.")
    read = READERS.get(side.format.runtime)
    try:
        if read is not None:
            return read(side.path, images)
        if graph is None:
            raise ExportError(f"Expected a model beside {readable(side.name)}, got a file, too.")
        outputs = list(graph.outputs)
        (found,) = proof.run(side.path, side.format.runtime, [dict.fromkeys(graph.inputs, images)], outputs)
    except (ValueError, RuntimeError, OSError) as error:
        if isinstance(error, ExportError):
            raise
        raise ExportError(
            f"{readable(side.name)} cannot be read as {side.format.title}: {quoted(str(error))}"
        ) from error
    return Tensors({}, dict(zip(outputs, found, strict=True)))


def _onnx(path: Path, images: np.ndarray) -> Tensors:
    """What all nodes give made outputs of a copy: a protocol buffer goes on where the file ends."""
    summary = onnx_file.read_summary(path)
    names = onnx_file.results(path)
    names = [name for name in names if name in summary.outputs or _is_value(name)]
    more = [name for name in names if name not in summary.outputs]
    with files.temporary_directory() as folder:
        copy = folder / path.name
        shutil.copyfile(path, copy)
        with copy.open("ab") as file:
            file.write(onnx_file.outputs_bytes(more))
        (name, shape) = _only(summary.inputs)
        batch = {name: _channels_first(images, shape)}
        (found,) = proof.run(copy, "onnxruntime", [batch], names)
    return _told_apart(names, found, set(summary.outputs))


def _openvino(path: Path, images: np.ndarray) -> Tensors:
    """All results of operations made outputs of a copy, by their friendly names."""
    from modelzoo.backends.openvino_import import import_openvino

    ov: Any = import_openvino()
    model = ov.Core().read_model(str(path))
    outputs = {output.any_name for output in model.outputs}
    names = list(outputs)
    inputs = {each.any_name: each.partial_shape for each in model.inputs}
    for operation in model.get_ordered_ops():
        made = operation.outputs()
        is_value = operation.get_type_name() not in (
            "Constant",
            "Parameter",
            "Result",
            "Convert",
            "ReadValue",
        )
        if is_value and len(made) == 1 and made[0].get_element_type() == ov.Type.f32:
            name = operation.friendly_name
            if _is_value(name) and not made[0].get_tensor().names & outputs:
                made[0].get_tensor().add_names({name})
                model.add_outputs([made[0]])
                names.append(name)
    name, shape = _only(inputs)
    sides = [side.get_length() if side.is_static else None for side in shape]
    with files.temporary_directory() as folder:
        copy = folder / path.name
        ov.save_model(model, str(copy), compress_to_fp16=False)
        (found,) = proof.run(copy, "openvino", [{name: _channels_first(images, sides)}], names)
    return _told_apart(names, found, outputs)


def _litert(path: Path, images: np.ndarray) -> Tensors:
    """The tensors that LiteRT keeps if it is told to; it computes with its plain kernels then."""
    (found,) = proof.run(path, "litert_tensors", [{"": images}], [])
    names = [str(name) for name in found[0]]
    outputs = {name.removeprefix(OUTPUT): a for name, a in zip(names, found[1:], strict=True)}
    marked = {name.removeprefix(OUTPUT) for name in names if name.startswith(OUTPUT)}
    return Tensors(
        {name: array for name, array in outputs.items() if name not in marked},
        {name: array for name, array in outputs.items() if name in marked},
    )


READERS = {"onnxruntime": _onnx, "openvino": _openvino, "litert": _litert}


def _is_value(name: str) -> bool:
    """Whether a tensor is that of a node: helpers of nodes have a slash in their names."""
    return "/" not in name.removesuffix("/value")


def _told_apart(names: list[str], found: list[np.ndarray], outputs: set[str]) -> Tensors:
    """The tensors of a runtime that computes on channels first."""
    values = dict(zip(names, found, strict=True))
    own = {name: values[name] for name in names if name in outputs}
    return Tensors({name: value for name, value in values.items() if name not in own}, own, True)


def _only(inputs: Mapping[str, Any]) -> tuple[str, Any]:
    """The only input; raises ValueError if there are several."""
    if len(inputs) != 1:
        raise ValueError(f"expected one input, got {len(inputs)}")
    return next(iter(inputs.items()))


def _channels_first(images: np.ndarray, shape: Any) -> np.ndarray:
    """The images as an input of this shape takes them."""
    channels = images.shape[-1]
    first = len(shape) == 4 and shape[1] == channels and shape[3] != channels
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if first else images
