"""A file is what its checksum says, or it is not there at all."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import shutil
import socket
import ssl
import sys
import threading
import time
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from email.utils import formatdate
from functools import partial
from itertools import count, repeat
from pathlib import Path
from types import SimpleNamespace

import pytest

import modelzoo
from modelzoo import download, registry, weights
from modelzoo.download import connections, google_drive, responses, transfer
from modelzoo.download.partial import STALE
from modelzoo.errors import DownloadError, WeightsUnavailable
from modelzoo.registry import HostedFile
from tests.fault_server import (
    LFS_POINTER,
    PAGE,
    FaultServer,
    dawdle,
    drip,
    page,
    redirect,
    running,
    send,
    status,
)

CONTENT = random.Random(3).randbytes(400_000)
OTHER = random.Random(4).randbytes(400_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
KNOWN = {"checksums": {"sha256": SHA256}, "size": len(CONTENT)}
BROKEN = partial(send, until=150_000)


@pytest.fixture(scope="module")
def shared_server():
    with running(FaultServer()) as server:
        yield server


@pytest.fixture
def server(shared_server):
    shared_server.serve(None)
    shared_server.places["/file"] = CONTENT
    yield shared_server
    shared_server.patience.set()


@pytest.fixture
def url(server):
    return server.url


@pytest.fixture(autouse=True)
def waits(monkeypatch) -> list[float]:
    """The seconds that were to be waited between tries; nothing is."""
    waits: list[float] = []
    monkeypatch.setattr(transfer, "sleep", waits.append)
    return waits


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch, tmp_path):
    """The machine's own proxies and tokens stay out."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("MODELZOO_TOKEN", "MODELZOO_MIRROR", "MODELZOO_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no netrc"))


@pytest.fixture
def target(tmp_path):
    return tmp_path / "files" / "file.bin"


def ranges(server) -> list[str | None]:
    return [headers.get("Range") for _, headers in server.asked]


def left(target) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def break_off(server, target, known=KNOWN, address="/file", **how) -> None:
    """One call that leaves a partial file of 150,000 bytes."""
    server.serve(CONTENT, [partial(send, until=150_000, **how), *repeat(partial(send, until=0, **how), 9)])
    with pytest.raises(DownloadError, match="broke off"):
        download.fetch(f"{server.url}{address}", target, **known)
    server.serve(CONTENT)


# What comes


