"""A file of unknown origin -> those of some entries whose weights it can be."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from modelzoo.conversion.averages import base_name
from modelzoo.conversion.classes import fitted
from modelzoo.conversion.converter import Converter
from modelzoo.conversion.converters import CONVERTERS
from modelzoo.conversion.reading import formats_of, open_tensors, within
from modelzoo.conversion.shapes import top_weights, weight_shapes
from modelzoo.errors import ConversionError, abbreviated, readable
from modelzoo.files import digests
from modelzoo.formats import FORMATS, Tensors, archives, kinds
from modelzoo.registry import Entry

NO_TOP = re.compile(r"[-_]no[-_]?top(_v2)?(?=\.)")  # in the names of Keras' files without top
COPY = re.compile(r" ?\(\d+\)(?=\.)")  # what browsers add for a second download


def by_checksum(path: Path, entries: Iterable[Entry]) -> list[Entry]:
    """Those for which the upstream published a checksum of this file, or of a member of this archive."""
    published: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in entries:
        for source in entry.sources:
            stated = [(checksum.algorithm, checksum.value) for checksum in source.checksums]
            stated += [("sha256", package.member_sha256) for package in source.packages]
            for known in stated:
                published.setdefault(known, {})[entry.key] = entry
    algorithms = tuple(sorted({algorithm for algorithm, _ in published}))
    found: dict[str, Entry] = {}
    with archives.unpacked(path) as unpacked:
        for file in {path, *(unpacked.rglob("*") if unpacked.is_dir() else ())}:
            if file.is_file():
                for digest in digests(file, algorithms).items():
                    found |= published.get(digest, {})
    return list(found.values())


def by_tensors(path: Path, entries: Iterable[Entry]) -> list[Entry]:
    """Those with whose architecture the file's tensors pair by name and shape, each exactly once.

    The whole networks if there are any; else those of which the file has all but the top, or with another
    number of classes, or with a head of the user's own.
    """
    groups: dict[tuple[str, str | None], list[tuple[Entry, Converter]]] = defaultdict(list)
    for entry in entries:
        for source in entry.sources:
            if converter := CONVERTERS.get(source.converter):  # a registry of somebody's own may have others
                alone = entry.key if converter.plan else None  # a format without names is read by a plan
                for format in formats_of(source):
                    groups[format, alone].append((entry, converter))
    partly: list[Entry] = []
    with archives.unpacked(path) as unpacked:
        for (format, _), group in groups.items():
            entry, converter = group[0]
            with (
                suppress(ConversionError),
                open_tensors(
                    converter, format, entry.graph.variant, within(unpacked, path, format)
                ) as tensors,
            ):
                if found := [entry for entry, converter in group if _fits(entry, converter, tensors)]:
                    return found
                partly += [entry for entry, converter in group if _fits_partly(entry, converter, tensors)]
    return partly


def by_file_name(path: Path, entries: Sequence[Entry]) -> list[Entry]:
    """Those of the entries whose sources' file has this name, with top or without; all if none has it."""
    name = NO_TOP.sub("", COPY.sub("", path.name))
    named = [
        entry
        for entry in entries
        if any(PurePosixPath(url).name == name for source in entry.sources for url in source.urls)
    ]
    return named or list(entries)


def unrecognized(path: Path) -> str:
    """Why a file is none of the models', in a sentence: what it is, or why it cannot be read."""
    kind = kinds.kind_of(path)
    if kind is not None and not any(format.recognize(path) for format in FORMATS.values()):
        advice = f" {kind.advice}." if kind.advice else ""
        return f"{path} is {kind.words}, from which no model is converted.{advice}"
    with archives.unpacked(path) as unpacked:
        for name, format in FORMATS.items():
            found = within(unpacked, path, name)
            if format.recognize(found) and not format.planned:
                try:
                    with format.read(found) as tensors:
                        names = abbreviated([readable(tensor) for tensor in tensors])
                except ConversionError as error:
                    return str(error)
                return (
                    f"{path} is {kinds.words_of(name)}, but of no model that modelzoo has; it holds {names}."
                )
    formats = ", ".join(kinds.WORDS[name] for name in FORMATS)
    what = "is of no format that is known"
    if unpacked != path:
        what = "is an archive in which there is no weight file, or more than one"
    return f"{path} {what}; models are converted from {formats}."


def _fits(entry: Entry, converter: Converter, tensors: Tensors) -> bool:
    """Parameters are counted first: to pair them the network must be built."""
    counted = {  # once, if the file also holds the average
        base_name(name): math.prod(info.shape)
        for name, info in tensors.items()
        if not converter.is_ignored(name, info)
    }
    if sum(counted.values()) != entry.parameters:
        return False
    try:
        return bool(converter.pair(entry.graph.variant, weight_shapes(entry), tensors))
    except ConversionError:
        return False


def _fits_partly(entry: Entry, converter: Converter, tensors: Tensors) -> bool:
    """Whether the file has the network up to the top; the top may be another, or missing."""
    try:
        whole = fitted(entry, converter, tensors)
        shapes = weight_shapes(whole)
        top = top_weights(whole, shapes)
        return bool(converter.pair(entry.graph.variant, shapes, tensors, top=top, include_top=False))
    except ConversionError:
        return False
