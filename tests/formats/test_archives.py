"""Upstream archives: what is unpacked, and what is refused."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import tempfile
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
    liar = archives._Member("a", False, 10, lambda: io.BytesIO(bytes(5 * MEBIBYTE)))
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
    with pytest.raises(ConversionError, match="CRC check failed"), unpacked(archive(content)):
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


def test_a_member_of_negative_size_is_refused(archive):
    info = tarfile.TarInfo("a")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 12  # minus one, in base 256
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with (
        pytest.raises(ConversionError, match="cannot be unpacked"),
        unpacked(archive(bytes(header) + bytes(1024))),
    ):
        pass
