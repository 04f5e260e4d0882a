"""Where the copies of images go whose names nobody chose: into new files only, each image into its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


def save_copy(copy: Image.Image, image: str) -> Path:
    """Writes the copy of the image at a path as a JPEG into the working folder; returns the new file.

    No file is ever overwritten, whoever wrote it. Raises OSError if nothing can be written.
    """
    for path in _names(Path(image)):
        try:
            file = path.open("xb")
        except FileExistsError:
            continue
        try:
            with file:
                copy.save(file, "JPEG")
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path
    raise AssertionError("the names have no end")


def _names(image: Path) -> Iterator[Path]:
    """x.boxes.jpg; with the folder's name in front, because others have an x.jpg, too; then with numbers."""
    yield Path(f"{image.stem}.boxes.jpg")
    if folder := image.absolute().parent.name:
        yield Path(f"{folder}_{image.stem}.boxes.jpg")
    for number in itertools.count(2):
        yield Path(f"{image.stem}.boxes-{number}.jpg")
