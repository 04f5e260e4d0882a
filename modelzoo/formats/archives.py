"""An upstream archive as a folder that exists as long as it is needed.

An archive is untrusted: it may only create plain files and folders, inside a temporary folder, and
never more bytes than it declared. What breaks this is refused, not skipped.
"""

from __future__ import annotations

import gzip
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from fnmatch import fnmatchcase
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, cast

from modelzoo.errors import ConversionError, abbreviated
from modelzoo.files import remove_abandoned, temporary_directory

MAX_TOTAL_BYTES = 8 * 2**30  # unpacked; the largest upstream archive has less than 1 GiB
MAX_RATIO = 100  # of unpacked to packed; weights hardly shrink at all
ALWAYS_ALLOWED_BYTES = 16 * 2**20  # unpacked, whatever the ratio
MAX_MEMBERS = 10_000
MAX_DEPTH = 32  # folders around a member
CHUNK_BYTES = 2**20

ZIP_START = (b"PK\x03\x04", b"PK\x05\x06")
GZIP_START = b"\x1f\x8b"
TAR_MAGIC, TAR_MAGIC_OFFSET = b"ustar", 257
TAR_BLOCK_BYTES = 512
ZIP_ENCRYPTED = 0x1  # in ZipInfo.flag_bits
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class _Member(NamedTuple):
    name: str
    is_folder: bool
    size: int  # bytes, as declared
    open: Callable[[], IO[bytes]]


@contextmanager
def unpacked(path: Path, member: str | None = None) -> Generator[Path]:
    """The folder with the contents of a .zip, .tar or .tar.gz file, removed on leaving the `with`.

    `member` is the path of one file or folder in the archive, or an fnmatch pattern for one file;
    then that one's path is given. It may also be the prefix of a TensorFlow checkpoint, without `.index`.
    What is no archive (a file, a folder, a prefix that is no file) is given back as it came.
    """
    members = _archive_reader(path)
    if members is None:
        yield path
        return
    remove_abandoned()  # what processes that were killed had unpacked
    with temporary_directory() as folder:
        _extract(path, members, folder)
        yield folder if member is None else _find(path, folder, member)


