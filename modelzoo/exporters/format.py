"""Format: what is known of one format that networks are exported to, and what its module must have."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from modelzoo.errors import ExportError
from modelzoo.exporters.options import Arrays, Options, Precision, Texts
from modelzoo.files import files_in

if TYPE_CHECKING:
    from modelzoo.graph import Graph


class Writer(Protocol):
    """What a format's module has."""

    def write(self, path: Path, graph: Graph, arrays: Arrays, texts: Texts, options: Options) -> None:
        """Writes a network's files. Raises ValueError, with the node's name, for what the format lacks."""

    def add_text(self, path: Path, name: str, text: str) -> None:
        """Adds a text to the metadata of a file that was written."""

    def read_texts(self, path: Path) -> dict[str, str]:
        """The metadata. Raises OSError, and ValueError for a file that is not of the format."""
        ...


@dataclass(frozen=True)
class Format:
    """One format: its writer, what proves its files, and how they keep metadata.

    runtime: what runs its files, as runner.py calls it.
    package: what must be importable to write and to prove; pip: what installs it.
    besides: the endings of further files that belong to one; companions: those that are named otherwise.
    marker: where a product is a folder, the file in it by which one is known. A format without a suffix is
        known by that alone.
    answers_images: whether its files take encoded images, too.
    check: where nothing here runs the files: reads one back and says in words what it compared by value;
        raises ExportError where that differs.
    runs: whether the runtime is here after all, of a format that also has a check.
    upstream: the format, as modelzoo.formats calls it, of files of weights that other programs give their own
        names: a file of this one has those names.
    """

    name: str
    suffix: str
    title: str
    runtime: str
    package: str
    pip: str
    writer: Callable[[], Writer]
    precisions: tuple[Precision, ...] = ("f32", "f16")
    opsets: tuple[int, ...] = ()  # versions of operators that can be asked for
    open_sides: bool = True  # of images; all formats keep the batch open
    computed_padding: bool = True  # also where what is padded depends on those sides
    besides: tuple[str, ...] = ()
    marker: str | None = None
    answers_images: bool = False
    check: Callable[[Path, Graph, Arrays, Options], str] | None = None
    runs: Callable[[Options], bool] | None = None
    upstream: str = ""
    companions: Callable[[Path], list[Path]] | None = None

    def files(self, path: Path) -> list[Path]:
        """All files of one that is exported; the one that is named comes last."""
        if self.marker is not None:
            return sorted(files_in(path))
        others = [path.with_suffix(suffix) for suffix in self.besides]
        return [*others, *(self.companions(path) if self.companions else ()), path]

    def require(self, options: Options | None = None) -> None:
        """Raises ExportError, with pip's command, if a package is missing."""
        needed = [self.package]
        if options is not None and options.state_dict is not None:
            needed.append(options.state_dict.package)
        for package in needed:
            if importlib.util.find_spec(package) is None:
                raise ExportError(f"{self.title} needs the package {package}: pip install {self.pip}.")

    def is_folder(self, path: Path) -> bool:
        """Whether this is a folder as the format's products are, whoever wrote it."""
        return self.marker is not None and path.is_dir() and (path / self.marker).exists()
