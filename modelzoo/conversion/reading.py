"""A source's file, opened: its format chosen by name, and cut by a plan where the format has no names."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelzoo.conversion.converter import Converter
from modelzoo.conversion.converters import converter_of, sources_of
from modelzoo.conversion.leftovers import without_prefix
from modelzoo.errors import ConversionError
from modelzoo.formats import FORMATS, Tensors, archives, kinds
from modelzoo.registry import Entry, Source
from modelzoo.weights import is_modelzoo_file

# Files of both formats come from torch and hold the same names: people save a network in either.
ALIKE = {"safetensors": ("torch",), "torch": ("safetensors",)}


@dataclass(frozen=True)
class Opened:
    """An upstream file of an entry: as which source's it is read, and its tensors."""

    path: Path
    unpacked: Path  # what was read, the same if `path` is no archive
    source: Source
    converter: Converter
    tensors: Tensors


@contextmanager
def opened(entry: Entry, path: Path) -> Generator[Opened]:
    """The file, read as the source of the entry whose format it has. Raises ConversionError for others."""
    if not entry.sources:
        raise ConversionError(
            f"{path} was not written by modelzoo, and {entry.key} has no upstream to convert it from."
        )
    if is_modelzoo_file(path):
        raise ConversionError(f"{path} is a modelzoo weight file: there is nothing to convert.")
    sources = sources_of(entry)
    converters = list(map(converter_of, sources))  # a registry of one's own may name others
    _require_known(entry, path)
    for number, (source, converter) in enumerate(zip(sources, converters, strict=True), 1):
        with archives.unpacked(path, source.member) as unpacked:
            last = number == len(sources)
            places = {name: within(unpacked, path, name) for name in formats_of(source)}
            format = next((name for name, place in places.items() if has_format(place, name)), source.format)
            if not has_format(places[format], format):
                if not last:
                    continue
                _refuse_other(entry, path, unpacked)
            found = places[format]
            with open_tensors(converter, format, entry.graph.variant, found) as tensors:
                yield Opened(path, found, source, converter, tensors)
                return


def open_tensors(converter: Converter, format: str, variant: str, path: Path) -> Tensors:
    """The file's tensors, to be used in a `with` statement; raises ConversionError if it cannot be read."""
    if converter.plan is None:
        return without_prefix(FORMATS[format].read(path))
    planned = FORMATS[format]
    values = None if planned.count_values is None else planned.count_values(path)
    return planned.read(path, converter.plan(variant, values), converter.known_sizes)


def has_format(path: Path, format: str) -> bool:
    """Whether the file, folder or checkpoint prefix looks like this format, by name or first bytes."""
    return FORMATS[format].recognize(path)


def within(unpacked: Path, path: Path, format: str) -> Path:
    """What to read of the archive `path`: all of it, or the only file of a format that lies deep in it."""
    if unpacked == path or not unpacked.is_dir() or has_format(unpacked, format):
        return unpacked
    files = [file for file in sorted(unpacked.rglob("*")) if file.is_file() and has_format(file, format)]
    return files[0] if len(files) == 1 else unpacked


def formats_of(source: Source) -> tuple[str, ...]:
    """In which formats a source's weights are read, its own first."""
    return (source.format, *ALIKE.get(source.format, ()))


def all_formats(entry: Entry) -> list[str]:
    """In which formats an entry's weights are read."""
    return list(dict.fromkeys(format for source in sources_of(entry) for format in formats_of(source)))


def words_of(entry: Entry) -> str:
    """What an entry is converted from, in words.

    >>> from modelzoo import registry
    >>> words_of(registry.info("resnet50_v1d.gluon"))
    'an MXNet .params file or a safetensors file or a PyTorch file or a TensorFlow checkpoint'
    """
    return " or ".join(map(kinds.words_of, all_formats(entry)))


def _require_known(entry: Entry, path: Path) -> None:
    """Raises ConversionError for a file that is another kind than any source's, archives aside."""
    if not any(has_format(path, format) for format in all_formats(entry)):
        _refuse_kind(entry, path, path)


def _refuse_other(entry: Entry, path: Path, unpacked: Path) -> None:
    """What none of several sources could be; an entry's only reader says best what is wrong with a file."""
    _refuse_kind(entry, path, unpacked)
    if len(entry.sources) > 1:
        raise ConversionError(
            f"{path} is no file that {entry.key} is converted from: expected {words_of(entry)}."
        )


def _refuse_kind(entry: Entry, path: Path, found: Path) -> None:
    if (kind := kinds.kind_of(found)) is not None:
        what = f"{path} is" if found == path else f"{path} holds a file that is"
        helps = kind.into is None or kind.into in all_formats(entry)
        advice = f" {kind.advice}." if kind.advice and helps else ""
        raise ConversionError(
            f"{what} {kind.words}; {entry.key} is converted from {words_of(entry)}.{advice}"
        )
