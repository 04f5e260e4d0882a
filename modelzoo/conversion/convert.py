"""convert(): the upstream's own weight file -> a modelzoo weight file, tensor by tensor, with provenance."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelzoo import weights
from modelzoo.conversion import averages, checksums, recognition
from modelzoo.conversion.converter import Converter
from modelzoo.conversion.converters import converter_of
from modelzoo.conversion.pairing import PairingError
from modelzoo.conversion.reading import has_format, open_tensors
from modelzoo.conversion.shapes import top_weights, weight_shapes
from modelzoo.errors import ConversionError, abbreviated
from modelzoo.formats import archives
from modelzoo.registry import Entry, Source

LOG = logging.getLogger("modelzoo")
Fingerprints = list[dict[str, str]]
Shapes = dict[str, tuple[int, ...]]
VERSION = 1  # of the converters; it grows when the same upstream file would give other weights


def convert(
    entry: Entry,
    path: Path,
    target: Path,
    *,
    official: bool = False,
    include_top: bool = True,
    average: bool | None = None,
    verified: Sequence[str] = (),
    parity: Mapping[str, Any] | None = None,
    candidates: Iterable[Entry] = (),
) -> dict[str, Any]:
    """Writes the upstream file, folder, checkpoint prefix or archive `path` as ours; returns the provenance.

    The file is the entry's first source of its format. `official` demands every checksum that the registry
    has of it. Without `include_top` the top's weights may be missing, then also in ours. Of a checkpoint with
    moving averages beside the raw weights `average` chooses, by default the copy that the authors evaluated;
    provenance and log say which. `verified`, what the caller made sure of, and `parity`, figures of a
    comparison, go into the provenance. Memory: one tensor. Raises ConversionError, with nothing written, if a
    tensor is missing, unexpected, or of another shape or dtype; the message names those of the `candidates`
    that the file seems to be of.
    """
    with _meanwhile(entry, path) as (fingerprints, needed), _recognized(entry, path) as (source, unpacked):
        converter, variant, shapes = converter_of(source), entry.graph.variant, needed.result()
        checked = checksums.verify(entry, source, path, unpacked, official=official)
        with open_tensors(converter, source.format, variant, unpacked) as tensors:
            with _advice(entry, unpacked, candidates):
                top = top_weights(entry, shapes)
                asked = {"include_top": include_top, "average": average}
                pairs = converter.pair(variant, shapes, tensors, top=top, **asked)
            provenance = {
                "model": entry.key,
                "source": fingerprints.result(),
                "verified": [*checked, *verified],
                **_converted(entry, converter, pairs, tensors, shapes),
                **({} if parity is None else {"parity": dict(parity)}),
            }
            weights.write(target, converter.arrays(pairs, tensors), provenance)
    return provenance


def _converted(
    entry: Entry,
    converter: Converter,
    pairs: Mapping[str, str],
    tensors: Collection[str],
    shapes: Mapping[str, tuple[int, ...]],
) -> dict[str, Any]:
    """What a provenance says of the conversion; which of two copies was taken also goes to the log."""
    stated: dict[str, Any] = {
        "converter": f"{converter.name} {VERSION}",
        "tensors": len(pairs),
        "parameters": sum(math.prod(shapes[ours]) for ours in pairs),
    }
    if converter.takes_averages is not None:
        stated["weights"], had_both = averages.taken(pairs, tensors)
        if had_both:
            LOG.warning(
                "%s: the checkpoint holds raw weights and their moving averages; converted: %s. "
                "modelzoo convert --average or --raw chooses.",
                entry.key,
                "the raw weights" if stated["weights"] == "raw" else "the moving averages",
            )
    return stated


@contextmanager
def _meanwhile(entry: Entry, path: Path) -> Iterator[tuple[Future[Fingerprints], Future[Shapes]]]:
    """What the provenance says of the file, and the weights that are needed, told while it is unpacked."""
    with ThreadPoolExecutor(2, "modelzoo-convert") as pool:
        yield pool.submit(checksums.fingerprints, path), pool.submit(weight_shapes, entry)


@contextmanager
def _recognized(entry: Entry, path: Path) -> Iterator[tuple[Source, Path]]:
    """The source whose format `path` has, and what to read, unpacked if need be.

    An entry's only source is not asked: its reader says best what is wrong with a file.
    """
    if not entry.sources:
        raise ConversionError(
            f"{path} was not written by modelzoo, and {entry.key} has no upstream to convert it from."
        )
    for source in entry.sources:
        with archives.unpacked(path, source.member) as unpacked:
            if len(entry.sources) == 1 or has_format(unpacked, source.format):
                yield source, unpacked
                return
    formats = " or ".join(source.format for source in entry.sources)
    raise ConversionError(f"There is no {formats} file, which {entry.key} is converted from, at {path}.")


@contextmanager
def _advice(entry: Entry, path: Path, candidates: Iterable[Entry]) -> Iterator[None]:
    """Adds to the error about a file that does not fit whose it seems to be, or else what to do."""
    try:
        yield
    except ConversionError as error:
        advice = ""
        if found := recognition.by_tensors(path, candidates):
            advice = f" It seems to be the file of {abbreviated([other.key for other in found])}."
        elif isinstance(error, PairingError):
            advice = f" Check that it is the file of {entry.key}, or download it again."
        raise ConversionError(f"{error}{advice}") from error
