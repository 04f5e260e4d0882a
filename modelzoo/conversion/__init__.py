"""convert(): the upstream's own weight file -> one of ours, tensor by tensor, with a receipt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo import weights
from modelzoo.architectures import build
from modelzoo.conversion import archives, pairing, readers
from modelzoo.errors import ConversionError
from modelzoo.files import digests
from modelzoo.registry import Entry

VERSION = 1  # of the converters; it grows when the same upstream file would give other weights
DTYPE = np.dtype(np.float32)  # of every tensor in every upstream file so far


def convert(
    entry: Entry,
    path: Path,
    target: Path,
    *,
    official: bool = False,
    parity: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes the upstream file, folder, checkpoint prefix or archive `path` as ours; returns the receipt.

    `official` demands every checksum that the registry has of it. `parity`, figures of a comparison
    with the original program, goes into the receipt. Memory: the model in zeros, and one tensor.
    Raises ConversionError, with nothing written, if a tensor is missing, left over, or of another
    shape or dtype.
    """
    if entry.source is None:
        raise ConversionError(
            f"{path} is not one of our weight files, and {entry.key} has no upstream to convert one from."
        )
    family = import_module(f"modelzoo.conversion.{entry.source.converter}")
    with archives.unpacked(path, entry.source.member) as unpacked:
        verified = _verify(entry, path, unpacked, official)
        with _open(entry, family, unpacked) as tensors:
            shapes = weight_shapes(entry)
            pairs = _pairs(entry, family, shapes, tensors)
            receipt = {
                "model": entry.key,
                "source": _fingerprints(path),
                "verified": verified,
                "converter": f"{entry.source.converter} {VERSION}",
                "tensors": len(pairs),
                "parameters": entry.parameters,
            }
            if parity is not None:
                receipt["parity"] = dict(parity)
            weights.write(target, _stream(family, pairs, tensors), receipt)
    return receipt


def weight_shapes(entry: Entry) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of the entry's full network by `layer/weight`, in the order of layers."""
    graph = entry.graph
    network = build(
        graph.family,
        graph.variant,
        input_shape=graph.input_shape,
        classes=graph.classes,
        initialise=False,
        initialise_head=False,
    )
    return weights.shapes(network.model())


def _open(entry: Entry, family, path: Path) -> readers.Tensors:
    """The file's tensors; a format without names needs the family's plan of what follows what."""
    reader = readers.READERS[entry.source.format]
    if not hasattr(family, "plan"):
        return reader(path)
    return reader(path, family.plan(entry.graph.variant), family.NUMBERS_IN)


def _pairs(entry: Entry, family, shapes: dict[str, tuple[int, ...]], tensors) -> dict[str, str]:
    name_of = family.naming(entry.graph.variant, tensors)
    pairs = pairing.pair(shapes, tensors, name_of, family.IGNORED)
    layouts = {path: family.to_upstream(path, _shape_only(shape)).shape for path, shape in shapes.items()}
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


def _verify(entry: Entry, path: Path, unpacked: Path, official: bool) -> list[str]:
    """The published checksums that fit; if `official`, one that does not is an error."""
    verified = []
    bare_member = unpacked == path and entry.source.member is not None
    for checksum in entry.source.checksums:
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
