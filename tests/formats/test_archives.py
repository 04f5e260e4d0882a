"""Upstream archives: what is unpacked, and what is refused."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import tempfile
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from modelzoo.errors import ConversionError
from modelzoo.formats import archives, read_tensorflow_checkpoint
from modelzoo.formats.archives import unpacked
from tests.formats.files import MEBIBYTE, SHARD, VARIABLES, float32_file

CONTENTS = {"net/readme.txt": b"read me", "net/net.params": bytes(range(256)) * 20}


def zip_of(contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_of(contents: dict[str, bytes], mode: str = "w", **fields) -> bytes:
    """A tar file; `fields` are set on each member's TarInfo."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


FORMATS = {"zip": zip_of, "tar": tar_of, "tar.gz": lambda contents: tar_of(contents, "w:gz")}


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Writes an archive; whatever a test does with it, no temporary folder may stay behind."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def write(content: bytes, name: str = "download") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    yield write
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_an_archive_becomes_a_folder_with_its_contents(archive, format):
    with unpacked(archive(FORMATS[format](CONTENTS))) as folder:
        found = {
            file.relative_to(folder).as_posix(): file.read_bytes()
            for file in folder.rglob("*")
            if file.is_file()
        }
    assert found == CONTENTS


@pytest.mark.parametrize("format", FORMATS)
def test_the_folder_is_gone_afterwards(archive, format):
    with unpacked(archive(FORMATS[format](CONTENTS))) as folder:
        pass
    assert not folder.exists()


def test_the_folder_is_gone_after_an_error_of_the_caller(archive):
    with pytest.raises(ZeroDivisionError), unpacked(archive(zip_of(CONTENTS))) as folder:
        raise ZeroDivisionError
    assert not folder.exists()


@pytest.mark.parametrize("member", ["net/net.params", "*.params", "net/*.p?rams"])
def test_a_member_is_found_by_path_or_pattern(archive, member):
    with unpacked(archive(zip_of(CONTENTS)), member) as path:
        assert path.read_bytes() == CONTENTS["net/net.params"]


@pytest.mark.parametrize("member", ["run/model.ckpt", "*/model.ckpt"])
def test_a_member_may_be_a_checkpoint_prefix(archive, member):
    names = ["run/model.ckpt.index", "run/model.ckpt.data-00000-of-00001"]
    with unpacked(archive(zip_of(dict.fromkeys(names, b""))), member) as path:
        assert (path.parent.name, path.name) == ("run", "model.ckpt")


def test_an_absent_member_is_answered_with_five_that_are_there(archive):
    path = archive(zip_of({f"{number}.txt": b"" for number in range(7)}))
    with (
        pytest.raises(ConversionError, match=r"no member 'x'; there is 0.txt, .*, 4.txt and 2 more\.$"),
        unpacked(path, "x"),
    ):
        pass


def test_a_pattern_that_fits_several_members_is_refused(archive):
    with pytest.raises(ConversionError, match="2 members"), unpacked(archive(zip_of(CONTENTS)), "net/*"):
        pass


@pytest.mark.parametrize("kind", ["file", "folder", "prefix", "zeros", "hdf5", "gzip", "empty"])
def test_what_is_no_archive_is_given_back(archive, tmp_path, kind):
    contents = {
        "file": float32_file("a"),
        "zeros": bytes(4096),  # tarfile.is_tarfile() takes it for an empty tar
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(4096),
        "gzip": gzip.compress(float32_file("a")),
        "empty": b"",
    }
    path = (
        archive(contents[kind]) if kind in contents else tmp_path / {"folder": ".", "prefix": "model"}[kind]
    )
    with unpacked(path, "*.params") as same:
        assert same == path


@pytest.mark.parametrize("version", [1, 2])
def test_a_checkpoint_is_not_taken_for_an_archive(checkpoints, version):
    path = checkpoints / f"v{version}.ckpt"
    with unpacked(path) as same:
        assert same == path