def test_a_file_arrives_whole(url, target):
    assert download.fetch(f"{url}/file", target, **KNOWN) == []
    assert target.read_bytes() == CONTENT
    assert left(target) == ["file.bin"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_a_file_is_as_readable_as_the_user_wants_files_to_be(url, target):
    download.fetch(f"{url}/file", target)
    (target.parent / "another").touch()
    assert target.stat().st_mode == (target.parent / "another").stat().st_mode


@pytest.mark.parametrize(
    ("path", "known", "message"),
    [
        ("/nothing", {}, "HTTP 404 Not Found"),
        ("/page", {}, "a web page came instead of a file"),
        ("/dripping page", {}, "a web page came instead of a file"),
        ("/pointer", {}, "a Git LFS pointer came instead of the file that it points to"),
        ("/file", {"size": len(CONTENT) + 1}, "expected 400,001 bytes, the host has 400,000"),
        ("/file", {"size": 10}, "expected 10 bytes, the host has 400,000"),
        ("/chunked", {"size": 10}, "expected 10 bytes, got more"),
        ("/chunked", {"size": 400_001}, "expected 400,001 bytes, got 400,000"),
        ("/file", {"checksums": {"sha256": "0" * 64}}, f"expected sha256 {'0' * 64}, got {SHA256}"),
        ("/file", {"checksums": {"sha256": SHA256, "md5": "0" * 32}}, "expected md5 0000"),
        ("/short", {}, "the connection broke off"),
        ("/endless", {}, "the host does not say where the file ends"),
        ("/gzip", {}, "the host sends the file encoded with 'gzip', unasked"),
    ],
)
def test_wrong_content_raises_and_leaves_nothing(path, known, message, server, target):
    server.places |= {
        "/page": page,
        "/dripping%20page": partial(send, content=PAGE, piece=3, pause=0.002),
        "/pointer": LFS_POINTER,
        "/chunked": partial(send, content=CONTENT, framing="chunked"),
        "/short": partial(send, content=CONTENT, lie=100, etag=False, modified=False),
        "/endless": partial(send, content=CONTENT, framing="close"),
        "/gzip": partial(send, content=gzip.compress(CONTENT), encoding="gzip"),
    }
    with pytest.raises(DownloadError, match=message):
        download.fetch(f"{server.url}{path}", target, **known)
    assert not target.parent.exists() or left(target) == []


def test_an_archive_that_the_host_takes_for_an_encoded_file_arrives_as_it_is(server, target):
    archive = gzip.compress(CONTENT)
    server.places["/file.gz"] = partial(send, content=archive, encoding="gzip")
    checksums = {"sha256": hashlib.sha256(archive).hexdigest()}
    download.fetch(f"{server.url}/file.gz", target, checksums=checksums)
    assert target.read_bytes() == archive
    assert server.asked[0][1]["Accept-Encoding"] == "identity"


def test_a_length_beside_chunks_is_not_believed(server, target):
    server.serve(CONTENT, [partial(send, framing="chunked", lie=-100)])
    download.fetch(f"{server.url}/file", target)
    assert target.read_bytes() == CONTENT


def test_what_was_there_survives_a_failed_download(url, target):
    target.parent.mkdir()
    target.write_bytes(b"before")
    with pytest.raises(DownloadError):
        download.fetch(f"{url}/file", target, size=3)
    assert target.read_bytes() == b"before"


def test_a_server_that_is_gone_is_no_connection(target, waits):
    with running(FaultServer()) as server:
        url = server.url
    with pytest.raises(DownloadError, match=r"^no connection$"):
        download.fetch(f"{url}/file", target)
    assert waits == []


def test_an_unknown_host_is_no_connection_and_is_not_asked_again(target, waits):
    with pytest.raises(DownloadError, match=r"^no connection: the host's name is not known$"):
        download.fetch("https://files.example/file", target)
    assert waits == []


@pytest.mark.parametrize("url", ["http://[", "http://host:port/", "http://", "https://.example/", "file://["])
def test_an_address_that_is_none_is_refused(url, target, waits):
    with pytest.raises(DownloadError, match=r"cannot be understood|the host cannot be asked: Invalid"):
        download.fetch(url, target)
    assert waits == []


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/file", "gopher://127.0.0.1/", "/etc/hostname", "C:\\file"])
def test_other_schemes_are_refused(url, target):
    with pytest.raises(DownloadError, match="must begin with https://, http:// or file://"):
        download.fetch(url, target)


def test_a_file_address_is_copied_with_the_same_checks(target, tmp_path):
    source = tmp_path / "a source, näm"
    source.write_bytes(CONTENT)
    download.fetch(source.as_uri(), target, **KNOWN)
    assert target.read_bytes() == CONTENT
    with pytest.raises(DownloadError, match="expected sha256"):
        download.fetch(source.as_uri(), target.with_name("b"), checksums={"sha256": "0" * 64})
    with pytest.raises(DownloadError, match="expected 3 bytes, the host has 400,000"):
        download.fetch(source.as_uri(), target.with_name("b"), size=3)
    with pytest.raises(DownloadError, match="no such file"):
        download.fetch((tmp_path / "nothing").as_uri(), target.with_name("b"))
    with pytest.raises(DownloadError, match="it cannot be read"):
        download.fetch(tmp_path.as_uri(), target.with_name("b"))
    with pytest.raises(DownloadError, match=r"cannot write in .*file\.bin"):
        download.fetch(source.as_uri(), target / "below a file")
    with pytest.raises(DownloadError, match="a file:// address has three slashes"):
        download.fetch("file://server/share/file.bin", target.with_name("b"))
    assert left(target) == ["file.bin"]


@pytest.mark.parametrize("known", [{}, KNOWN], ids=["nothing known", "size and checksum known"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_no_more_is_taken_than_the_limit(framing, known, server, target):
    server.places["/file"] = partial(send, content=CONTENT, framing=framing)
    with pytest.raises(
        DownloadError, match=r"^expected at most 100,000 bytes of file\.bin, the host has more$"
    ):
        download.fetch(f"{server.url}/file", target, **known, limit=100_000)
    assert not target.parent.exists() or left(target) == []
    download.fetch(f"{server.url}/file", target, **known, limit=len(CONTENT))


def test_an_endless_file_is_given_up_at_the_limit(server, target):
    sent = []

    def endless(handler):
        handler.wfile.write(CHUNKED)
        while not handler.server.patience.is_set() and len(sent) < 1000:
            handler.wfile.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
            sent.append(1 << 16)

    server.places["/endless"] = endless
    with pytest.raises(DownloadError, match="expected at most 1,000,000 bytes"):
        download.fetch(f"{server.url}/endless", target, limit=10**6)
    assert sum(sent) < 30 << 20  # the rest waited in the sockets
    assert left(target) == []


def test_a_file_of_more_than_eight_gibibytes_is_not_taken(server, target, monkeypatch):
    usage = shutil.disk_usage(target.parent.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1 << 40))
    headers = b"HTTP/1.1 200 OK\r\nContent-Length: 8589934593\r\n\r\n"
    server.serve(None, [partial(drip, at_once=headers + CONTENT, again=b"x")])
    with pytest.raises(DownloadError, match=r"^expected at most 8,589,934,592 bytes of file\.bin"):
        download.fetch(f"{server.url}/file", target)


def test_a_small_file_by_its_checksum_is_small(server, monkeypatch, cache):
    monkeypatch.setattr(sys.modules["modelzoo.download.fetch"], "MAX_SMALL_BYTES", 1000)
    with pytest.raises(DownloadError, match="expected at most 1,000 bytes"):
        download.by_checksum(f"{server.url}/file", SHA256)
    assert [path for path in cache.rglob("*") if path.is_file()] == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_a_pipe_is_not_waited_for(target, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(DownloadError, match="it is not a file, but a device or a pipe"):
            download.fetch(path.as_uri(), target)


def test_a_full_disk_is_said_before_anything_is_written(url, target, monkeypatch):
    usage = shutil.disk_usage(target.parent.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DownloadError, match=r"400,000 bytes are still to come, .*files has room for 1,000"):
        download.fetch(f"{url}/file", target, **KNOWN)
    assert left(target) == []


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="this user may write everywhere")
def test_a_folder_that_cannot_be_written_is_said(url, target):
    target.parent.mkdir(mode=0o500)
    with pytest.raises(DownloadError, match=r"cannot write in .*files: Permission denied"):
        download.fetch(f"{url}/file", target)


def test_a_target_whose_folder_cannot_be_is_said(url, target):
    target.parent.write_bytes(b"a file")
    with pytest.raises(DownloadError, match=r"cannot write in .*files"):
        download.fetch(f"{url}/file", target)


# Going on


def test_a_broken_transfer_goes_on_where_it_broke(server, target, waits):
    server.serve(CONTENT, [BROKEN, partial(send, until=300_000, end="reset")])
    download.fetch(f"{server.url}/file", target, **KNOWN)
    assert target.read_bytes() == CONTENT
    assert ranges(server)[:2] == [None, "bytes=150000-"]
    assert ranges(server)[2] is not None
    assert len(waits) == 2


def test_a_host_that_sends_shorter_parts_than_asked_for_is_asked_again(server, target):
    server.serve(CONTENT, [BROKEN, partial(send, most=100_000), partial(send, most=100_000)])
    download.fetch(f"{server.url}/file", target, **KNOWN)
    assert ranges(server) == [None, "bytes=150000-", "bytes=250000-", "bytes=350000-"]
    assert target.read_bytes() == CONTENT


def test_a_part_of_a_file_whose_size_the_host_does_not_tell_is_taken(server, target):
    server.serve(CONTENT, [BROKEN, partial(send, whole_size="*")])
    download.fetch(f"{server.url}/file", target)
    assert ranges(server) == [None, "bytes=150000-"]
    assert target.read_bytes() == CONTENT


def test_an_end_that_no_length_announced_is_a_broken_connection_if_the_size_is_known(server, target):
    server.serve(CONTENT, [partial(send, framing="close", until=150_000)])
    download.fetch(f"{server.url}/file", target, size=len(CONTENT))
    assert ranges(server) == [None, "bytes=150000-"]
    assert target.read_bytes() == CONTENT


def test_a_flaky_line_brings_a_long_file(server, target, monkeypatch):
    """It breaks off ten times, more often than a transfer without progress is tried."""
    monkeypatch.setattr(transfer, "PROGRESS", 30_000)
    server.serve(CONTENT, [partial(send, until=offset) for offset in range(38_000, 390_000, 38_000)])
    download.fetch(f"{server.url}/file", target, **KNOWN)
    assert target.read_bytes() == CONTENT
    assert len(server.asked) == 11


@pytest.mark.parametrize(
    ("known", "how", "condition"),
    [
        (KNOWN, {}, True),
        (KNOWN, {"etag": False}, True),
        (KNOWN, {"etag": False, "modified": False}, False),
        ({}, {"modified": False}, True),
        ({}, {"etag": False}, True),
    ],
)
def test_the_next_call_goes_on_where_the_last_one_stopped(known, how, condition, server, target):
    break_off(server, target, known, **how)
    assert not target.exists()
    assert all(name.startswith(".file.bin.") and name.endswith(".part") for name in left(target))
    server.serve(CONTENT, [partial(send, **how)])
    download.fetch(f"{server.url}/file", target, **known)
    assert ranges(server) == ["bytes=150000-"]
    assert ("If-Range" in server.asked[0][1]) == condition
    assert target.read_bytes() == CONTENT
    assert left(target) == ["file.bin"]


@pytest.mark.parametrize(
    ("known", "how"),
    [
        ({}, {"etag": False, "modified": False}),
        ({}, {"etag": "weak", "modified": False}),
        ({}, {"etag": False, "framing": "chunked"}),
        ({"size": len(CONTENT)}, {"etag": False, "modified": False}),
    ],
)
def test_nothing_is_kept_that_could_not_be_continued_safely(known, how, server, target):
    break_off(server, target, known, **how)
    assert left(target) == []


def bytes_left(target):
    """The one partial file, without its record."""
    (path,) = [path for path in target.parent.iterdir() if not path.name.endswith(".json.part")]
    return path


def test_what_only_a_checksum_made_safe_is_not_continued_without_one(server, target):
    bare = partial(send, etag=False, modified=False)
    break_off(server, target, etag=False, modified=False)
    server.serve(OTHER, [bare])
    download.fetch(f"{server.url}/file", target)
    assert ranges(server) == [None]
    assert target.read_bytes() == OTHER
    assert left(target) == ["file.bin"]


def test_of_a_file_that_was_whole_when_its_process_died_the_last_byte_is_asked_for(server, target):
    break_off(server, target)
    bytes_left(target).write_bytes(CONTENT)
    download.fetch(f"{server.url}/file", target, **KNOWN)
    assert ranges(server) == ["bytes=399999-"]
    assert target.read_bytes() == CONTENT


def test_what_is_continued_belongs_to_one_address_and_one_target(server, target):
    break_off(server, target)
    download.fetch(f"{server.url}/elsewhere", target, **KNOWN)
    download.fetch(f"{server.url}/file", target.with_name("other.bin"), **KNOWN)
    assert ranges(server) == [None, None]


def test_a_file_that_changed_is_started_over(server, target):
    break_off(server, target, {})
    server.serve(OTHER)
    download.fetch(f"{server.url}/file", target)
    assert ranges(server) == ["bytes=150000-"]
    assert target.read_bytes() == OTHER
    assert left(target) == ["file.bin"]


@pytest.mark.parametrize(
    "wrong", [{"shift": 5}, {"content": OTHER, "etag": False}, {"content": CONTENT + b"!"}]
)
def test_a_part_of_another_file_is_not_taken(wrong, server, target):
    """The host does not honour If-Range: only its answer tells that the part does not fit."""

    def rude(handler):
        handler.headers.replace_header("If-Range", "") if "If-Range" in handler.headers else None
        del handler.headers["If-Range"]
        send(handler, **wrong)

    break_off(server, target)
    server.serve(CONTENT, [rude])
    download.fetch(f"{server.url}/file", target, **KNOWN)
    assert ranges(server) == ["bytes=150000-", None]
    assert target.read_bytes() == CONTENT
    assert left(target) == ["file.bin"]


def test_a_wrong_whole_of_two_answers_is_fetched_once_more(server, target):
    break_off(server, target)
    bytes_left(target).write_bytes(OTHER[:150_000])
    download.fetch(f"{server.url}/file", target, **KNOWN)
    assert ranges(server) == ["bytes=150000-", None]
    assert target.read_bytes() == CONTENT


def test_a_wrong_whole_of_two_answers_is_not_fetched_forever(server, target):
    server.serve(OTHER, [BROKEN, send, BROKEN, send, BROKEN, send])
    with pytest.raises(DownloadError, match=f"expected sha256 {SHA256}, got"):
        download.fetch(f"{server.url}/file", target, **KNOWN)
    assert ranges(server) == [None, "bytes=150000-", None, "bytes=150000-"]
    assert left(target) == []


def test_a_wrong_whole_of_one_answer_is_not_fetched_again(server, target):
    server.serve(OTHER)
    with pytest.raises(DownloadError, match="expected sha256"):
        download.fetch(f"{server.url}/file", target, **KNOWN)
    assert len(server.asked) == 1


@pytest.mark.parametrize("record", ["", "{", "[]", '{"etag": 3}', '{"what": null}', '{"size": "many"}', None])
def test_a_partial_file_without_a_proper_record_is_not_continued(record, server, target):
    break_off(server, target)
    (file,) = target.parent.glob(".*.json.part")
    file.unlink() if record is None else file.write_text(record)
    download.fetch(f"{server.url}/file", target, **KNOWN)
    assert target.read_bytes() == CONTENT
    assert left(target) == ["file.bin"]


def test_partial_files_do_not_pile_up(server, target):
    for _ in range(4):
        break_off(server, target)
    assert len(left(target)) == 2  # the bytes and their record


def test_the_longest_partial_file_is_continued(server, target):
    break_off(server, target)
    longer = bytes_left(target)
    for suffix in (".part", ".json.part"):
        shutil.copy(longer.with_suffix(suffix), longer.with_name(longer.name[:-13] + "shorter1" + suffix))
    longer.with_name(longer.name[:-13] + "shorter1.part").write_bytes(CONTENT[:1000])
    download.fetch(f"{server.url}/file", target, **KNOWN)
    assert ranges(server) == ["bytes=150000-"]
    assert left(target) == ["file.bin"]


def test_a_transfer_that_another_process_may_be_writing_is_left_to_it(server, target):
    """Its bytes are copied. Only what nobody has written for long is removed."""
    break_off(server, target)
    for path in target.parent.iterdir():
        os.utime(path)
    before = left(target)
    server.serve(CONTENT, repeat(partial(send, until=0), 9))
    with pytest.raises(DownloadError):
        download.fetch(f"{server.url}/file", target, **KNOWN)
    assert set(before) < set(left(target))
    for path in target.parent.iterdir():
        os.utime(path, (time.time() - STALE - 10,) * 2)
    server.serve(CONTENT, repeat(partial(send, until=0), 9))
    with pytest.raises(DownloadError):
        download.fetch(f"{server.url}/file", target, **KNOWN)
    assert len(left(target)) == 2


def test_threads_that_fetch_the_same_file_do_not_disturb_each_other(server, target):
    server.serve(CONTENT, repeat(partial(send, piece=20_000, pause=0.002)))
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(download.fetch, f"{server.url}/file", target, **KNOWN) for _ in range(8)]
        assert [call.result() for call in calls] == [[]] * 8
    assert target.read_bytes() == CONTENT
    assert left(target) == ["file.bin"]


def test_threads_that_fetch_different_files_do_not_disturb_each_other(server, target):
    contents = {f"/{number}": CONTENT[number * 1000 :] for number in range(8)}
    server.places |= contents
    with ThreadPoolExecutor(8) as threads:
        for path in contents:
            threads.submit(download.fetch, f"{server.url}{path}", target.with_name(path[1:]))
    assert {f"/{path.name}": path.read_bytes() for path in target.parent.iterdir()} == contents


# Trying again


def test_the_waits_between_tries_double_and_are_uneven(server, target, waits):
    server.serve(CONTENT, repeat(partial(status, code=500)))
    with pytest.raises(DownloadError, match=r"^HTTP 500 Internal Server Error$"):
        download.fetch(f"{server.url}/file", target)
    assert len(server.asked) == len(waits) + 1 == transfer.RETRIES + 1
    assert all(0.5 <= wait / 2**number <= 1 for number, wait in enumerate(waits))


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 416, 451])
def test_what_cannot_get_better_is_not_tried_again(code, server, target, waits):
    server.serve(CONTENT, [partial(status, code=code)])
    with pytest.raises(DownloadError, match=f"^HTTP {code} "):
        download.fetch(f"{server.url}/file", target)
    assert (len(server.asked), waits) == (1, [])


