"""convert(): the upstream's own weight file -> one of ours, tensor by tensor, with a receipt."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo import registry, weights
from modelzoo.architectures import build
from modelzoo.conversion import archives, pairing, readers
from modelzoo.errors import ConversionError, some
from modelzoo.files import digests
from modelzoo.registry import Entry, Graph, Source

VERSION = 1  # of the converters; it grows when the same upstream file would give other weights
DTYPE = np.dtype(np.float32)  # of every tensor in every upstream file so far


def convert(
    entry: Entry,
    path: Path,
    target: Path,
    *,
    official: bool = False,
    head: bool = True,
    verified: Sequence[str] = (),
    parity: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes the upstream file, folder, checkpoint prefix or archive `path` as ours; returns the receipt.

    It is taken for the entry's first source of its format. `official` demands every checksum that the
    registry has of that source. With `head=False` a file without the head's weights will do, and gives one
    of ours without them. `verified`, what the caller made sure of, and `parity`, figures of a comparison
    with the original program, go into the receipt. Memory: the model in zeros, and one tensor. Raises
    ConversionError, with nothing written, if a tensor is missing, left over, or of another shape or dtype.
    """
    if not entry.sources:
        raise ConversionError(
            f"{path} is not one of our weight files, and {entry.key} has no upstream to convert one from."
        )
    with _recognised(entry, path) as (source, unpacked):
        family = family_of(source)
        checked = _verify(entry, source, path, unpacked, official)
        with open_tensors(entry, source, family, unpacked) as tensors:
            shapes = weight_shapes(entry)
            try:
                pairs = pair_tensors(entry, family, shapes, tensors, head)
            except ConversionError as error:
                raise ConversionError(f"{error}{_whose(unpacked)}") from error
            receipt = {
                "model": entry.key,
                "source": _fingerprints(path),
                "verified": [*checked, *verified],
                "converter": f"{source.converter} {VERSION}",
                "tensors": len(pairs),
                "parameters": sum(math.prod(shapes[path]) for path in pairs),
            }
            if parity is not None:
                receipt["parity"] = dict(parity)
            weights.write(target, _stream(family, pairs, tensors), receipt)
    return receipt


def _whose(path: Path) -> str:
    """Says which models the file fits, if any; it is asked about one that does not fit the wanted model."""
    from modelzoo.conversion import recognition

    found = recognition.by_tensors(path, [registry.info(key) for key in registry.list_models()])
    return f" It seems to be the file of {some([entry.key for entry in found])}." if found else ""


def weight_shapes(entry: Entry) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of the entry's full network by `layer/weight`, in the order of layers."""
    return dict(_shapes(entry.graph))


@functools.cache  # recognition and publishing ask for the same networks again
def _shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    network = build(
        graph.family,
        graph.variant,
        input_shape=graph.input_shape,
        classes=graph.classes,
        initialise=False,
    )
    return weights.shapes(network.model())


@contextmanager
def _recognised(entry: Entry, path: Path) -> Iterator[tuple[Source, Path]]:
    """The source whose format `path` has, and what to read, unpacked if need be.

    An entry's only source is not asked: its reader says best what is wrong with a file.
    """
    for source in entry.sources:
        with archives.unpacked(path, source.member) as unpacked:
            if len(entry.sources) == 1 or readers.RECOGNISERS[source.format](unpacked):
                yield source, unpacked
                return
    formats = " or ".join(source.format for source in entry.sources)
    raise ConversionError(f"There is no {formats} file, which {entry.key} is converted from, at {path}.")


def family_of(source: Source):
    """The module that knows where the source's files keep our weights."""
    try:
        module = import_module(f"modelzoo.conversion.{source.converter}")
    except ImportError:
        module = None
    if not hasattr(module, "naming"):
        raise ConversionError(f"There is no converter {source.converter!r}.")
    return module


def upstream_arrays(
    entry: Entry, family, array: Callable[[str, tuple[int, ...]], np.ndarray]
) -> dict[str, np.ndarray]:
    """The way back: our weights, array(path, shape), as the family's upstream names and lays them out."""
    name_of = family.naming(entry.graph.variant)
    return {
        name_of(path): np.ascontiguousarray(family.to_upstream(path, array(path, shape)))
        for path, shape in weight_shapes(entry).items()
    }


def open_tensors(entry: Entry, source: Source, family, path: Path) -> readers.Tensors:
    """The file's tensors; a format without names needs the family's plan of what follows what."""
    reader = readers.READERS[source.format]
    if not hasattr(family, "plan"):
        return reader(path)
    return reader(path, family.plan(entry.graph.variant), family.NUMBERS_IN)


def pair_tensors(
    entry: Entry, family, shapes: dict[str, tuple[int, ...]], tensors, head: bool
) -> dict[str, str]:
    """The upstream name of each of our weights, of the right shape and dtype, or ConversionError."""
    name_of = family.naming(entry.graph.variant, tensors)
    pairs = pairing.pair(shapes, tensors, name_of, family.IGNORED, weights.top(shapes), head)
    layouts = {path: family.to_upstream(path, _shape_only(shapes[path])).shape for path in pairs}
    pairing.check_shapes(pairs, layouts, {name: tensors[name].shape for name in pairs.values()})
    for name in pairs.values():
        if tensors[name].dtype != DTYPE:
            raise ConversionError(f"{name} is {tensors[name].dtype}; {DTYPE} was wanted.")
    return pairs


def _shape_only(shape: tuple[int, ...]) -> np.ndarray:
    """An array of that shape that takes no memory."""
    return np.broadcast_to(np.float32(0), shape)


def _stream(family, pairs: dict[str, str], tensors) -> Iterator[tuple[str, np.ndarray]]:
    for path, name in pairs.items():
        array = tensors.read(name)
        if not np.isfinite(array).all():
            raise ConversionError(f"{name} holds numbers that are not finite: the file is damaged.")
        yield path, np.ascontiguousarray(family.to_ours(path, array))


def _verify(entry: Entry, source: Source, path: Path, unpacked: Path, official: bool) -> list[str]:
    """The published checksums that fit; if `official`, one that does not is an error."""
    verified = []
    bare_member = unpacked == path and source.member is not None
    for checksum in source.checksums:
        subject = unpacked if checksum.of == "member" else path
        if not subject.is_file() or (checksum.of == "file" and bare_member):
            continue
        digest = digests(subject, (checksum.algorithm,))[checksum.algorithm]
        if digest == checksum.value:
            verified.append(f"{checksum.algorithm} of the {checksum.of}")
        elif official:
            raise ConversionError(
                f"{subject.name} is not the official file of {entry.key}: "
                f"wanted {checksum.algorithm} {checksum.value}, got {digest}."
            )
    return verified


def _fingerprints(path: Path) -> list[dict[str, str]]:
    """Name and sha256 of the file, or of every file of a folder or a checkpoint prefix."""
    if path.is_file():
        files = [path]
    elif path.is_dir():
        files = [file for file in path.rglob("*") if file.is_file()]
    else:
        files = [file for file in path.parent.iterdir() if file.name.startswith(f"{path.name}.")]
    return [{"name": file.name, **digests(file, ("sha256",))} for file in sorted(files)]