def test_a_checkpoint_is_read_out_of_an_archive(archive, checkpoints):
    contents = {
        f"run/v2.ckpt{ending}": (checkpoints / f"v2.ckpt{ending}").read_bytes()
        for ending in (".index", SHARD)
    }
    with unpacked(archive(tar_of(contents, "w:gz"))) as folder, read_tensorflow_checkpoint(folder) as tensors:
        assert set(tensors) == set(VARIABLES)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../escaped", "a/../../escaped", "a\\..\\escaped", "C:escaped"]
)
def test_a_member_outside_the_folder_is_refused(archive, format, name):
    with (
        pytest.raises(ConversionError, match="could lie outside"),
        unpacked(archive(FORMATS[format]({name: b"x"}))),
    ):
        pass


@pytest.mark.parametrize(
    "type", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_a_link_or_device_in_a_tar_is_refused(archive, type):
    path = archive(tar_of({"innocent": b""}, type=type, linkname="/etc/passwd"))
    with pytest.raises(ConversionError, match="'innocent' is a link, a device"), unpacked(path):
        pass


def test_a_link_in_a_zip_is_refused(archive):
    info = zipfile.ZipInfo("innocent")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with (
        pytest.raises(ConversionError, match="'innocent' is a link"),
        unpacked(archive(zip_of({info: b"/etc/passwd"}))),
    ):
        pass


@pytest.mark.parametrize("format", ["tar", "tar.gz"])
def test_a_path_that_is_there_twice_is_refused(archive, format):
    mode = "w:gz" if format == "tar.gz" else "w"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name in ("a", "./a"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(ConversionError, match=r"'\./a' is there twice"), unpacked(archive(buffer.getvalue())):
        pass


def test_an_encrypted_zip_is_refused(archive):
    content = bytearray(zip_of({"a": b"x"}))
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    with pytest.raises(ConversionError, match="'a' is encrypted"), unpacked(archive(content)):
        pass


def test_a_zip_with_an_unusual_compression_is_refused(archive):
    path = archive(zip_of(CONTENTS, zipfile.ZIP_LZMA))
    with pytest.raises(ConversionError, match="neither stored nor deflated"), unpacked(path):
        pass


@pytest.mark.parametrize("declared", [10, 100_000])
def test_a_zip_that_lies_about_a_size_is_refused(archive, declared):
    content = bytearray(zip_of({"a": bytes(50_000)}))
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, declared)
    with pytest.raises(ConversionError, match="cannot be unpacked"), unpacked(archive(content)):
        pass


def test_no_more_bytes_are_written_than_declared(tmp_path):
    liar = archives._Member("a", False, 10, iter([bytes(5 * MEBIBYTE)]))
    with pytest.raises(ConversionError, match="does not have the 10 bytes"):
        archives._create(tmp_path / "x.zip", liar, tmp_path / "a")
    assert (tmp_path / "a").stat().st_size <= 10


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [("MAX_TOTAL_BYTES", 5000, "larger than 5000 bytes"), ("MAX_MEMBERS", 1, "more than 1 members")],
)
def test_an_archive_beyond_a_limit_is_refused(archive, monkeypatch, format, limit, value, message):
    monkeypatch.setattr(archives, limit, value)
    with pytest.raises(ConversionError, match=message), unpacked(archive(FORMATS[format](CONTENTS))):
        pass


@pytest.mark.parametrize("format", FORMATS)
def test_an_archive_that_does_not_fit_on_the_disk_is_refused(archive, monkeypatch, format):
    usage = archives.shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: usage)
    with (
        pytest.raises(ConversionError, match=r"needs 5120 bytes and .* has 1000 free"),
        unpacked(archive(FORMATS[format](CONTENTS))),
    ):
        pass


