"""export(): a model, by its name or as Keras has it -> a proven file for another runtime."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import modelzoo
from modelzoo import conversion, exporters
from modelzoo.errors import ExportError
from modelzoo.exporters import Exported, Format, Precision, Upstream
from modelzoo.exporters.network import Network
from modelzoo.exporters.options import Options
from modelzoo.registry import Entry
from modelzoo.store import PRETRAINED
from modelzoo.tasks import networks
from modelzoo.tasks.state_dicts import state_dict_of

STATE_DICT = "safetensors"
KERAS_WEIGHTS = "keras_h5"
PRODUCER = ("modelzoo", modelzoo.__version__)


def export(
    model: object,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    weights: str | os.PathLike[str] | None = PRETRAINED,
    architecture: str | os.PathLike[str] | None = None,
    precision: Precision = "f32",
    fold: bool = True,
    opset: int | None = None,
    image_input: bool = False,
    keep: bool = False,
    python: str | None = None,
) -> Exported:
    """Writes a model for another runtime, which must answer as the model does before the file is there.

    model: a name of the registry, with its `weights` as in modelzoo.load; a model folder; a modelzoo weight
        file; a file that modelzoo.importers reads, with the JSON of its `architecture` where it holds weights
        alone; or a functional or Sequential keras.Model of operators that modelzoo.graph has.
    format: a key of modelzoo.exporters.FORMATS; by default what the ending says (SavedModels have none).
    precision: "f16" keeps kernels and matrices in half of the bytes; the runtime computes in float32.
    fold: batch norms become part of the kernels before them. opset: of ONNX, 17 or 9.
    image_input: a Core ML package takes images, one at a time, and prepares their levels by itself.
    keep: leaves a file that does not agree, for a look at it; the error is raised all the same.
    python: the interpreter of another environment, which has the format's runtime, to prove the file there.

    Raises ExportError for a network that the format cannot hold, a missing package, and a file that does not
    agree; OutputError where nothing can be written; and what modelzoo.load raises.
    """
    found = exporters.format_of(Path(path), format)
    found.require()
    if image_input and found.name != "coreml":
        raise ExportError(f"{found.title} takes no images: image_input is for Core ML.")
    options = Options(precision, fold, PRODUCER, opset=opset, image_input=image_input)
    held = replace(found, computed_padding=False) if opset == min(found.opsets, default=0) else found
    with networks.opened(model, weights, held, architecture) as (entry, network):
        network, options = _prepared(entry, network, found, options)
        return exporters.deliver(network, Path(path), found, options, keep=keep, python=python)


def _prepared(
    entry: Entry | None, network: Network, format: Format, options: Options
) -> tuple[Network, Options]:
    """What of the network the format holds, and how another program names it there."""
    if format.name == STATE_DICT:
        network, state_dict = state_dict_of(entry, network)
        options = replace(options, state_dict=state_dict)
    if entry is not None and format.upstream:
        options = replace(options, upstream=_upstream(entry, format, list(network.graph.weights)))
    metadata = replace(network.metadata, precision=options.precision, modelzoo=modelzoo.__version__)
    return replace(network, metadata=metadata), options


def _upstream(entry: Entry, format: Format, paths: list[str]) -> Upstream | None:
    """Of a format of weights by name: the names and the layout of the program that has the network."""
    converter = conversion.exported_by(entry, format.upstream)
    if converter is None:
        return None
    name_of = converter.upstream_names(entry.graph.variant, ())
    names = {path: name_of(path) for path in paths}
    upstream = Upstream(converter.name, names, converter.layout.to_upstream)
    if format.name != KERAS_WEIGHTS:
        return upstream
    original = json.dumps(conversion.keras_model_of(entry))
    return replace(upstream, constants=conversion.keras_constants(entry.graph.variant), original=original)
