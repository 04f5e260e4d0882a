"""The image files that folders, lists and patterns name: one by one, always in the same order."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from itertools import chain

from modelzoo.errors import ImageError

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
LIST = ".txt"  # a file with one path a line
ADDRESS = "://"


def image_files(*sources: str | os.PathLike[str]) -> Iterator[str]:
    """The files named. A folder gives the images in it and below, a .txt file the path on each line (as
    seen from the current folder), a pattern such as "photos/**/*.jpg" the files that match.

    A folder's names are sorted and held in memory, a tree's or a list's are not, and a pattern's are.
    Raises ImageError at once for what is not there and for a folder, list or pattern without any image.
    """
    return chain.from_iterable([_files(os.fspath(source)) for source in sources])


def _files(source: str) -> Iterable[str]:
    if os.path.isdir(source):
        return _at_least_one(_walk(source), f"The folder {source} has no images ({' '.join(ENDINGS)}).")
    if source.lower().endswith(LIST) and os.path.isfile(source):
        return _at_least_one(_lines(source), f"The list {source} names no images.")
    if os.path.exists(source):
        return [source]
    if glob.has_magic(source):
        found = sorted(path for path in glob.iglob(source, recursive=True) if os.path.isfile(path))
        return _at_least_one(iter(found), f"No file matches {source}.")
    hint = " Addresses are not opened here: download it first." if ADDRESS in source else ""
    raise ImageError(f"No such file: {source}.{hint}")


def _at_least_one(paths: Iterator[str], otherwise: str) -> Iterable[str]:
    first = next(paths, None)
    if first is None:
        raise ImageError(otherwise)
    return chain([first], paths)


def _walk(folder: str) -> Iterator[str]:
    """Depth first, by name. Links to folders are not followed, because they may lead in circles."""
    with os.scandir(folder) as entries:
        found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    for name, is_folder in found:
        path = os.path.join(folder, name)
        if is_folder:
            yield from _walk(path)
        elif name.lower().endswith(ENDINGS) and not os.path.isdir(path):
            yield path


def _lines(path: str) -> Iterator[str]:
    with open(path, encoding="utf-8") as file:
        try:
            for line in file:
                if line.strip():
                    yield line.rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ImageError(f"{path} is no list of paths: it is not UTF-8 text.") from error
