"""diff(): two networks, each a model, a file or alive -> the first node that differs, and why."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from modelzoo.errors import ExportError, readable
from modelzoo.exporters import FORMATS, Metadata, inspect
from modelzoo.exporters.diff import Difference, FileSide, GraphSide, compare, compare_files
from modelzoo.exporters.diff import precision_tolerance as tolerance_of
from modelzoo.exporters.network import Network
from modelzoo.exporters.samples import DEFAULT_SIDE
from modelzoo.images import preprocess
from modelzoo.registry import Preprocessing
from modelzoo.store import PRETRAINED
from modelzoo.tasks import networks

if TYPE_CHECKING:
    from modelzoo.images import ImageInput

RUN = (".onnx", ".xml", ".tflite")  # endings of files that their own runtimes run; others are read as graphs
WITH = "="  # between a name and its weights


@dataclass(frozen=True)
class _Side:
    """One of the two, and what is known of its images."""

    side: GraphSide | FileSide
    metadata: Metadata
    network: Network | None = None


def diff(
    a: object,
    b: object,
    image: ImageInput | None = None,
    *,
    weights: str | os.PathLike[str] | None = PRETRAINED,
) -> Difference:
    """The first node of two networks that differs, by how much, and a guess at the cause.

    a, b: a name of the registry, also with its weights as "NAME=FILE", which may be an upstream file, or
        "NAME=synthetic"; a modelzoo weight file; a .keras file; a functional or Sequential keras.Model; or a
        file that was exported to another format, which its own runtime computes.
    image: what both networks are given, preprocessed as the first of them that says how; by default a
        photograph of a cat.
    weights: of names that come without, as in modelzoo.load.

    A node differs when its value is other, by a relative L2 error of more than 1e-5 (5e-2 where a file keeps
    weights in half precision), than what the other network computes on the same inputs. Raises ExportError
    for what cannot be read or run, and what modelzoo.load raises.
    """
    with ExitStack() as stack:
        first, second = (stack.enter_context(_opened(each, weights)) for each in (a, b))
        images = _images(first, second, image)
        precision = next(
            (each.metadata.precision for each in (first, second) if each.metadata.precision != "f32"), "f32"
        )
        tolerance = tolerance_of(precision)
        labels = next((each.metadata.labels for each in (first, second) if each.metadata.labels), ())
        found = _compared(first.side, second.side, images, tolerance)
    return replace(found, labels=tuple(name for _, name in labels))


def _compared(
    first: GraphSide | FileSide, second: GraphSide | FileSide, images: np.ndarray, tolerance: float
) -> Difference:
    """The comparison; a network that can be computed by parts is the reference of the two."""
    try:
        if isinstance(first, GraphSide):
            return compare(first, second, images, tolerance=tolerance)
        if isinstance(second, GraphSide):
            return compare(second, first, images, tolerance=tolerance)
        return compare_files(first, second, images, tolerance=tolerance)
    except ValueError as error:
        raise ExportError(f"The networks cannot be compared: {error}") from error


@contextmanager
def _opened(given: object, weights: str | os.PathLike[str] | None) -> Generator[_Side]:
    """A side, while its weights can be read."""
    name = ""
    if isinstance(given, str | os.PathLike):
        name = os.fspath(cast("str | os.PathLike[str]", given))
        path = Path(name)
        if path.suffix.lower() in RUN and path.exists():
            yield _of_file(path)
            return
        before, mark, after = name.partition(WITH)
        if mark and not path.exists():
            name, weights = before, after
    with networks.opened(cast("object", name or given), weights) as (_, network):
        side = GraphSide(name or network.graph.name, network.graph, network.arrays)
        yield _Side(side, network.metadata, network)


def _of_file(path: Path) -> _Side:
    """A file that was exported; one of another program, too, of which nothing more is known."""
    format = next(f for f in FORMATS.values() if f.suffix == path.suffix.lower())
    try:
        metadata = inspect(path).metadata
    except ExportError:
        metadata = Metadata(path.stem)
    return _Side(FileSide(str(path), path, format), metadata)


def _images(first: _Side, second: _Side, image: ImageInput | None) -> np.ndarray:
    """A batch of one image, as the first side that says how takes it; others get values from -1 to 1."""
    both = (first, second)
    known = next((p for each in both if (p := each.metadata.preprocessing) is not None), None)
    network = next((each.network for each in both if each.network is not None), None)
    if network is None and known is None:
        raise ExportError(
            f"Neither {readable(first.side.name)} nor {readable(second.side.name)} says how images are "
            "prepared for it: name a model as one of them."
        )
    if network is not None and image is None and known is None:
        return next(iter(network.samples.batches(network.graph)[0].values()))[:1]
    height, width = _size(network)
    facts = networks.plain_preprocessing(DEFAULT_SIDE) if known is None else Preprocessing(**known)
    facts = replace(facts, crop_size=max(height or facts.crop_size, width or 0))
    batch = preprocess(networks.photograph() if image is None else image, facts)
    return batch[:, : height or facts.crop_size, : width or facts.crop_size]


def _size(network: Network | None) -> tuple[int | None, int | None]:
    """The height and width that a network is built for; None where they are open, or not known."""
    shape = () if network is None else next(iter(network.graph.inputs.values()))
    return (shape[1], shape[2]) if len(shape) == 4 else (None, None)
