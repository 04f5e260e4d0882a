"""A source's file, opened: its format chosen by name, and cut by a plan where the format has no names."""

from __future__ import annotations

from pathlib import Path

from modelzoo.conversion.converter import Converter
from modelzoo.formats import FORMATS, Tensors


def open_tensors(converter: Converter, format: str, variant: str, path: Path) -> Tensors:
    """The file's tensors, to be used in a `with` statement; raises ConversionError if it cannot be read."""
    if converter.plan is None:
        return FORMATS[format].read(path)
    return FORMATS[format].read(path, converter.plan(variant), converter.known_sizes)


def has_format(path: Path, format: str) -> bool:
    """Whether the file, folder or checkpoint prefix looks like this format, by name or first bytes."""
    return FORMATS[format].recognize(path)
