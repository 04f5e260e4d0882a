"""How other programs get an entry's weights: in which names and layout, by the format of their files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from modelzoo.architectures.keras_applications import VARIANTS
from modelzoo.conversion import keras_2
from modelzoo.conversion.converter import Converter
from modelzoo.conversion.converters import CONVERTERS, converter_of, sources_of
from modelzoo.registry import Entry

KERAS_FAMILY = "keras_applications"


def exported_by(entry: Entry, format: str) -> Converter | None:
    """The converter whose names and layout a file of this format has, where a program has the network.

    `format` is a key of formats.FORMATS. None means that no program is known that has the network and reads
    such files.
    """
    for source in sources_of(entry):
        if source.format == format:
            found = converter_of(source)
            return _as_of_keras_2(found, entry) if format == "keras_h5" else found
    if entry.sources or format != "tensorflow":
        return None
    return CONVERTERS.get(entry.tag)  # Tencent's program, of whose files there is none


def keras_model_of(entry: Entry) -> dict[str, Any] | None:
    """The arguments of keras.applications' own network of an entry, and its name; None where it has none."""
    if entry.graph.family != KERAS_FAMILY:
        return None
    facts = VARIANTS[entry.graph.variant]
    return {
        "model": facts.model,
        "input_shape": entry.graph.input_shape,
        "classes": entry.graph.classes,
        "classifier_activation": entry.graph.activation,
        **facts.options,
    }


def _as_of_keras_2(converter: Converter, entry: Entry) -> Converter:
    """The files that there are have names of all times of Keras; one that is written has those of Keras 2."""
    if entry.graph.family != KERAS_FAMILY:
        return converter
    return replace(converter, name="keras.applications", upstream_names=keras_2.upstream_names)
