"""deliver(): a network is written, proven, and only then given the name that was asked for."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelzoo import files
from modelzoo.errors import ExportError, ModelZooError, OutputError, quoted, readable
from modelzoo.exporters.formats import Format
from modelzoo.exporters.metadata import PROOF, VERSION
from modelzoo.exporters.network import Network
from modelzoo.exporters.options import Options
from modelzoo.exporters.proof import Proof, prove
from modelzoo.exporters.proof_images import with_images


@dataclass(frozen=True)
class Exported:
    """A file that was written and proven; seconds of both, apart."""

    path: Path
    format: str
    bytes: int
    seconds: float
    proof_seconds: float
    proof: Proof


def deliver(
    network: Network,
    path: Path,
    format: Format,
    options: Options,
    *,
    keep: bool = False,
    python: str | None = None,
) -> Exported:
    """The file, proven. Until then it lies in a folder beside `path`, and nothing has its name.

    `python` is the interpreter of another environment, in which it is proven.
    Raises OutputError where nothing can be written, and ExportError for a network that the format cannot
    hold, and a file that differs from it; with `keep` that one is left for a look at it.
    """
    format.require(options)
    _check(format, options, python)
    _check_free(path, format)
    with _written(path), _beside(path) as folder:
        writer = format.writer()
        start, written = time.perf_counter(), folder / path.name
        try:
            writer.write(written, network.graph, network.arrays, network.metadata.texts(), options)
        except ValueError as error:
            raise ExportError(f"{format.title} cannot hold {network.graph.name}: {error}") from error
        done = time.perf_counter()
        try:
            proof = _proven(network, written, format, options, python)
        except ExportError as error:
            if not keep:
                raise
            _move(format, written, path)
            raise ExportError(f"{error} It was kept as {readable(str(path))}.") from error
        writer.add_text(written, PROOF, proof.to_json())
        size = sum(file.stat().st_size for file in format.files(written))
        _move(format, written, path)
    return Exported(path, format.name, size, done - start, time.perf_counter() - done, proof)


def _check_free(path: Path, format: Format) -> None:
    """Raises OutputError where something stands that is not to be replaced."""
    if format.marker is None:
        if path.is_dir():
            raise OutputError(f"{readable(str(path))} is a folder; give the name of a file.")
    elif path.exists() and not _is_ours(path, format):
        raise OutputError(
            f"{readable(str(path))} is there and was not exported by modelzoo to {format.title}, which "
            "writes a folder: give a name that nothing has."
        )


def _is_ours(path: Path, format: Format) -> bool:
    """Whether this is a folder that modelzoo exported to the format."""
    try:
        return format.is_folder(path) and VERSION in format.writer().read_texts(path)
    except (ValueError, OSError):
        return False


def _check(format: Format, options: Options, python: str | None) -> None:
    """Raises ExportError for what the format does not have."""
    if options.precision not in format.precisions:
        there = " and ".join(format.precisions)
        raise ExportError(f"{format.title} files are in {there}, not in {options.precision!r}.")
    if options.opset not in (None, *format.opsets):
        there = f"of opset {' or '.join(map(str, format.opsets))}" if format.opsets else "of no opset"
        raise ExportError(f"{format.title} files are {there}, not of {quoted(options.opset)}.")
    if python is not None and not format.runtime:
        raise ExportError(f"A {format.title} has no network that a runtime could run: leave out python.")


def _proven(network: Network, written: Path, format: Format, options: Options, python: str | None) -> Proof:
    """The proof of a file that agrees with the network; raises ExportError for one that does not."""
    if format.check is not None and python is None and not (format.runs and format.runs(options)):
        return Proof(
            "not run here",
            options.precision,
            0.0,
            (),
            checked=format.check(written, network.graph, network.arrays, options),
        )
    proof = prove(
        written,
        format.runtime if options.state_dict is None else options.state_dict.package,
        network.graph,
        network.arrays,
        network.samples,
        precision=options.precision,
        python=python,
    )
    if format.answers_images and network.metadata.preprocessing is not None:
        proof = with_images(proof, written, format.runtime, network)
    if proof.failures:
        lines = "; ".join(map(str, proof.failures[:2]))
        raise ExportError(
            f"{proof.runtime} answers otherwise than {network.graph.name} does, by more than "
            f"{proof.tolerance:.0e}: {lines}. The file is of no use."
        )
    return proof


def _move(format: Format, written: Path, path: Path) -> None:
    if format.marker is not None:
        _move_folder(written, path)
        return
    for source, target in zip(format.files(written), format.files(path), strict=True):
        files.replace(source, target)


def _move_folder(written: Path, path: Path) -> None:
    """Gives a folder its name; one that modelzoo wrote before goes with the temporary folder."""
    for file in files.files_in(written):
        files.sync(file)
    before = written.with_name("before")
    if path.is_dir():
        path.rename(before)
    try:
        written.rename(path)
    except OSError:
        if before.is_dir():
            before.rename(path)
        raise
    files.sync_folder(path.parent)


@contextmanager
def _beside(path: Path) -> Generator[Path]:
    """A folder on the same disk, so that a file can be moved at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.remove_abandoned(path.parent)
    with files.temporary_directory(path.parent) as folder:
        yield folder


@contextmanager
def _written(path: Path) -> Generator[None]:
    """What the disk refuses, as one sentence."""
    try:
        yield
    except ModelZooError:  # some of which are OSErrors, too
        raise
    except OSError as error:
        raise OutputError(f"{readable(str(path))} cannot be written: {error.strerror or error}.") from error