def _archive_reader(path: Path) -> Callable[[Path], Generator[_Member, None, None]] | None:
    """How to read an archive, or None.

    The start of the file decides. zipfile.is_zipfile() would say no to a zip that was truncated, and
    tarfile.is_tarfile() yes to a weight file that starts with 512 zeros.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        start = file.read(TAR_BLOCK_BYTES)
    if start.startswith(ZIP_START):
        return _zip_members
    if start.startswith(GZIP_START):
        try:
            with gzip.open(path) as file:
                start = file.read(TAR_BLOCK_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            raise _damaged(path, error) from error
    return _tar_members if start[TAR_MAGIC_OFFSET:].startswith(TAR_MAGIC) else None


def _zip_members(path: Path) -> Generator[_Member, None, None]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archiver did not say
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(path, info.filename, "is a link or a device")
            if info.flag_bits & ZIP_ENCRYPTED:
                raise _refused(path, info.filename, "is encrypted")
            if info.compress_type not in ZIP_METHODS:
                raise _refused(path, info.filename, "is neither stored nor deflated")
            yield _Member(info.filename, info.is_dir(), info.file_size, lambda info=info: archive.open(info))


def _tar_members(path: Path) -> Generator[_Member, None, None]:
    with path.open("rb") as file:
        compressed = file.read(len(GZIP_START)) == GZIP_START
    with gzip.open(path) if compressed else path.open("rb") as file:
        stream = _SmallReads(path, file)
        with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r:") as archive:
            for info in archive:
                plain = info.isreg() and not info.issparse()
                if not (plain or info.isdir()):
                    raise _refused(path, info.name, "is a link, a device or a sparse file")
                yield _Member(
                    info.name,
                    info.isdir(),
                    info.size,
                    lambda info=info: cast(IO[bytes], archive.extractfile(info)),
                )
            stream.require_end_mark()


class _SmallReads:
    """A file for tarfile, which would read a whole header into memory, however large it claims to be."""

    def __init__(self, path: Path, file: BufferedIOBase):
        self._path = path
        self._file = file
        self._last = b""
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int) -> bytes:
        if not 0 <= count <= CHUNK_BYTES:
            raise _damaged(self._path, f"a header claims {count} bytes")
        self._last = self._file.read(count)
        return self._last

    def require_end_mark(self) -> None:
        """A block of zeros ends a tar file; tarfile also stops, silently, where one is truncated or damaged.

        What follows is only read so that gzip compares its checksum.
        """
        if self._last != bytes(TAR_BLOCK_BYTES):
            raise _damaged(self._path, "its end is missing")
        read, most = 0, _most_bytes(self._path)
        while chunk := self._file.read(CHUNK_BYTES):
            read += len(chunk)
            if read > most:
                raise _damaged(self._path, f"more than {most} bytes follow its end")


def _extract(path: Path, members: Callable[[Path], Generator[_Member, None, None]], folder: Path) -> None:
    total, most = 0, _most_bytes(path)
    try:
        with closing(members(path)) as found:
            for number, member in enumerate(found, start=1):
                total += member.size
                _check_limits(path, number, total, most)
                _check_space(path, member, folder)
                _create(path, member, folder / _safe_name(path, member.name))
    except ConversionError:
        raise
    except Exception as error:  # on damaged archives zipfile, tarfile and zlib raise a dozen kinds
        raise _damaged(path, error) from error


def _most_bytes(path: Path) -> int:
    """What an archive may unpack to: less than a bomb does."""
    return min(MAX_TOTAL_BYTES, max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * path.stat().st_size))


def _check_limits(path: Path, number: int, total: int, most: int) -> None:
    if number > MAX_MEMBERS:
        raise _error(path, f"it has more than {MAX_MEMBERS} members")
    if total > most:
        raise _error(path, f"its contents are larger than {most} bytes, as a bomb's are")


def _check_space(path: Path, member: _Member, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if member.size > free:
        raise _error(
            path,
            f"{member.name!r} needs {member.size} bytes and {folder.parent} has {free} free; "
            f"make room, or set TMPDIR to another folder",
        )


def _safe_name(path: Path, name: str) -> PurePosixPath:
    parts = PurePosixPath(name)
    unsafe = parts.is_absolute() or ".." in parts.parts or "\\" in name or "\0" in name
    if unsafe or ":" in name:  # on Windows a drive, or a stream beside a file
        raise _refused(path, name, "could lie outside the folder")
    if len(parts.parts) > MAX_DEPTH:
        raise _refused(path, name, f"lies more than {MAX_DEPTH} folders deep")
    return parts


def _create(path: Path, member: _Member, target: Path) -> None:
    if member.is_folder:
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    left = member.size
    try:
        output = target.open("xb")
    except FileExistsError as error:
        raise _refused(path, member.name, "is there twice") from error
    with output, member.open() as source:
        while chunk := source.read(CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                break
            output.write(chunk)
    if left != 0:
        raise _refused(path, member.name, f"does not have the {member.size} bytes that it declares")


def _find(path: Path, folder: Path, member: str) -> Path:
    inside = not PurePosixPath(member).is_absolute() and ".." not in PurePosixPath(member).parts
    if inside and (folder / member).exists():
        return folder / member
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    found = [name for name in names if fnmatchcase(name, member)]
    found = found or [name.removesuffix(".index") for name in names if fnmatchcase(name, member + ".index")]
    if len(found) == 1:
        return folder / found[0]
    problem = f"has {len(found)} members that match" if found else "has no member"
    raise ConversionError(
        f"{path} {problem} {member!r}; there is {abbreviated(found or names) or 'nothing'}."
    )


def _damaged(path: Path, reason: object) -> ConversionError:
    text = (str(reason).splitlines() or [type(reason).__name__])[0].rstrip(".")
    return _error(path, f"{text}; it may be truncated or damaged, download it again")


def _refused(path: Path, name: str, reason: str) -> ConversionError:
    return _error(path, f"its member {name!r} {reason}")


def _error(path: Path, reason: str) -> ConversionError:
    return ConversionError(f"{path} cannot be unpacked: {reason}.")
