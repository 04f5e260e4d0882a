"""The image files that folders, lists and patterns name: one by one, always in the same order."""

from __future__ import annotations

import glob
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

from modelzoo.errors import ImageError, readable

LOG = logging.getLogger("modelzoo")
# Of all formats in reading.FORMATS, as Pillow knows them: a test compares, because asking it takes time.
ENDINGS = (
    *(".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".icb", ".ico", ".j2c", ".j2k", ".jfif", ".jp2"),
    *(".jpc", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".pbm", ".pfm", ".pgm", ".png", ".pnm", ".ppm"),
    *(".tga", ".tif", ".tiff", ".vda", ".vst", ".webp"),
)
LIST = ".txt"  # a file with one path a line
ADDRESS = "://"
# Folders that systems make beside the user's own: thumbnails, halves of files, what was thrown away.
SYSTEM_FOLDERS = {"@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"}

# Why something is skipped.
HIDDEN = "hidden"
SYSTEM = "system folder"
OTHER = "other ending"
FOLDER = "folder in a pattern"
LINKED = "folder linked twice or in a circle"
UNREADABLE = "folder without permission"


def image_files(*sources: str | os.PathLike[str], skipped: Counter[str] | None = None) -> Iterator[str]:
    """The files named. A folder gives the images in it and below, a .txt file the path on each line (as
    seen from the current folder), a pattern such as "photos/**/*.jpg" the files that match.

    In folders only names with ENDINGS count; hidden files and folders, SYSTEM_FOLDERS and folders that cannot
    be read are skipped, and linked folders are followed once. `skipped` counts by reason what was skipped;
    where it is given, folders that cannot be read are logged.
    What is no regular file is named like any other: reading it says why it is no image.

    A folder's names are sorted and held in memory, a tree's or a list's are not, and a pattern's are.
    Raises ImageError at once for what is not there and for a folder, list or pattern without any image.
    """
    counts: Counter[str] = _Silent() if skipped is None else skipped
    return chain.from_iterable([_files(os.fspath(source), counts) for source in sources])


class _Silent(Counter[str]):
    """The counts of a caller who asked for none."""


def skipped_line(skipped: Counter[str] | dict[str, int]) -> str:
    """What was skipped, as one line for people: "skipped 3: 2 hidden, 1 other ending"; "" for nothing."""
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
    return f"skipped {sum(skipped.values())}: {counts}" if counts else ""


def encodable(name: str) -> str:
    """A file's name as text that every format can hold: bytes that are no UTF-8 are spelt out."""
    try:
        return os.fsencode(
            name
        ).decode()  # where the system's encoding is ASCII, the bytes may still be UTF-8
    except UnicodeError:
        return name.encode("utf-8", "backslashreplace").decode()


def _files(source: str, skipped: Counter[str]) -> Iterable[str]:
    if os.path.isdir(source):
        return _at_least_one(
            _Tree(skipped).images(source), f"The folder {readable(source)} has no images", skipped
        )
    if source.lower().endswith(LIST) and os.path.isfile(source):
        return _at_least_one(_lines(source), f"The list {readable(source)} names no images", skipped)
    if os.path.lexists(source):
        return [source]
    if glob.has_magic(source):
        return _at_least_one(_matches(source, skipped), f"No file matches {readable(source)}", skipped)
    hint = " Addresses are not opened here: download it first." if ADDRESS in source else ""
    raise ImageError(f"No such file: {readable(source)}.{hint}")


def _at_least_one(paths: Iterator[str], otherwise: str, skipped: Counter[str]) -> Iterable[str]:
    before = Counter(skipped)
    first = next(paths, None)
    if first is None:
        why = skipped_line(skipped - before)
        raise ImageError(f"{otherwise}{f' ({why})' if why else ''}.")
    return chain([first], paths)


class _Tree:
    """The images of one folder and below it, without any folder twice."""

    def __init__(self, skipped: Counter[str]):
        self.skipped = skipped
        self.tops: set[str] = set()  # real paths of the folder and of linked ones that were followed
        self.above: set[str] = set()  # these, and the folders that contain them

    def images(self, folder: str) -> Iterator[str]:
        """Depth first, by name. Raises ImageError if the folder itself cannot be read."""
        self._add(os.path.realpath(folder))
        try:
            levels = [self._content(folder)]
        except OSError as error:
            raise ImageError(f"The folder {readable(folder)} cannot be read ({error.strerror}).") from error
        while levels:
            path, is_folder = next(levels[-1], (None, False))
            if path is None:
                levels.pop()
            elif not is_folder:
                yield path
            else:
                try:
                    levels.append(self._content(path))
                except OSError as error:
                    self.skipped[UNREADABLE] += 1
                    level = logging.DEBUG if isinstance(self.skipped, _Silent) else logging.WARNING
                    LOG.log(level, "The folder %s is skipped (%s).", readable(path), error.strerror)

    def _content(self, folder: str) -> Iterator[tuple[str, bool]]:
        """Paths of images and of folders to go through, and which of the two each is."""
        with os.scandir(folder) as entries:
            found = sorted((entry.name, _is_folder(entry)) for entry in entries)
        return ((os.path.join(folder, name), is_folder) for name, is_folder in self._wanted(folder, found))

    def _wanted(self, folder: str, found: list[tuple[str, bool]]) -> Iterator[tuple[str, bool]]:
        for name, is_folder in found:
            if reason := self._reason_to_skip(folder, name, is_folder):
                self.skipped[reason] += 1
            else:
                yield name, is_folder

    def _reason_to_skip(self, folder: str, name: str, is_folder: bool) -> str | None:
        if name.startswith("."):
            return HIDDEN
        if not is_folder:
            return None if name.lower().endswith(ENDINGS) else OTHER
        if name in SYSTEM_FOLDERS:
            return SYSTEM
        path = os.path.join(folder, name)
        return LINKED if _is_link(path) and not self._leads_elsewhere(os.path.realpath(path)) else None

    def _leads_elsewhere(self, real: str) -> bool:
        """Whether a linked folder is neither in what is gone through nor around it; then it is added."""
        if real in self.above or not self.tops.isdisjoint(_with_parents(real)):
            return False
        self._add(real)
        return True

    def _add(self, real: str) -> None:
        self.tops.add(real)
        self.above |= _with_parents(real)


def _with_parents(path: str) -> set[str]:
    """A real path and all folders above it."""
    found: set[str] = set()
    while path not in found:
        found.add(path)
        path = os.path.dirname(path)
    return found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link into a folder without permission, or to itself
        return False


def _is_link(path: str) -> bool:
    is_junction = getattr(os.path, "isjunction", os.path.islink)  # Windows' links, from Python 3.12 on
    return os.path.islink(path) or is_junction(path)


def _matches(pattern: str, skipped: Counter[str]) -> Iterator[str]:
    """What matches and is no folder, sorted; where "**" went through links in circles, each file once."""
    own = SYSTEM_FOLDERS - set(pattern.split(os.sep))
    real_folders: dict[str, str] = {}
    found: dict[tuple[str, str], str] = {}
    paths = glob.iglob(pattern, recursive=True)
    for path in sorted(
        paths, key=lambda path: (path.count(os.sep), path)
    ):  # the way without links is shorter
        folder, name = os.path.split(path)
        if not own.isdisjoint(folder.split(os.sep)):
            skipped[SYSTEM] += 1
        elif os.path.isdir(path):
            skipped[FOLDER] += 1
        else:
            if folder not in real_folders:
                real_folders[folder] = os.path.realpath(folder)
            if found.setdefault((real_folders[folder], name), path) != path:
                skipped[LINKED] += 1
    return iter(sorted(found.values()))


def _lines(path: str) -> Iterator[str]:
    with open(path, encoding="utf-8-sig") as file:  # some editors begin a text with a byte order mark
        try:
            for line in file:
                if line.strip():
                    yield line.rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ImageError(f"{readable(path)} is no list of paths: it is not UTF-8 text.") from error
