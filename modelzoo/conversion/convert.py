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
from modelzoo.conversion.pairing import PairingError
from modelzoo.conversion.reading import Opened, opened
from modelzoo.conversion.shapes import top_weights, weight_shapes
from modelzoo.errors import ConversionError, abbreviated, readable
from modelzoo.labels import checked_names
from modelzoo.registry import Entry, HubEntry
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
    has of it, and the entry's number of classes. Without `include_top` the top's weights may be missing, then
    also in ours, and a head of the user's own is left over. The head in the file decides the number of
    classes, which `labels` name. Of a checkpoint with moving averages `average` chooses, by default the copy
    that the authors evaluated. `verified`, what the caller made sure of, `parity`, figures of a comparison,
    and what is taken and left go into the provenance. Raises ConversionError, with nothing written, if the
    tensors are not the network's, naming `candidates` whose they seem to be; LabelsError for wrong labels.
    """
    with _meanwhile(entry, path) as (fingerprints, built), opened(entry, path) as file:
        built.result()  # fitted() asks for the same network
        whole = fitted(entry, file.converter, file.tensors)
        shapes = weight_shapes(whole)
        with _advice(entry, file, candidates):
            asked = {"include_top": include_top, "average": average, "top": top_weights(whole, shapes)}
            pairs = file.converter.pair(entry.graph.variant, shapes, file.tensors, **asked)
        provenance = {
            "model": entry.key,
            "source": fingerprints.result(),
            "verified": [*_checked(entry, whole, file, pairs, official=official), *verified],
            **_stated_classes(entry, whole, checked_names(labels, whole.graph.classes, path)),
            **_converted(entry, file, pairs, shapes),
            **({} if parity is None else {"parity": dict(parity)}),
        }
        weights.write(target, file.converter.arrays(pairs, file.tensors), provenance)
    return provenance


def head_classes(entry: Entry, path: Path) -> int:
    """How many classes the head in an upstream file has; the entry's if the file has no such head.

    Raises ConversionError for a file that cannot be read as the entry's.
    """
    with opened(entry, path) as file:
        return fitted(entry, file.converter, file.tensors).graph.classes


def _checked(
    entry: Entry, whole: Entry, file: Opened, pairs: Mapping[str, str], *, official: bool
) -> list[str]:
    """The published checksums that fit.

    Raises ConversionError if `official` and the file is another; of one without the top nobody published any.
    """
    official = official and pairs.keys() == weight_shapes(whole).keys()
    if isinstance(entry, HubEntry) and whole.graph.classes != entry.graph.classes:
        raise ConversionError(
            f"{entry.reference}: expected a head of {entry.graph.classes:,} classes, as its config.json "
            f"says, got {whole.graph.classes:,}."
        )
    if official and whole.graph.classes != entry.graph.classes:
        raise OtherClasses(entry, file.path, whole.graph.classes)
    return checksums.verify(entry, file.source, file.path, file.unpacked, official=official)


def _stated_classes(entry: Entry, whole: Entry, labels: Sequence[str] | None) -> dict[str, Any]:
    """What a provenance says of classes that are not the entry's own."""
    if labels is not None:
        return {CLASSES: whole.graph.classes, LABELS: list(labels)}
    return {CLASSES: whole.graph.classes} if whole.graph.classes != entry.graph.classes else {}


def _converted(
    entry: Entry, file: Opened, pairs: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Any]:
    """What a provenance says of the conversion; which of two copies was taken also goes to the log."""
    converter, tensors = file.converter, file.tensors
    stated: dict[str, Any] = {
        "converter": f"{converter.name} {VERSION}",
        "tensors": len(pairs),
        "parameters": sum(math.prod(shapes[ours]) for ours in pairs),
    }
    if isinstance(entry, HubEntry):
        stated["hub"] = entry.reference
    if converter.takes_averages is not None:
        stated["weights"], had_both = averages.taken(pairs, tensors)
        if had_both:
            LOG.warning(
                "%s: the checkpoint holds raw weights and their moving averages; converted: %s. "
                "modelzoo convert --average or --raw chooses.",
                entry.key,
                "the raw weights" if stated["weights"] == "raw" else "the moving averages",
            )
    if tensors.beside:
        stated["left_out"] = list(tensors.beside)
        shown = abbreviated([readable(name) for name in tensors.beside])
        LOG.info("%s: the file is a checkpoint; beside the weights it holds %s.", entry.key, shown)
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
