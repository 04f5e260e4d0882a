"""A file of unknown origin -> the registry entries whose weights it can be."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from modelzoo.conversion import archives, family_of, open_tensors, pair_tensors, readers, weight_shapes
from modelzoo.errors import ConversionError
from modelzoo.files import digests
from modelzoo.registry import Entry


def by_checksum(path: Path, entries: Sequence[Entry]) -> list[Entry]:
    """Those for which the upstream published a checksum of this file, or of a member of this archive."""
    published: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in entries:
        for checksum in (checksum for source in entry.sources for checksum in source.checksums):
            published.setdefault((checksum.algorithm, checksum.value), {})[entry.key] = entry
    algorithms = tuple(sorted({algorithm for algorithm, _ in published}))
    found: dict[str, Entry] = {}
    with archives.unpacked(path) as unpacked:
        for file in {path, *(unpacked.rglob("*") if unpacked.is_dir() else ())}:
            if file.is_file():
                for digest in digests(file, algorithms).items():
                    found |= published.get(digest, {})
    return list(found.values())


def by_tensors(path: Path, entries: Sequence[Entry]) -> list[Entry]:
    """Those with whose architecture the file's tensors pair by name and shape, each exactly once."""
    groups = defaultdict(list)
    for entry in entries:
        for source in entry.sources:
            family = family_of(source)
            alone = entry.key if hasattr(family, "plan") else None  # a format without names is read by a plan
            groups[source.format, alone].append((entry, source, family))
    with archives.unpacked(path) as unpacked:
        for group in groups.values():
            with suppress(ConversionError), open_tensors(*group[0], unpacked) as tensors:
                found = [entry for entry, _, family in group if _fits(entry, family, tensors)]
                if found:
                    return found
    return []


def _fits(entry: Entry, family, tensors: readers.Tensors) -> bool:
    """Parameters are counted first: to pair them the network must be built, which takes up to a second."""
    counted = (info.shape for name, info in tensors.items() if not family.IGNORED.fullmatch(name))
    if sum(math.prod(shape) for shape in counted) != entry.parameters:
        return False
    try:
        return bool(pair_tensors(entry, family, weight_shapes(entry), tensors, head=True))
    except ConversionError:
        return False