@pytest.mark.parametrize("code", [429, 503])
def test_a_host_that_says_when_is_asked_again_then(code, server, target, waits):
    in_a_minute = formatdate(time.time() + 60, usegmt=True)
    busy = [partial(status, code=code, headers={"Retry-After": when}) for when in ("7", in_a_minute, "soon")]
    server.serve(CONTENT, busy)
    download.fetch(f"{server.url}/file", target)
    assert waits[0] == 7
    assert 50 < waits[1] <= 60
    assert waits[2] <= 4
    assert target.read_bytes() == CONTENT


def test_a_host_that_asks_for_too_long_a_wait_is_given_up(server, target, waits):
    server.serve(CONTENT, [partial(status, code=429, headers={"Retry-After": "86400"})])
    with pytest.raises(DownloadError, match="HTTP 429 Too Many Requests, and the host asks to wait 86,400 s"):
        download.fetch(f"{server.url}/file", target)
    assert waits == []


def test_a_host_that_falls_silent_is_asked_again(server, target, monkeypatch):
    monkeypatch.setattr(connections, "READ_TIMEOUT", 0.3)
    server.serve(CONTENT, [partial(send, until=150_000, end="stall")])
    download.fetch(f"{server.url}/file", target, **KNOWN)
    assert target.read_bytes() == CONTENT


