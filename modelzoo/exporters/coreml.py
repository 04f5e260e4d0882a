"""Graph and arrays -> a Core ML package, by coremltools' own builder of its intermediate language (MIL).

Outputs are the graph's; the input is, too, or with Options.image_input an image of the class that Core ML and
Vision know. All sides but the batch are fixed. No pass of coremltools changes what was built.
"""

from __future__ import annotations

import errno
import io
import logging
import shutil
import stat
import warnings
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, redirect_stderr
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.backends.openvino_import import absent
from modelzoo.exporters.coreml_ranks import with_fewer_axes
from modelzoo.exporters.metadata import Labels, Metadata
from modelzoo.exporters.options import Arrays, Options, Texts
from modelzoo.graph import Graph
from modelzoo.graph.passes import fold_batch_norms_lazily, fold_padding

MOST_IMAGES = 128  # of a batch: the open sides of a program have bounds
PREFIX = "modelzoo."  # of the names of our metadata
LABELS = f"{PREFIX}class_names"
MODEL = Path("Data/com.apple.CoreML/model.mlmodel")  # in the package
CONVERTED = ("tensorflow", "torch", "torchvision", "torchaudio")  # what coremltools imports if it is there
LARGEST = 1 << 26  # bytes of that file, which holds no weights


def write(path: Path, graph: Graph, arrays: Arrays, texts: Texts, options: Options) -> None:
    """Writes the package; "f16" keeps weights in float16 and computes in it.

    Raises ValueError, with the node's name, for what Core ML's language cannot express, and for open sides.
    """
    ct = import_coremltools()
    metadata = Metadata.of(texts)
    graph, arrays = prepared(graph, arrays, fold=options.fold)
    if options.image_input and (metadata.preprocessing is None or len(graph.inputs) != 1):
        raise ValueError("it is not known how images are prepared for it: leave out image_input")
    facts: Any = metadata.preprocessing if options.image_input else None
    with _quietly():
        package = ct.convert(
            _program(ct, graph, arrays, facts, np.float16 if options.precision == "f16" else np.float32),
            convert_to="mlprogram",
            inputs=[_input_type(ct, name, shape, facts) for name, shape in graph.inputs.items()],
            minimum_deployment_target=ct.target.iOS16,
            compute_precision=ct.precision.FLOAT32,  # no pass changes what was built
            pass_pipeline=ct.PassPipeline(["common::dead_code_elimination"], "modelzoo"),
            skip_model_load=True,
        )
    _describe(package, metadata, texts)
    try:
        package.save(str(path))
    except (shutil.Error, RuntimeError) as error:
        raise OSError(errno.EIO, "it could not be copied there") from error
    for inner in path.rglob("*"):  # coremltools makes some of them readable by their owner only
        like = path if inner.is_dir() else path / "Manifest.json"
        inner.chmod(stat.S_IMODE(like.stat().st_mode))


def import_coremltools() -> Any:
    """The package, without what it would import to convert others' networks, and its words on that.

    TensorFlow and PyTorch end the process where both load their own LLVM, as coremltools makes them do.
    """
    with _quietly(), absent(*CONVERTED):
        return import_module("coremltools")


@contextmanager
def _quietly() -> Generator[None]:
    """Without progress bars and warnings that no user can do anything about."""
    logging.getLogger("coremltools").setLevel(logging.CRITICAL)
    with redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def prepared(graph: Graph, arrays: Arrays, *, fold: bool) -> tuple[Graph, Arrays]:
    """What is written: kernels take in batch norms and padding, and no value has too many dimensions."""
    if fold:
        graph, arrays = fold_batch_norms_lazily(graph, arrays)
    return with_fewer_axes(fold_padding(graph, {})[0]), arrays


def _input_type(ct: Any, name: str, shape: tuple[Any, ...], facts: Any) -> Any:
    if facts is not None:
        layout = ct.colorlayout.BGR if facts["channels"] == "BGR" else ct.colorlayout.RGB
        _, height, width, channels = shape
        return ct.ImageType(name=name, shape=(1, channels, height, width), color_layout=layout)
    batch = ct.RangeDim(1, MOST_IMAGES, default=1)
    return ct.TensorType(name=name, shape=ct.Shape((batch, *shape[1:])), dtype=np.float32)


def _program(ct: Any, graph: Graph, arrays: Arrays, facts: Any, dtype: Any) -> Any:
    """The graph in MIL. Raises ValueError for an operator, or attributes, that it cannot express."""
    from modelzoo.exporters.coreml_operators import OPERATIONS
    from modelzoo.exporters.coreml_values import Site, from_image, plain, to_map

    untyped: Any = import_module("coremltools.converters.mil.mil")
    program, batch, placeholders = untyped.Program(), untyped.get_new_symbol(), {}
    for name, shape in graph.inputs.items():
        if None in shape[1:]:
            raise ValueError(f"its input {name!r} of shape {shape} leaves sides open, which Core ML fixes")
        given = (batch, *shape[1:]) if facts is None else (1, shape[3], *shape[1:3])
        placeholders[name] = untyped.Builder.placeholder(shape=given, dtype=untyped.types.fp32)
    with untyped.Function(placeholders, opset_version=ct.target.iOS16) as function:
        values = {}
        for name in graph.inputs:
            value = function.inputs[name]
            values[name] = to_map(value, dtype) if facts is None else from_image(value, facts, dtype)
        for node in graph.nodes:
            site = Site(graph, node, arrays, dtype)
            try:
                given = [values[name] for name in node.inputs]
                values[node.name] = OPERATIONS[type(node.operator)](site, node.operator, *given)
            except (ValueError, KeyError) as error:
                raise ValueError(f"{type(node.operator).__name__} {node.name!r}: {error}") from error
        function.set_outputs([plain(values[value], name) for name, value in graph.outputs.items()])
    program.add_function("main", function)
    return program


def _describe(package: Any, metadata: Metadata, texts: Texts) -> None:
    """What Xcode shows of a package, and all of our texts."""
    package.short_description = f"{metadata.name}, exported by modelzoo {metadata.modelzoo}"
    package.author = str(metadata.provenance.get("trained_by") or "unknown")
    package.license = str(metadata.license.get("weights") or "unknown")
    package.version = metadata.modelzoo
    for name, text in texts.items():
        package.user_defined_metadata[f"{PREFIX}{name}"] = text
    if metadata.labels:
        package.user_defined_metadata[LABELS] = "\n".join(_unique(metadata.labels))


def _unique(labels: Labels) -> list[str]:
    """The names of the classes; those that several classes share, with their ids."""
    count = Counter(name for _, name in labels)
    return [name if count[name] == 1 else f"{name} ({id})" for id, name in labels]


def add_text(path: Path, name: str, text: str) -> None:
    """Adds a text to the metadata: a protocol buffer goes on where the file ends."""
    from modelzoo.formats import coreml

    with (path / MODEL).open("ab") as file:
        file.write(coreml.metadata_bytes({f"{PREFIX}{name}": text}))


def read_texts(path: Path) -> dict[str, str]:
    """The metadata. Raises OSError, and ValueError for a package that is not Core ML's."""
    from modelzoo.formats import coreml

    if (path / MODEL).stat().st_size > LARGEST:
        raise ValueError("its specification is too large")
    found = coreml.read_metadata((path / MODEL).read_bytes())
    return {
        name[len(PREFIX) :]: text
        for name, text in found.items()
        if name.startswith(PREFIX) and name != LABELS
    }
