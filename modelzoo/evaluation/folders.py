"""A folder with one folder a class: which images it has, in which order, and of which class each is."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from modelzoo import files
from modelzoo.errors import ImageError, OutputError, abbreviated, readable
from modelzoo.evaluation.classes import Classes, Mapped, classes_of
from modelzoo.images import encodable, image_files
from modelzoo.images.files import ENDINGS, HIDDEN, SYSTEM, SYSTEM_FOLDERS
from modelzoo.labels import Label
from modelzoo.tasks.pipeline import in_order

AHEAD = 64  # files whose digests are computed before they are needed
OUTSIDE = "in no class's folder"  # why an image is skipped
LEFT_OUT = "folder left out by the mapping"
UNREADABLE = "unreadable"  # in place of the digest of a file that cannot be opened


@dataclass(frozen=True)
class ClassFolder:
    """A folder of images of one class, a member of the folder `root`."""

    root: str
    name: str
    label: Label

    @property
    def path(self) -> str:
        return os.path.join(self.root, self.name)

    def relative(self, path: str) -> str:
        """An image's path as seen from the root, with "/" on every system."""
        return encodable(os.path.relpath(path, self.root)).replace(os.sep, "/")


@dataclass(frozen=True)
class LabeledFolder:
    """The class folders of `path` that have images, by name; `empty` names those that have none."""

    path: str
    folders: tuple[ClassFolder, ...]
    empty: tuple[str, ...]
    skipped: Counter[str] = field(default_factory=Counter[str])

    @property
    def sources(self) -> list[str]:
        """What image_files() makes all images of, in their order."""
        return [folder.path for folder in self.folders]

    def images(self) -> Iterator[tuple[ClassFolder, str]]:
        for folder in self.folders:
            for path in image_files(folder.path):
                yield folder, path


def labeled_folder(path: str | os.PathLike[str], classes: Classes, mapped: Mapped) -> LabeledFolder:
    """The folder's class folders; those that the mapping leaves out, and all outside, count as skipped.

    Raises ImageError where there are no class folders, or no images in them, and LabelsError for folders
    that are no classes.
    """
    root = os.fspath(path)
    skipped: Counter[str] = Counter()
    names = sorted(_class_folders(root, skipped))
    if not names:
        outside = f"; {skipped[OUTSIDE]} images lie in it directly" if skipped[OUTSIDE] else ""
        raise ImageError(f"Expected one folder a class in {readable(root)}, found no folders{outside}.")
    numbers = classes_of(names, classes, mapped)
    skipped[LEFT_OUT] += sum(number is None for number in numbers.values())
    found = [ClassFolder(root, n, classes.labels[i]) for n, i in numbers.items() if i is not None]
    empty = [folder for folder in found if not _has_images(folder.path)]
    if len(empty) == len(found):
        folders = abbreviated([readable(name) for name in names])
        raise ImageError(f"The folders in {readable(root)} have no images: {folders}.")
    full = tuple(folder for folder in found if folder not in empty)
    return LabeledFolder(root, full, tuple(encodable(f.name) for f in empty), +skipped)


def class_folders(path: str | os.PathLike[str]) -> list[str]:
    """The names of the class folders, sorted; raises ImageError if there is no such folder."""
    return sorted(_class_folders(os.fspath(path), Counter()))


def _class_folders(root: str, skipped: Counter[str]) -> Iterator[str]:
    try:
        with os.scandir(root) as found:
            members = [(member.name, member.is_dir()) for member in found]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(f"No such folder: {readable(root)}.") from error
    for name, is_folder in members:
        if name.startswith("."):
            skipped[HIDDEN] += 1
        elif is_folder and name in SYSTEM_FOLDERS:
            skipped[SYSTEM] += 1
        elif is_folder:
            yield name
        else:
            skipped[OUTSIDE] += name.lower().endswith(ENDINGS)


def _has_images(path: str) -> bool:
    try:
        image_files(path)
    except ImageError:
        return False
    return True


@dataclass(frozen=True)
class LabeledRow:
    """A row, and the class that its image is of."""

    folder: ClassFolder
    image: str  # as seen from the folder of all classes
    row: Mapping[str, Any]


class LabeledRows:
    """Rows in the images' order -> the same with their classes, and then the digest of all that was used.

    `sha256` is that of a line for each image: the sha256 of its file, its class's id and its path in the
    folder, with a space between them.
    """

    def __init__(self, folder: LabeledFolder, rows: Iterable[Mapping[str, Any]]):
        self.folder, self.rows = folder, rows
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of all rows that were gone through."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[LabeledRow]:
        images = in_order(_with_digest, self.folder.images(), ahead=AHEAD)
        for image, row in zip_longest(images, self.rows):
            if image is None or row is None or encodable(image[1]) != row["image"]:
                where = readable(self.folder.path)
                raise OutputError(
                    f"The images in {where} have changed while they were evaluated; start over."
                )
            folder, path, sha256 = image
            relative = folder.relative(path)
            self._digest.update(f"{sha256} {folder.label.id} {relative}\n".encode())
            yield LabeledRow(folder, relative, row)


def _with_digest(image: tuple[ClassFolder, str]) -> tuple[ClassFolder, str, str]:
    folder, path = image
    try:
        found = files.sha256(Path(path)) if os.path.isfile(path) else UNREADABLE  # a pipe would have no end
    except OSError:
        found = UNREADABLE
    return folder, path, found