def test_a_host_that_only_drips_is_given_up(server, target, monkeypatch):
    """By a clock on which a minute passes between two pieces, however busy the machine is."""
    monkeypatch.setenv("MODELZOO_TIMEOUT", "250")
    monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=count(0, 60).__next__))
    server.serve(CONTENT, [partial(send, piece=100, pause=0.02)])
    with pytest.raises(DownloadError, match="no progress for 250 s"):
        download.fetch(f"{server.url}/file", target, **KNOWN)


HEADERS = b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SLOW = {
    "nothing": partial(drip),
    "the status line": partial(drip, drops=HEADERS * 9),
    "the headers": partial(drip, at_once=HEADERS[:17], drops=b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 9),
    "the first bytes": partial(drip, at_once=HEADERS, again=b"x"),
    "the first bytes, most of which come": partial(drip, at_once=HEADERS + CONTENT[:60_000], again=b"x"),
    "a line between chunks": partial(drip, at_once=CHUNKED + b"5;", again=b"x"),
    "chunks": partial(drip, at_once=CHUNKED, again=b"1\r\nx\r\n"),
    "the trailers": partial(drip, at_once=CHUNKED + b"5\r\nhello\r\n0\r\n", again=b"X: y\r\n"),
    "continue, again and again": partial(drip, again=b"HTTP/1.1 100 Continue\r\n\r\n"),
    "continue, without a pause": partial(drip, again=b"HTTP/1.1 100 Continue\r\n\r\n" * 99, pause=0.001),
    "redirects": partial(dawdle, then=partial(redirect, location="{path}x")),
}


