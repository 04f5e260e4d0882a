"""tar files, read once from front to back: what they hold, with every number checked before it is used.

Python's tarfile takes negative sizes, follows maps of sparse files without end, and reads headers about
headers as deep as they go. POSIX's ustar and pax, GNU's long names and numbers in base 256 are understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol

BLOCK_BYTES = 512
TAR_MAGIC, TAR_MAGIC_OFFSET = b"ustar", 257
POSIX_MAGIC = b"ustar\0"  # only then is there a prefix: GNU's, "ustar  ", has times in its place
CHUNK_BYTES = 2**16
MAX_EXTENSION_BYTES = 2**16  # of one header that describes the next: a path, an owner, some times
MAX_EXTENSIONS = 8  # such headers for one member; GNU tar writes one or two
OCTAL = re.compile(rb" *([0-7]*) *")
DECIMAL = re.compile(rb"[0-9]{1,18}")

FILES = (b"0", b"\0", b"7")
OLD_FILE, FOLDER = b"\0", b"5"
PAX, PAX_GLOBAL, LONG_NAME, LONG_LINK = (b"x", b"X"), b"g", b"L", b"K"
EXTENSIONS = (*PAX, PAX_GLOBAL, LONG_NAME, LONG_LINK)
SPARSE = (b"GNU.sparse.", b"SCHILY.realsize")  # what pax calls files whose contents are not in a row


class Stream(Protocol):
    """Bytes from front to back."""

    def read(self, count: int, /) -> bytes:
        """The next `count` bytes; fewer only at the end."""
        ...


class TarMember(NamedTuple):
    """A member; `chunks` can be read until the next member is asked for."""

    name: str
    is_file: bool
    is_folder: bool  # neither: a link, a device, a sparse file or something unknown
    size: int  # bytes, as declared; not negative
    chunks: Iterator[bytes]


class _Header(NamedTuple):
    name: bytes
    size: int
    kind: bytes


def tar_members(stream: Stream) -> Iterator[TarMember]:
    """The members, up to the block of zeros that ends them; ValueError or EOFError for a damaged file."""
    extensions: dict[bytes, bytes] = {}
    count = 0
    while (header := _header(stream)) is not None:
        if header.kind in EXTENSIONS:
            count += 1
            if count > MAX_EXTENSIONS:
                raise ValueError(f"more than {MAX_EXTENSIONS} headers describe one member")
            extensions |= _extensions(header.kind, _extension(stream, header.size))
            continue
        member = _member(stream, header, extensions)
        yield member
        for _ in member.chunks:  # what was not read
            pass
        extensions, count = {}, 0


def _member(stream: Stream, header: _Header, extensions: dict[bytes, bytes]) -> TarMember:
    name, size = extensions.get(b"path", header.name), header.size
    if b"size" in extensions:
        size = _decimal(extensions[b"size"])
    is_folder = header.kind == FOLDER or (header.kind == OLD_FILE and name.endswith(b"/"))
    sparse = any(key.startswith(SPARSE) for key in extensions)
    is_file = header.kind in FILES and not is_folder and not sparse
    chunks = _contents(stream, size if is_file else 0)  # a folder has none, whatever its size
    return TarMember(name.decode("utf-8", "surrogateescape"), is_file, is_folder, size, chunks)


def _header(stream: Stream) -> _Header | None:
    """The next header; None at the block of zeros that stands at the end."""
    block = _exactly(stream, BLOCK_BYTES)
    if not any(block):
        return None
    sums = block[:148] + b" " * 8 + block[156:]
    signed = sum(sums) - 256 * sum(byte > 127 for byte in sums)  # as some old programs counted
    if _number(block[148:156]) not in (sum(sums), signed):
        raise ValueError("a header's checksum is wrong")
    name, prefix = (_text(field) for field in (block[:100], block[345:500]))
    if block[257:263] == POSIX_MAGIC and prefix:
        name = prefix + b"/" + name
    return _Header(name, _number(block[124:136]), block[156:157])


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes) -> int:
    """A number as a header holds it: octal digits, or from a byte 0x80 on in base 256."""
    if field[0] & 0x80:
        if field[0] != 0x80:
            raise ValueError("a number in a header is negative or too large")
        return int.from_bytes(field[1:], "big")
    digits = OCTAL.fullmatch(_text(field))
    if not digits:
        raise ValueError("a number in a header is malformed")
    return int(digits[1] or b"0", 8)


def _decimal(text: bytes) -> int:
    if not DECIMAL.fullmatch(text):
        raise ValueError("a number in a header is malformed")
    return int(text)


def _extension(stream: Stream, size: int) -> bytes:
    """The contents of a header that describes the next one."""
    if size > MAX_EXTENSION_BYTES:
        raise ValueError(f"a header claims {size} bytes")
    return b"".join(_contents(stream, size))


def _extensions(kind: bytes, content: bytes) -> dict[bytes, bytes]:
    """What such a header says about the next member."""
    if kind == LONG_NAME:
        return {b"path": _text(content)}
    if kind == LONG_LINK:
        return {}
    records = _pax_records(content)
    if kind != PAX_GLOBAL:
        return records
    if any(key in (b"path", b"size") or key.startswith(SPARSE) for key in records):
        raise ValueError("a header gives all members one name or size")
    return {}


def _pax_records(content: bytes) -> dict[bytes, bytes]:
    """Each is "LENGTH KEY=VALUE\\n", and its length counts all of it."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(content) and content[at]:
        digits = content[at : at + 8].partition(b" ")[0]
        end = at + _decimal(digits)
        key, equals, value = content[at + len(digits) + 1 : end].partition(b"=")
        if end > len(content) or not equals or not value.endswith(b"\n"):
            raise ValueError("a header is malformed")
        records[key] = value[:-1]
        at = end
    return records


def _contents(stream: Stream, size: int) -> Iterator[bytes]:
    """So many bytes, in pieces; then what fills their last block is passed over."""
    left = size
    while left:
        chunk = stream.read(min(left, CHUNK_BYTES))
        if not chunk:
            raise EOFError("it ends inside of a member")
        left -= len(chunk)
        yield chunk
    _exactly(stream, -size % BLOCK_BYTES)


def _exactly(stream: Stream, count: int) -> bytes:
    found = stream.read(count)
    if len(found) < count:
        raise EOFError("its end is missing")
    return found
