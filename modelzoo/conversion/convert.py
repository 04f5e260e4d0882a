"""convert(): the upstream's own weight file -> a modelzoo weight file, tensor by tensor, with provenance."""

from __future__ import annotations

import logging
import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelzoo import weights
from modelzoo.conversion import averages, checksums, recognition
from modelzoo.conversion.classes import OtherClasses, fitted
from modelzoo.conversion.converter import Converter
from modelzoo.conversion.pairing import PairingError
from modelzoo.conversion.reading import Opened, opened
from modelzoo.conversion.shapes import top_weights, weight_shapes
from modelzoo.errors import ConversionError, abbreviated, readable
from modelzoo.formats import Tensors
from modelzoo.labels import checked_names
from modelzoo.registry import Entry
from modelzoo.weights import CLASSES, LABELS

LOG = logging.getLogger("modelzoo")
VERSION = 1  # of the converters; it grows when the same upstream file would give other weights


def convert(
    entry: Entry,
    path: Path,
    target: Path,
    *,
    official: bool = False,
    include_top: bool = True,
    average: bool | None = None,
    labels: Sequence[str] | None = None,
    verified: Sequence[str] = (),
    parity: Mapping[str, Any] | None = None,
    candidates: Iterable[Entry] = (),
) -> dict[str, Any]:
    """Writes the upstream file, folder, checkpoint prefix or archive `path` as ours; returns the provenance.

    The file is the entry's first source of its format. `official` demands every checksum that the registry
    has of it, and the entry's number of classes; of a file without the top nobody published one. Without
    `include_top` the top's weights may be missing, then also in ours, and a head of the user's own is left
    over, which the log says. The number of classes is that of the head in the file, and `labels` are their
    names. Of a checkpoint with moving averages beside the raw weights `average` chooses, by default the copy
    that the authors evaluated; provenance and log say which. `verified`, what the caller made sure of, and
    `parity`, figures of a comparison, go into the provenance. Memory: one tensor. Raises ConversionError,
    with nothing written, if a tensor is missing, unexpected, or of another shape or dtype; the message names
    those of the `candidates` that the file seems to be of. Raises LabelsError for a wrong number of labels.
    """
    with _meanwhile(entry, path) as (fingerprints, built), opened(entry, path) as file:
        converter, variant, tensors = file.converter, entry.graph.variant, file.tensors
        built.result()  # fitted() asks for the same network
        whole = fitted(entry, converter, tensors)
        shapes = weight_shapes(whole)
        top = top_weights(whole, shapes)
        with _advice(entry, file, candidates):
            asked = {"include_top": include_top, "average": average}
            pairs = converter.pair(variant, shapes, tensors, top=top, **asked)
        checked = _checked(entry, whole, file, official=official and set(pairs) == set(shapes))
        named = checked_names(labels, whole.graph.classes, path)
        provenance = {
            "model": entry.key,
            "source": fingerprints.result(),
            "verified": [*checked, *verified],
            **_stated_classes(entry, whole, named),
            **_converted(entry, converter, pairs, tensors, shapes),
            **({} if parity is None else {"parity": dict(parity)}),
        }
        weights.write(target, converter.arrays(pairs, tensors), provenance)
    return provenance


def head_classes(entry: Entry, path: Path) -> int:
    """How many classes the head in an upstream file has; the entry's if the file has no such head.

    Raises ConversionError for a file that cannot be read as the entry's.
    """
    with opened(entry, path) as file:
        return fitted(entry, file.converter, file.tensors).graph.classes


def _checked(entry: Entry, whole: Entry, file: Opened, *, official: bool) -> list[str]:
    """The published checksums that fit. Raises ConversionError if `official` and the file is another."""
    if official and whole.graph.classes != entry.graph.classes:
        raise OtherClasses(entry, file.path, whole.graph.classes)
    return checksums.verify(entry, file.source, file.path, file.unpacked, official=official)


def _stated_classes(entry: Entry, whole: Entry, labels: Sequence[str] | None) -> dict[str, Any]:
    """What a provenance says of classes that are not the entry's own."""
    if labels is not None:
        return {CLASSES: whole.graph.classes, LABELS: list(labels)}
    return {CLASSES: whole.graph.classes} if whole.graph.classes != entry.graph.classes else {}


def _converted(
    entry: Entry,
    converter: Converter,
    pairs: Mapping[str, str],
    tensors: Tensors,
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
    if own := converter.left_over(pairs, tensors):
        stated["left_over"] = own
        what = "a head of its own" if len(pairs) < len(shapes) else "a second head"
        shown = abbreviated([readable(name) for name in own])
        LOG.warning("%s: the file has %s, which is left over: %s.", entry.key, what, shown)
    return stated


@contextmanager
def _meanwhile(entry: Entry, path: Path) -> Iterator[tuple[Future[list[dict[str, str]]], Future[Any]]]:
    """What the provenance says of the file, and that the network is known, told while it is unpacked."""
    with ThreadPoolExecutor(2, "modelzoo-convert") as pool:
        yield pool.submit(checksums.fingerprints, path), pool.submit(weight_shapes, entry)


@contextmanager
def _advice(entry: Entry, file: Opened, candidates: Iterable[Entry]) -> Iterator[None]:
    """Adds to the error about a file that does not fit whose it seems to be, or else what to do."""
    try:
        yield
    except ConversionError as error:
        advice, found = "", recognition.by_tensors(file.unpacked, candidates)
        if entry.key in [other.key for other in found]:  # but for its top
            if isinstance(error, PairingError):
                command = shlex.join(["modelzoo", "convert", entry.key, str(file.path), "-o", "own.h5"])
                advice = f" It has a head of its own: use include_top=False, or leave it over by {command}."
        elif found:
            advice = f" It seems to be the file of {abbreviated([other.key for other in found])}."
        elif isinstance(error, PairingError):
            advice = f" Check that it is the file of {entry.key}."
        raise ConversionError(f"{error}{advice}") from error