@contextmanager
def given_up_in_time(reason: str = "no progress for 1 s") -> Iterator[None]:
    """With a limit of one second; what waits for each packet anew waits for half a minute and more."""
    began = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELZOO_TIMEOUT", "1")
        with pytest.raises(DownloadError, match=reason):
            yield
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("what", SLOW)
def test_a_host_that_sends_something_drop_by_drop_is_given_up(
    what, scheme, server, secure, bundle, target, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    asked = server if scheme == "http" else secure
    asked.serve(None, repeat(SLOW[what]))
    threads = threading.active_count()
    with given_up_in_time():
        download.fetch(f"{scheme}://127.0.0.1:{asked.server_port}/file", target)
    asked.patience.set()
    while threading.active_count() > threads:  # the server's
        time.sleep(0.01)
    assert not target.parent.exists() or left(target) == []


def test_a_host_that_starts_over_gets_no_more_time_for_it(server, target):
    """Nothing can be continued here; to begin once more is no progress."""
    slow = partial(dawdle, then=partial(send, until=30_000, etag=False, modified=False), seconds=0.6)
    server.serve(CONTENT, repeat(slow))
    with given_up_in_time("no progress for 1 s|the connection broke off"):
        download.fetch(f"{server.url}/file", target)
    assert len(server.asked) < 5


def test_a_host_that_takes_its_time_to_refuse_is_given_up(server, target):
    server.serve(None, repeat(partial(dawdle, then=partial(status, code=503), seconds=0.6)))
    with given_up_in_time("no progress for 1 s|HTTP 503"):
        download.fetch(f"{server.url}/file", target)
    assert len(server.asked) < 4


def test_a_proxy_that_answers_drop_by_drop_is_given_up(server, target, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    server.serve(None, repeat(partial(drip, drops=HEADERS * 9)))
    with given_up_in_time("no connection through the proxy|no progress for 1 s"):
        download.fetch("https://files.example/file", target)


def test_a_tunnel_whose_other_end_is_silent_is_given_up(server, target, monkeypatch):
    """The proxy connects, and then nobody speaks TLS."""
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    server.serve(None, repeat(partial(drip, at_once=b"HTTP/1.1 200 Connection established\r\n\r\n")))
    with given_up_in_time("no connection|no answer in time|no progress for 1 s"):
        download.fetch("https://files.example/file", target)


def test_a_host_that_does_not_speak_tls_is_given_up(target):
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        given_up_in_time("no connection in time|no progress"),
    ):
        download.fetch(f"https://127.0.0.1:{silent.getsockname()[1]}/file", target)


def test_all_addresses_of_a_host_share_the_time(target, monkeypatch):
    """Eight of which none answers: their port's queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, ExitStack() as callers:
        address = deaf.getsockname()
        for _ in range(8):
            caller = callers.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(address)
        answers = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: answers * 40)
        with given_up_in_time("no connection"):
            download.fetch(f"http://127.0.0.1:{address[1]}/file", target)


@pytest.mark.parametrize("value", ["soon", "0", "-3", "nan", "inf"])
def test_a_timeout_that_is_no_time_is_refused(value, url, target, monkeypatch):
    monkeypatch.setenv("MODELZOO_TIMEOUT", value)
    with pytest.raises(DownloadError, match="MODELZOO_TIMEOUT: expected a number of seconds above 0, got"):
        download.fetch(f"{url}/file", target)


def test_a_host_that_always_starts_over_and_breaks_off_is_given_up(server, target):
    server.serve(CONTENT, repeat(partial(send, until=150_000, ranges=False)))
    with pytest.raises(DownloadError, match="starts the file over each time"):
        download.fetch(f"{server.url}/file", target, **KNOWN)
    assert len(server.asked) < 10


# Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_shows_rate_and_time_left_and_counts_what_was_there(server, target, monkeypatch):
    break_off(server, target)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(transfer, "tqdm", partial(transfer.tqdm, mininterval=0))
    server.serve(CONTENT, [partial(send, piece=50_000, pause=0.01)])
    download.fetch(f"{server.url}/file", target, **KNOWN)
    shown = sys.stderr.getvalue()
    assert shown.startswith("\rfile.bin:  38%|")
    assert "391k/391k" in shown.splitlines()[-1]
    assert "B/s" in shown
    assert "<00:00" in shown


def test_a_notebook_shows_progress_though_its_stderr_is_no_terminal(url, target, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    download.fetch(f"{url}/file", target)
    assert "file.bin: 100%|" in capsys.readouterr().err


def test_without_a_terminal_nothing_is_shown(url, target, capsys):
    download.fetch(f"{url}/file", target)
    assert capsys.readouterr() == ("", "")


# What the host itself states


@pytest.fixture
def hub(server, url, monkeypatch):
    """An address that, like the Hugging Face hub, states a checksum and redirects to another host."""
    monkeypatch.setattr(responses, "SECURE", "http")  # a server with a certificate would be much ado

    def states(etag, file="/file"):
        storage = url.replace("127.0.0.1", "localhost")
        server.places["/hub"] = partial(redirect, location=f"{storage}{file}", X_Linked_ETag=etag)
        return f"{url}/hub"

    return states


def test_the_checksum_that_the_host_states_is_verified(hub, target):
    assert download.fetch(hub(f'"{SHA256}"'), target) == ["sha256 stated by the host"]
    assert target.read_bytes() == CONTENT


def test_another_file_than_the_host_states_is_refused(hub, target):
    with pytest.raises(DownloadError, match=f"expected sha256 0000.*, got {SHA256}"):
        download.fetch(hub(f'"{"0" * 64}"'), target)
    assert left(target) == []


def test_a_published_checksum_goes_before_the_stated_one(hub, target):
    assert download.fetch(hub("0" * 64), target, checksums={"sha256": SHA256}) == []


@pytest.mark.parametrize("etag", ["0" * 40, f'W/"{"0" * 64}"', "0" * 63 + "x", ""])
def test_an_etag_that_is_no_sha256_proves_nothing(etag, hub, target):
    assert download.fetch(hub(etag), target) == []


def test_a_checksum_that_came_over_http_proves_nothing(hub, monkeypatch, target):
    monkeypatch.setattr(responses, "SECURE", "https")
    assert download.fetch(hub("0" * 64), target) == []


def test_a_checksum_stated_by_another_host_proves_nothing(hub, server, target):
    address = hub("", file="/storage")
    server.places["/storage"] = partial(redirect, location="/file", X_Linked_ETag="0" * 64)
    assert download.fetch(address, target) == []


# Redirects, confirmations


def test_a_redirect_that_goes_round_in_circles_ends(server, target):
    server.places["/round"] = partial(redirect, location="/round")
    with pytest.raises(DownloadError, match="the host redirects more than 10 times"):
        download.fetch(f"{server.url}/round", target)
    assert len(server.asked) == 11


@pytest.mark.parametrize("location", ["file:///etc/hostname", "ftp://127.0.0.1/file", "http://[::1"])
def test_a_redirect_to_what_is_no_web_address_is_refused(location, server, target):
    server.places["/away"] = lambda handler: status(handler, 302, {"Location": location})
    with pytest.raises(DownloadError, match=r"the host redirects from http to|cannot be understood"):
        download.fetch(f"{server.url}/away", target)


def test_a_redirecting_page_is_not_read(server, target, monkeypatch):
    """However long it is: here it never ends."""
    monkeypatch.setattr(connections, "READ_TIMEOUT", 0.5)

    def endless(handler):
        handler.send_response(302)
        handler.send_header("Location", "/file")
        handler.send_header("Content-Length", "1000000000")
        handler.end_headers()
        handler.server.patience.wait(20)

    server.places["/endless"] = endless
    download.fetch(f"{server.url}/endless", target, **KNOWN)
    assert target.read_bytes() == CONTENT


def confirmation(action: str) -> bytes:
    return f"""<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
        <form id="download-form" action="{action}" method="get"><input type="submit" value="Download anyway"/>
        <input type="hidden" name="id" value="1a&amp;b"><input type="hidden" name="confirm" value="t"></form>
        </body></html>""".encode()


@pytest.fixture
def drive(server, monkeypatch):
    """Google Drive's address of a file too large to be scanned."""
    monkeypatch.setattr(google_drive, "HOSTS", ("127.0.0.1",))
    server.places["/uc?id=1"] = partial(page, body=confirmation(f"{server.url}/download"))
    server.places["/download?id=1a%26b&confirm=t"] = CONTENT
    return f"{server.url}/uc?id=1"


def test_google_drives_confirmation_is_given(drive, server, target):
    download.fetch(drive, target, **KNOWN)
    assert target.read_bytes() == CONTENT
    assert [path for path, _ in server.asked] == ["/uc?id=1", "/download?id=1a%26b&confirm=t"]


def test_a_transfer_from_google_drive_is_continued(drive, server, target):
    server.places["/download?id=1a%26b&confirm=t"] = lambda handler: send(
        handler, content=CONTENT, until=None if handler.headers["Range"] else 150_000
    )
    download.fetch(drive, target, **KNOWN)
    assert ranges(server) == [None, None, "bytes=150000-", "bytes=150000-"]
    assert target.read_bytes() == CONTENT


def test_google_drives_confirmation_is_given_once(drive, server, target):
    server.places["/download?id=1a%26b&confirm=t"] = server.places["/uc?id=1"]
    with pytest.raises(DownloadError, match="a web page came instead of a file"):
        download.fetch(drive, target)
    assert len(server.asked) == 2


@pytest.mark.parametrize("action", ["http://localhost/download", ""])
def test_a_confirmation_that_leads_elsewhere_is_not_given(action, drive, server, target):
    server.places["/uc?id=1"] = partial(page, body=confirmation(action))
    with pytest.raises(DownloadError, match="a web page came instead of a file"):
        download.fetch(drive, target)
    assert len(server.asked) == 1


def test_a_form_of_another_host_is_not_followed(drive, server, target, monkeypatch):
    monkeypatch.setattr(google_drive, "HOSTS", ("localhost",))
    form = confirmation(server.url.replace("127.0.0.1", "localhost") + "/download")
    server.places["/uc?id=1"] = partial(page, body=form)
    with pytest.raises(DownloadError, match="a web page came instead of a file"):
        download.fetch(drive, target)
    assert len(server.asked) == 1


def test_google_drives_quota_is_named(drive, server, target):
    quota = b"<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>"
    server.places["/uc?id=1"] = partial(page, body=quota)
    with pytest.raises(
        DownloadError, match="Google Drive's quota for this file is used up: try again in a day"
    ):
        download.fetch(drive, target)


# Secrets


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://someone:p@ss@host/a", "https://host/a"),
        ("https://host/a@b", "https://host/a@b"),
        ("http://someone:p@ss@[", "http://["),
        ("C:\\zoo", "c:\\zoo"),
        ("/mnt/zoo", "/mnt/zoo"),
    ],
)
def test_an_address_is_shown_without_its_password_even_if_it_is_malformed(address, shown):
    assert download.without_password(address).lower() == shown


