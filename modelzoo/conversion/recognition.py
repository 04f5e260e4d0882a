"""A file of unknown origin -> those of some entries whose weights it can be."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from modelzoo.conversion.averages import base_name
from modelzoo.conversion.converter import Converter
from modelzoo.conversion.converters import CONVERTERS
from modelzoo.conversion.reading import open_tensors
from modelzoo.conversion.shapes import weight_shapes
from modelzoo.errors import ConversionError
from modelzoo.files import digests
from modelzoo.formats import Tensors, archives
from modelzoo.registry import Entry


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
    """Those with whose architecture the file's tensors pair by name and shape, each exactly once."""
    groups: dict[tuple[str, str | None], list[tuple[Entry, Converter]]] = defaultdict(list)
    for entry in entries:
        for source in entry.sources:
            if converter := CONVERTERS.get(source.converter):  # a registry of somebody's own may have others
                alone = entry.key if converter.plan else None  # a format without names is read by a plan
                groups[source.format, alone].append((entry, converter))
    with archives.unpacked(path) as unpacked:
        for (format, _), group in groups.items():
            entry, converter = group[0]
            with (
                suppress(ConversionError),
                open_tensors(converter, format, entry.graph.variant, unpacked) as tensors,
            ):
                if found := [entry for entry, converter in group if _fits(entry, converter, tensors)]:
                    return found
    return []


def _fits(entry: Entry, converter: Converter, tensors: Tensors) -> bool:
    """Parameters are counted first: to pair them the network must be built, which takes up to a second."""
    counted = {  # once, if the file also holds the average
        base_name(name): math.prod(info.shape)
        for name, info in tensors.items()
        if not converter.is_ignored(name)
    }
    if sum(counted.values()) != entry.parameters:
        return False
    try:
        return bool(converter.pair(entry.graph.variant, weight_shapes(entry), tensors))
    except ConversionError:
        return False