def test_a_tar_header_that_claims_gigabytes_is_refused_in_little_memory(archive):
    """tarfile reads the whole of a long name, so a few kilobytes of gzip could fill the memory."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 4 * 2**30
    path = archive(info.tobuf(tarfile.GNU_FORMAT) + bytes(8 * 512))
    tracemalloc.start()
    try:
        with pytest.raises(ConversionError, match="a header claims"), unpacked(path):
            pass
        assert tracemalloc.get_traced_memory()[1] < 4 * MEBIBYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("format", FORMATS)
def test_an_archive_that_is_truncated_is_refused(archive, format):
    content = FORMATS[format](CONTENTS)
    end = len(content.rstrip(b"\0")) if format == "tar" else len(content)  # a tar ends with spare zeros
    for length in range(600 if format == "tar" else 50, end, 37):
        with (
            pytest.raises(ConversionError, match=r"cannot be unpacked: [^\n]+ download it again\.$"),
            unpacked(archive(content[:length])),
        ):
            pass


def test_a_gzip_whose_checksum_is_wrong_is_refused(archive):
    content = bytearray(tar_of(CONTENTS, "w:gz"))
    content[-8] ^= 0xFF
    with pytest.raises(ConversionError, match="incorrect data check"), unpacked(archive(content)):
        pass


def test_a_bomb_is_refused_before_it_fills_the_disk(archive):
    """Fifty megabytes of zeros in fifty kilobytes; weights hardly shrink at all."""
    path = archive(zip_of({"net.params": bytes(50 * MEBIBYTE)}))
    with pytest.raises(ConversionError, match=r"larger than 16777216 bytes, as a bomb's are"), unpacked(path):
        pass


def test_a_bomb_after_the_end_of_a_tar_is_refused(archive):
    content = tar_of(CONTENTS) + bytes(50 * MEBIBYTE)
    path = archive(gzip.compress(content))
    with pytest.raises(ConversionError, match="more than 16777216 bytes follow its end"), unpacked(path):
        pass


def test_entries_of_a_zip_that_share_their_bytes_are_bounded_by_what_they_unpack_to(archive, monkeypatch):
    """One packed member under a thousand names, as in https://www.bamsoftware.com/hacks/zipbomb/."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("0", bytes(MEBIBYTE))
        for number in range(1, 1000):
            info = zipfile.ZipInfo(str(number))
            first = written.filelist[0]
            for field in ("compress_type", "compress_size", "file_size", "CRC", "header_offset", "flag_bits"):
                setattr(info, field, getattr(first, field))
            written.filelist.append(info)
        written._didModify = True
    with pytest.raises(ConversionError, match="cannot be unpacked: "), unpacked(archive(buffer.getvalue())):
        pass


@pytest.mark.parametrize("format", FORMATS)
def test_a_member_far_below_the_folder_is_refused(archive, format):
    path = archive(FORMATS[format]({"a/" * 40 + "b": b""}))
    with pytest.raises(ConversionError, match="lies more than 32 folders deep"), unpacked(path):
        pass


@pytest.mark.parametrize("format", FORMATS)
def test_a_stream_beside_a_file_is_refused(archive, format):
    """Windows would write it into the file `a`."""
    path = archive(FORMATS[format]({"a:b": b""}))
    with pytest.raises(ConversionError, match="could lie outside the folder"), unpacked(path):
        pass


@pytest.mark.parametrize("member", ["/etc/passwd", "../../etc/passwd", "a/../b"])
def test_a_member_outside_the_folder_is_not_found(archive, member):
    with pytest.raises(ConversionError, match="has no member"), unpacked(archive(zip_of(CONTENTS)), member):
        pass


def test_a_file_below_a_file_is_refused(archive):
    path = archive(tar_of({"a": b"x", "a/b": b"y"}))
    with pytest.raises(ConversionError, match=r"cannot be unpacked: [^\n]+\.$"), unpacked(path):
        pass