def authorizations(server) -> list[str | None]:
    return [headers.get("Authorization") for _, headers in server.asked]


@pytest.fixture
def token(monkeypatch, url):
    monkeypatch.setenv("MODELZOO_TOKEN", "s3cret")
    monkeypatch.setenv("HF_TOKEN", "hf_s3cret")
    monkeypatch.setenv("MODELZOO_MIRROR", f"/mnt/zoo | {url}/zoo")


def test_the_mirror_gets_the_token(token, server, target):
    download.fetch(f"{server.url}/file", target)
    assert authorizations(server) == ["Bearer s3cret"]


def test_the_token_goes_before_netrc(token, server, target, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    download.fetch(f"{server.url}/file", target)
    assert authorizations(server) == ["Bearer s3cret"]


@pytest.mark.parametrize("malformed", ["http://[", "http://host:port/"])
def test_a_malformed_mirror_does_not_keep_the_token_from_the_others(
    malformed, token, server, target, monkeypatch
):
    monkeypatch.setenv("MODELZOO_MIRROR", f"{malformed} | {server.url}/zoo")
    download.fetch(f"{server.url}/file", target)
    assert authorizations(server) == ["Bearer s3cret"]


def test_another_host_gets_no_token(token, server, target):
    download.fetch(f"{server.url.replace('127.0.0.1', 'localhost')}/file", target)
    assert authorizations(server) == [None]


def test_another_host_that_the_mirror_redirects_to_gets_no_token(token, server, target):
    server.places["/away"] = partial(redirect, location="http://localhost:{port}/file")
    download.fetch(f"{server.url}/away", target)
    assert authorizations(server) == ["Bearer s3cret", None]


def test_a_mirror_that_another_host_redirects_to_gets_no_token(token, server, target):
    server.places["/away"] = partial(redirect, location="http://127.0.0.1:{port}/file")
    download.fetch(f"{server.url.replace('127.0.0.1', 'localhost')}/away", target)
    assert authorizations(server) == [None, None]


def test_nobody_gets_a_token_over_an_open_line(server, target, monkeypatch):
    """The proxy of this test stands for the host."""
    monkeypatch.setenv("MODELZOO_TOKEN", "s3cret")
    monkeypatch.setenv("MODELZOO_MIRROR", "http://files.example")
    monkeypatch.setenv("HTTP_PROXY", server.url)
    server.serve(CONTENT)
    download.fetch("http://files.example/file", target)
    assert authorizations(server) == [None]


def test_no_message_holds_a_token(token, server, target, monkeypatch):
    server.serve(CONTENT, repeat(partial(status, code=401)))
    with pytest.raises(DownloadError) as denied:
        download.fetch(f"{server.url}/file", target)
    monkeypatch.setenv("MODELZOO_TOKEN", "s3cret\r\nX: y")
    with pytest.raises(DownloadError, match="a character that a token cannot hold") as malformed:
        download.fetch(f"{server.url}/file", target)
    for error in (denied.value, malformed.value):
        while error is not None:
            assert "s3cret" not in repr(error)
            error = error.__cause__ or error.__context__


def test_a_password_in_an_address_is_used_and_not_shown(server, target):
    address = server.url.replace("//", "//someone:p%40ss@")
    server.places["/away"] = partial(redirect, location="http://localhost:{port}/file")
    download.fetch(f"{address}/file", target)
    download.fetch(f"{address}/away", target)
    assert authorizations(server) == ["Basic c29tZW9uZTpwQHNz"] * 2 + [None]
    for place in ("/nothing", ":99999999/", "?["):
        with pytest.raises(DownloadError) as raised:
            download.fetch(f"{address}{place}", target)
        error = raised.value
        while error is not None:
            assert "p%40ss" not in repr(error)
            error = error.__cause__
    assert download.without_password(f"{address}/a?b=c@d#e") == f"{server.url}/a?b=c@d#e"
    assert "p@ss" not in "".join(path.read_text("latin1") for path in target.parent.glob(".*.json.part"))


# Proxies and certificates


def test_a_proxy_is_used(server, target, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", server.url)
    server.serve(CONTENT)
    download.fetch("http://files.example/file", target, **KNOWN)
    assert [path for path, _ in server.asked] == ["http://files.example/file"]
    assert target.read_bytes() == CONTENT


def test_a_proxy_is_not_used_for_what_no_proxy_names(server, target, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    download.fetch(f"{server.url}/file", target)
    assert target.read_bytes() == CONTENT


def test_a_proxy_that_is_gone_is_named(target, monkeypatch):
    with running(FaultServer()) as gone:
        monkeypatch.setenv("HTTPS_PROXY", gone.url)
    with pytest.raises(
        DownloadError, match="no connection through the proxy that HTTP_PROXY or HTTPS_PROXY names"
    ):
        download.fetch("https://files.example/file", target)


@pytest.fixture(scope="module")
def authority():
    trustme = pytest.importorskip("trustme")
    return trustme.CA()


@pytest.fixture
def secure(authority, server):
    """A server with a certificate of an authority that nobody knows; it has the same places."""
    secure = FaultServer()
    secure.places = server.places
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    secure.socket = context.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
    with running(secure):
        yield secure


@pytest.fixture
def bundle(authority, tmp_path):
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def test_an_unknown_authority_is_not_trusted(secure, target, waits):
    with pytest.raises(DownloadError, match="the host's certificate is not trusted"):
        download.fetch(f"https://127.0.0.1:{secure.server_port}/file", target)
    assert waits == []


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_an_authority_of_ones_own_is_trusted(variable, secure, bundle, target, monkeypatch):
    monkeypatch.setenv(variable, str(bundle))
    download.fetch(f"https://127.0.0.1:{secure.server_port}/file", target, **KNOWN)
    assert target.read_bytes() == CONTENT


def test_a_bundle_that_is_not_there_is_named(secure, target, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/bundle.pem")
    with pytest.raises(DownloadError, match=r"/nowhere/bundle.pem"):
        download.fetch(f"https://127.0.0.1:{secure.server_port}/file", target)


def test_a_mirror_gets_the_token_over_a_secure_line(secure, bundle, target, monkeypatch):
    address = f"https://127.0.0.1:{secure.server_port}"
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("MODELZOO_TOKEN", "s3cret")
    monkeypatch.setenv("MODELZOO_MIRROR", f"{address}/zoo")
    download.fetch(f"{address}/file", target)
    assert authorizations(secure) == ["Bearer s3cret"]


def test_a_redirect_from_a_secure_line_to_an_open_one_is_refused(secure, server, bundle, target, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    server.places["/away"] = partial(redirect, location=f"{server.url}/file")
    with pytest.raises(DownloadError, match="the host redirects from https to http"):
        download.fetch(f"https://127.0.0.1:{secure.server_port}/away", target)
    assert server.asked == []


# From an entry of the registry to a file


@pytest.fixture
def entries(monkeypatch):
    """Replaces an entry of the registry for one test."""

    def use(entry):
        monkeypatch.setattr(registry, "info", lambda name: entry)

    return use


def hosted(url, path, size) -> HostedFile:
    return HostedFile(url, hashlib.sha256(path.read_bytes()).hexdigest(), size or path.stat().st_size)


def test_a_hosted_file_is_fetched_once_and_then_cached(server, url, resnet18_file, entries):
    server.places["/resnet18.h5"] = resnet18_file.read_bytes()
    entry = modelzoo.info("resnet18_v1b")
    entries(
        replace(
            entry,
            weights=(
                hosted(f"{url}/gone.h5", resnet18_file, None),
                hosted(f"{url}/resnet18.h5", resnet18_file, None),
            ),
        )
    )
    path = modelzoo.weights_file("resnet18_v1b")
    assert path.read_bytes() == resnet18_file.read_bytes()
    server.places.clear()
    assert modelzoo.weights_file("resnet18_v1b") == path


def test_an_upstream_file_is_fetched_converted_and_only_the_result_kept(
    server, url, entries, tmp_path, cache, caplog
):
    from tests.test_conversion import upstream_arrays, write_params

    entry = modelzoo.info("resnet18_v1b")
    params = write_params(tmp_path / "a.params", upstream_arrays(entry))
    server.places["/a.params"] = params.read_bytes()
    checksum = replace(entry.sources[0].checksums[0], value=hashlib.sha1(params.read_bytes()).hexdigest())
    source = replace(entry.sources[0], urls=(f"{url}/a.params",), checksums=(checksum,))
    entries(replace(entry, sources=(source,)))
    with caplog.at_level("INFO", "modelzoo"):
        path = modelzoo.weights_file("resnet18_v1b")
    assert caplog.messages == [  # what a first use takes so long for
        f"{entry.key}: downloading {url}/a.params",
        f"{entry.key}: converting a.params to a modelzoo weight file",
    ]
    assert {file.parent.name for file in cache.rglob("*") if file.is_file()} == {"locks", "models", "weights"}
    assert list(path.parent.iterdir()) == [path]
    assert modelzoo.load("resnet18_v1b", include_top=False) is not None


def test_an_upstream_file_with_another_checksum_is_refused_and_nothing_kept(
    server, url, entries, tmp_path, cache
):
    from tests.test_conversion import upstream_arrays, write_params

    entry = modelzoo.info("resnet18_v1b")
    server.places["/a.params"] = write_params(tmp_path / "a.params", upstream_arrays(entry)).read_bytes()
    entries(replace(entry, sources=(replace(entry.sources[0], urls=(f"{url}/a.params",)),)))
    with pytest.raises(WeightsUnavailable, match=r"/a\.params: a\.params is not the official file"):
        modelzoo.weights_file("resnet18_v1b")
    assert {file.suffix for file in cache.rglob("*") if file.is_file()} == {".lock"}


def test_the_next_source_is_tried_and_the_stated_checksum_goes_into_the_provenance(
    server, url, hub, entries, tmp_path
):
    from tests.test_conversion import is_synthetic
    from tests.test_timm import write_hub_file

    entry = modelzoo.info("resnet18_v1b")
    content = write_hub_file(tmp_path / "a.safetensors", entry).read_bytes()
    server.places["/model.safetensors"] = content
    sha256 = hashlib.sha256(content).hexdigest()
    gluon, timm = entry.sources
    mirror = replace(timm, urls=(hub(sha256, file="/model.safetensors"),))
    entries(replace(entry, sources=(replace(gluon, urls=(f"{url}/nothing",)), mirror)))
    path = modelzoo.weights_file("resnet18_v1b")
    provenance = weights.provenance(path)
    assert provenance["source"] == [{"name": "hub", "sha256": sha256}]
    assert (provenance["converter"], provenance["verified"]) == ("timm 1", ["sha256 stated by the host"])
    assert is_synthetic(path)
