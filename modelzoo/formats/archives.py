"""An upstream archive as a folder that exists as long as it is needed.

An archive is untrusted: it may only create plain files and folders, inside a temporary folder, and
never more bytes than it declared. What breaks this is refused, not skipped.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, NamedTuple, cast

from modelzoo.errors import ConversionError, abbreviated, quoted, readable
from modelzoo.files import remove_abandoned, temporary_directory
from modelzoo.formats.gzip_stream import GZIP_START, GzipReader
from modelzoo.formats.tar import BLOCK_BYTES, TAR_MAGIC, TAR_MAGIC_OFFSET, Stream, tar_members
from modelzoo.formats.torch_files import is_torch_zip

MAX_TOTAL_BYTES = 8 * 2**30  # unpacked; the largest upstream archive has less than 1 GiB
MAX_RATIO = 100  # of unpacked to packed; weights hardly shrink at all
ALWAYS_ALLOWED_BYTES = 16 * 2**20  # unpacked, whatever the ratio
MAX_MEMBERS = 10_000  # files and folders, those that are only named in a path, too
MAX_DEPTH = 32  # folders around a member
MAX_DIRECTORY_BYTES = 2**21  # of a zip's list of its members, each about 100
CHUNK_BYTES = 2**16

ZIP_START = (b"PK\x03\x04", b"PK\x05\x06")
ZIP_ENCRYPTED = 0x1  # in ZipInfo.flag_bits
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class _Member(NamedTuple):
    name: str
    is_folder: bool
    size: int  # bytes, as declared
    chunks: Iterator[bytes]


@contextmanager
def unpacked(path: Path, member: str | None = None) -> Generator[Path]:
    """The folder with the contents of a .zip, .tar or .tar.gz file, removed on leaving the `with`.

    `member` is the path of one file or folder in the archive, or an fnmatch pattern for one file;
    then that one's path is given. It may also be the prefix of a TensorFlow checkpoint, without `.index`.
    What is no archive (a file, a folder, a prefix that is no file) is given back as it came, and
    so is a weight file that is a zip itself, torch's.
    """
    members = _archive_reader(path)
    if members is None:
        yield path
        return
    remove_abandoned()  # what processes that were killed had unpacked
    with temporary_directory() as folder:
        _extract(path, members, folder)
        with _shown_in(path, folder):
            yield folder if member is None else _find(path, folder, member)


@contextmanager
def _shown_in(path: Path, folder: Path) -> Generator[None]:
    """Errors name what lies in the archive as if the archive were a folder: the temporary one is none's."""
    try:
        yield
    except ConversionError as error:
        if str(folder) not in str(error):
            raise
        raise type(error)(str(error).replace(str(folder), str(path))) from error


def _archive_reader(path: Path) -> Callable[[Path], Generator[_Member, None, None]] | None:
    """How to read an archive, or None.

    The start of the file decides. zipfile.is_zipfile() would say no to a zip that was truncated, and
    tarfile.is_tarfile() yes to a weight file that starts with 512 zeros.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        start = file.read(BLOCK_BYTES)
    if start.startswith(ZIP_START):
        return None if is_torch_zip(path) else _zip_members
    if start.startswith(GZIP_START):
        try:
            with path.open("rb") as file:
                start = GzipReader(file).read(BLOCK_BYTES)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise _damaged(path, error) from error
    return _tar_members if start[TAR_MAGIC_OFFSET:].startswith(TAR_MAGIC) else None


def _zip_members(path: Path) -> Generator[_Member, None, None]:
    with path.open("rb") as file, zipfile.ZipFile(cast(IO[bytes], _SmallReads(path, file))) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archiver did not say
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(path, info.filename, "is a link or a device")
            if info.flag_bits & ZIP_ENCRYPTED:
                raise _refused(path, info.filename, "is encrypted")
            if info.compress_type not in ZIP_METHODS:
                raise _refused(path, info.filename, "is neither stored nor deflated")
            yield _Member(info.filename, info.is_dir(), info.file_size, _zip_chunks(archive, info))


def zip_names(path: Path) -> list[str]:
    """The names of a zip's members; none if it is damaged."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(cast(IO[bytes], _SmallReads(path, file))) as archive:
            return archive.namelist()
    except Exception:  # of half a dozen kinds
        return []


def _zip_chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(info) as source:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk


class _SmallReads:
    """A file for zipfile, which would read the list of members into memory, however long it is."""

    def __init__(self, path: Path, file: BinaryIO):
        self._path, self._file = path, file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, count: int = -1) -> bytes:
        if count > MAX_DIRECTORY_BYTES:
            raise _error(self._path, f"a part of it claims {count} bytes, which only a list of too many has")
        return self._file.read(MAX_DIRECTORY_BYTES if count < 0 else count)


def _tar_members(path: Path) -> Generator[_Member, None, None]:
    with path.open("rb") as file:
        compressed = file.read(len(GZIP_START)) == GZIP_START
        file.seek(0)
        stream = GzipReader(file) if compressed else file
        for member in tar_members(stream):
            if not (member.is_file or member.is_folder):
                raise _refused(path, member.name, "is a link, a device or a sparse file")
            yield _Member(member.name, member.is_folder, member.size, member.chunks)
        _require_little_more(path, stream)


def _require_little_more(path: Path, stream: Stream) -> None:
    """What follows a tar's end is only read so that gzip compares its checksum."""
    read, most = 0, _most_bytes(path)
    while chunk := stream.read(CHUNK_BYTES):
        read += len(chunk)
        if read > most:
            raise _damaged(path, f"more than {most} bytes follow its end")


def _extract(path: Path, members: Callable[[Path], Generator[_Member, None, None]], folder: Path) -> None:
    total, most = 0, _most_bytes(path)
    made: set[PurePosixPath] = set()
    try:
        with closing(members(path)) as found:
            for number, member in enumerate(found, start=1):
                name = _safe_name(path, member.name)
                if member.size < 0:
                    raise _refused(path, member.name, f"declares {member.size} bytes")
                total += member.size
                made.update((name, *name.parents))
                _check_limits(path, max(number, len(made) - 1), total, most)  # one of them is the folder
                _check_space(path, member, folder)
                _create(path, member, folder / name)
    except ConversionError:
        raise
    except Exception as error:  # on damaged archives zipfile and zlib raise a dozen kinds
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
            f"{quoted(member.name)} needs {member.size} bytes and {folder.parent} has {free} free; "
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
    with output:
        for chunk in member.chunks:
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
    shown = [readable(name) for name in found or names]
    problem = f"has {len(found)} members that match" if found else "has no member"
    raise ConversionError(f"{path} {problem} {member!r}; there is {abbreviated(shown) or 'nothing'}.")


def _damaged(path: Path, reason: object) -> ConversionError:
    text = (str(reason).splitlines() or [type(reason).__name__])[0].rstrip(".")
    return _error(path, f"{text}; it may be truncated or damaged, download it again")


def _refused(path: Path, name: str, reason: str) -> ConversionError:
    return _error(path, f"its member {quoted(name)} {reason}")


def _error(path: Path, reason: str) -> ConversionError:
    return ConversionError(f"{path} cannot be unpacked: {reason}.")