def header(name: str = "a", *, number: bytes | None = None, **fields) -> bytes:
    """A tar header; `number` stands in place of the size, as it is."""
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    if number is not None:
        block[124:136] = number
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax(records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """A header that describes the next one."""
    return header(type=kind, size=len(records)) + records + bytes(-len(records) % 512)


def record(key: str, value: str) -> bytes:
    length = len(f" {key}={value}\n")
    return f"{length + len(str(length + 2))} {key}={value}\n".encode()


END = bytes(1024)
MINUS_ONE, MINUS_8_GIB = b"\xff" * 12, b"\xff" * 7 + b"\xfe" + bytes(4)
HOSTILE_TARS = {
    "a file of negative size": (header(number=MINUS_ONE) + END, "negative"),
    "a folder of negative size": (header(type=tarfile.DIRTYPE, number=MINUS_8_GIB) + END, "negative"),
    "a long name of negative size": (
        header(type=tarfile.GNUTYPE_LONGNAME, number=MINUS_ONE) + END,
        "negative",
    ),
    "a size with a sign": (header(number=b"-0000000777\0") + END, "malformed"),
    "a size of 2^87": (header(number=b"\x80" + b"\xff" * 11) + END, "as a bomb's are"),
    "a folder of 8 GiB": (header(type=tarfile.DIRTYPE, size=2**33) + END, "as a bomb's are"),
    "a negative size in pax": (pax(record("size", "-512")) + header() + END, "malformed"),
    "a size of words in pax": (pax(record("size", "1_0")) + header() + END, "malformed"),
    "a size of 30 digits in pax": (pax(record("size", "9" * 30)) + header() + END, "malformed"),
    "a folder of negative size in pax": (
        pax(record("size", "-8589934592")) + header(type=tarfile.DIRTYPE) + END,
        "malformed",
    ),
    "one size for all": (pax(record("size", "5"), b"g") + header() + END, "all members one name or size"),
    "a sparse file": (header(type=tarfile.GNUTYPE_SPARSE) + END, "'a' is a link, a device or a sparse file"),
    "a sparse file of pax": (
        pax(record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0"))
        + header(size=512)
        + b"9" * 512,
        "'a' is a link, a device or a sparse file",
    ),
    "a record of no length": (pax(b"0 size=1\n") + header() + END, "a header is malformed"),
    "a record that goes beyond its header": (pax(b"99 size=1\n") + header() + END, "a header is malformed"),
    "digits without end": (pax(b"1" * 60_000) + header() + END, "a header is malformed"),
    "headers about headers": (pax(record("comment", "x" * 100)) * 9 + header() + END, "more than 8 headers"),
    "a header of 64 KiB and more": (pax(record("comment", "x" * 70_000)) + header() + END, "claims 70"),
    "a wrong checksum": (header().replace(b"a", b"b", 1) + END, "checksum is wrong"),
    "a wrong checksum after a member": (header() + header().replace(b"a", b"b", 1) + END, "checksum"),
}


@pytest.mark.parametrize("name", HOSTILE_TARS)
def test_a_tar_that_lies_about_a_number_is_refused_at_once(archive, name):
    content, reason = HOSTILE_TARS[name]
    path, began = archive(content), time.process_time()
    with pytest.raises(ConversionError, match=rf"cannot be unpacked: [^\n]*{reason}"), unpacked(path):
        pass
    assert time.process_time() - began < 1


@pytest.mark.parametrize("format", ["tar", "tar.gz"])
def test_a_folder_of_negative_size_makes_no_room_for_a_bomb(archive, tmp_path, format):
    """Found by others: it switched off the limits, and 612 KB wrote 601 MB."""
    folder = header("folder", type=tarfile.DIRTYPE, number=MINUS_8_GIB)
    content = folder + tar_of({"bomb": bytes(20 * MEBIBYTE)})
    path = archive(gzip.compress(content) if format == "tar.gz" else content)
    with pytest.raises(ConversionError, match="cannot be unpacked"), unpacked(path):
        pass


def test_sparse_maps_without_end_are_not_read(archive):
    """Each block of such a map says that another one follows."""
    block = bytearray(header(type=tarfile.GNUTYPE_SPARSE))
    block[482] = 1
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    path = archive(gzip.compress(bytes(block) + (b"0" * 504 + b"\x01" * 8) * 60_000, 1))
    in_little_memory(path, "a sparse file")


def in_little_memory(path: Path, reason: str) -> None:
    """Refused for the reason, in a second and a few mebibytes."""
    began = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(ConversionError, match=reason), unpacked(path):
            pass
        assert tracemalloc.get_traced_memory()[1] < 4 * MEBIBYTE
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < 2


NAMED, COMMENTED = 8, 16  # flags of a gzip header


@pytest.mark.parametrize("flag", [NAMED, COMMENTED])
@pytest.mark.parametrize("before", [b"", gzip.compress(tar_of(CONTENTS)[:512])], ids=["first", "later"])
def test_a_name_of_many_megabytes_in_a_gzip_header_is_refused(archive, flag, before):
    """It cost five seconds, byte by byte."""
    start = b"\x1f\x8b\x08" + bytes([flag]) + bytes(6) + b"x" * 30 * MEBIBYTE + b"\0"
    in_little_memory(archive(before + start + gzip.compress(tar_of(CONTENTS))[10:]), "unpack to nothing")


def test_a_short_name_in_a_gzip_header_is_passed_over(archive):
    packed = gzip.compress(tar_of(CONTENTS))
    named = packed[:3] + bytes([NAMED]) + packed[4:10] + b"net.tar\0" + packed[10:]
    with unpacked(archive(named)) as folder:
        assert (folder / "net/readme.txt").read_bytes() == b"read me"


def test_a_gzip_of_too_many_members_is_refused(archive):
    pieces = [gzip.compress(bytes([byte]), 1) for byte in tar_of({"a": bytes(20_000)})[:12_000]]
    in_little_memory(archive(b"".join(pieces)), "more than 10000 gzip members")


def test_a_gzip_in_several_members_with_zeros_after_each_is_read(archive):
    content = tar_of(CONTENTS)
    parts = (content[at : at + 1000] for at in range(0, len(content), 1000))
    with unpacked(archive(b"".join(gzip.compress(part) + bytes(100) for part in parts))) as folder:
        assert (folder / "net/net.params").read_bytes() == CONTENTS["net/net.params"]


def test_a_zips_list_of_a_million_members_is_not_even_read(archive):
    """A zip of 47 MB that holds nothing took a gigabyte."""
    content = zip_of({"a": b""})
    at = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    listed = content[at:end] * 10**6
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(listed), at, 0)
    in_little_memory(archive(content[:at] + listed + last), "which only a list of too many has")


@pytest.mark.parametrize("format", FORMATS)
def test_folders_that_are_only_named_in_paths_are_counted(archive, monkeypatch, format):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 40)
    contents = {f"{number}/" + "a/" * 20 + "b": b"" for number in range(2)}
    with (
        pytest.raises(ConversionError, match="more than 40 members"),
        unpacked(archive(FORMATS[format](contents))),
    ):
        pass


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_kind_of_tar_is_read_as_tarfile_reads_it(archive, format, mode):
    """Long names, names beyond ASCII, folders, empty files, owners and times beyond a header's room."""
    names = ["a", "é/b", "long" * 20 + "/" + "name" * 15, "folder/", "./c", "12345678901234567890123456789"]
    if format != tarfile.USTAR_FORMAT:
        names.append("/".join(["deep" * 20] * 5))
    contents = {name: name.encode() * (3 if name.endswith("a") else 97) for name in names}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=format) as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(name.rstrip("/"))
            info.mtime = 8**11 - 1 if format == tarfile.USTAR_FORMAT else -1.5
            info.uid = 5 if format == tarfile.USTAR_FORMAT else 2**30
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    with unpacked(archive(buffer.getvalue())) as folder:
        for name, content in contents.items():
            assert (folder / name).is_dir() if name.endswith("/") else (folder / name).read_bytes() == content


def test_an_old_tar_marks_a_folder_by_a_slash_at_its_end(archive):
    content = header("folder/", type=tarfile.AREGTYPE) + header("folder/a", type=tarfile.AREGTYPE) + END
    with unpacked(archive(content)) as folder:
        assert (folder / "folder" / "a").is_file()
