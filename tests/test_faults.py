"""Every fault of a host or a line at every position, kill -9, and a file larger than memory."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from itertools import chain, repeat
from pathlib import Path

import pytest

from modelzoo import download
from modelzoo.download import connections, responses, transfer
from modelzoo.errors import DownloadError
from modelzoo.files import digests
from tests import fault_server
from tests.conftest import ROOT
from tests.fault_server import FaultServer, page, redirect, running, send, send_sparse, status

EXPECTED = random.Random(1).randbytes(200_000)
OTHER = random.Random(2).randbytes(200_000)  # as long as the expected file, so that only its content differs
FLIPPED = EXPECTED[:150_000] + bytes([EXPECTED[150_000] ^ 1]) + EXPECTED[150_001:]
SHA256 = hashlib.sha256(EXPECTED).hexdigest()
BLOCK = 1 << 13

# Faults of the line: what happens to an answer at an offset.
LINE = {
    "truncated": partial(send, end="truncate"),
    "reset": partial(send, end="reset"),
    "stalled": partial(send, end="stall"),
    "chunked and truncated": partial(send, framing="chunked"),
    "neither ETag nor date, and truncated": partial(send, etag=False, modified=False),
    "only a date, and truncated": partial(send, etag=False),
    "Range ignored and truncated": partial(send, ranges=False),
}
# Faults of the host: what a request is answered with.
HOST = {
    "nothing": fault_server.truncate,
    "reset at once": fault_server.reset,
    "not HTTP": fault_server.nonsense,
    "length too long": partial(send, lie=100),
    "length too short": partial(send, lie=-100),
    "no length, chunked": partial(send, framing="chunked"),
    "no length, closed": partial(send, framing="close"),
    "Range ignored": partial(send, ranges=False),
    "wrong Content-Range": partial(send, shift=7),
    "shorter part than asked for": partial(send, most=50_000),
    "no such part": partial(status, code=416),
    "another file": partial(send, content=OTHER),
    "a longer file": partial(send, content=EXPECTED + b"!"),
    "a flipped bit": lambda handler: send(handler, content=FLIPPED, etag=False),
    "an empty file": partial(send, content=b""),
    "gzip": partial(send, content=gzip.compress(EXPECTED), encoding="gzip"),
    "a web page": page,
    "a Git LFS pointer": partial(status, code=200, body=fault_server.LFS_POINTER),
    "204": partial(status, code=204),
    "403": partial(status, code=403),
    "404": partial(status, code=404),
    "410": partial(status, code=410),
    "429": partial(status, code=429),
    "429 with Retry-After": partial(status, code=429, headers={"Retry-After": "7"}),
    "429 with a day of Retry-After": partial(status, code=429, headers={"Retry-After": "86400"}),
    "500": partial(status, code=500),
    "503": partial(status, code=503, body=b"<html>busy</html>"),
    "redirect to another host": partial(redirect, location="http://localhost:{port}{path}"),
    "redirect loop": partial(redirect, location="http://localhost:{port}{path}x"),
    "redirect to a file": partial(redirect, location="file:///etc/hostname"),
    "redirect without a place": partial(status, code=302),
}
POSITIONS = {
    "first byte": 0,
    "first block": BLOCK,
    "middle": 100_000,
    "last byte": len(EXPECTED) - 1,
    "resume request": 70_000,
    "next call": 70_000,
}
KNOWN = {"checksum": {"checksums": {"sha256": SHA256}, "size": len(EXPECTED)}, "nothing": {}}
# Once, these must not keep the expected file from arriving, whatever is known of it.
HARMLESS = {
    *LINE,
    "nothing",
    "reset at once",
    "not HTTP",
    "no length, chunked",
    "429",
    "429 with Retry-After",
    "500",
    "503",
    "redirect to another host",
}
# What nobody can tell from the file if nothing is known of it: but it comes whole, never mixed with another.
UNDETECTABLE = {
    "length too short": EXPECTED[:-100],
    "another file": OTHER,
    "a longer file": EXPECTED + b"!",
    "a flipped bit": FLIPPED,
    "an empty file": b"",
}


@pytest.fixture(scope="module")
def server():
    with running(FaultServer()) as server:
        yield server


@pytest.fixture(autouse=True)
def waits(monkeypatch) -> list[float]:
    """The seconds that were to be waited between tries; nothing is."""
    waits: list[float] = []
    monkeypatch.setattr(transfer, "sleep", waits.append)
    monkeypatch.setattr(transfer, "PROGRESS", BLOCK)
    monkeypatch.setattr(responses, "BLOCK", BLOCK)
    return waits


def script(fault: str, position: str, always: bool):
    """The behaviors, request by request, that bring the fault to the position."""
    offset = POSITIONS[position]
    again = repeat if always else lambda behavior: [behavior]
    if fault in HOST:
        before = [partial(send, until=offset)] if offset else []
        return chain(before, again(HOST[fault]))
    resumed = position in ("resume request", "next call")
    before = [partial(send, until=offset)] if resumed else []
    return chain(before, again(partial(LINE[fault], until=140_000 if resumed else offset)))


def reason_against(url: str, target: Path, known: dict) -> str | None:
    """Why the file did not come; None if it did."""
    try:
        download.fetch(url, target, **known)
    except DownloadError as error:
        return str(error)
    return None


def left(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.parametrize("fault", [*LINE, *HOST])
def test_the_right_file_arrives_or_a_reason_and_nothing_else(
    fault, known, server, tmp_path, monkeypatch, record_property
):
    for position in POSITIONS:
        for always in (False, True):
            folder = tmp_path / f"{position} {always}"
            folder.mkdir()
            target = folder / "file.bin"
            steps = script(fault, position, always)
            if position == "next call":  # its first request is already the resuming one
                server.serve(EXPECTED, [next(steps), *repeat(fault_server.truncate, 5)])
                assert reason_against(server.url, target, KNOWN[known])
            server.serve(EXPECTED, steps)
            with monkeypatch.context() as patch:
                if fault == "stalled":  # not below, where a good host may be as slow on a busy machine
                    patch.setattr(connections, "READ_TIMEOUT", 0.2)
                    patch.setattr(transfer, "RETRIES", 1 if always else transfer.RETRIES)
                reason = reason_against(server.url, target, KNOWN[known])
            server.patience.set()
            if reason:
                assert len(reason) < 200
                assert server.url not in reason
                assert all(name.startswith(".") and name.endswith(".part") for name in left(folder))
                assert fault not in HARMLESS or always, f"{position}: {reason}"
            else:
                undetected = UNDETECTABLE.get(fault) if known == "nothing" else None
                assert target.read_bytes() in (EXPECTED, undetected), position
                assert left(folder) == ["file.bin"]
            server.serve(EXPECTED)
            download.fetch(server.url, target, **KNOWN[known])
            assert target.read_bytes() == EXPECTED
            assert left(folder) == ["file.bin"]
            record_property("transfer", "refused" if reason else "arrived")


PROGRAM = """
import sys
from pathlib import Path
from modelzoo import download
download.fetch(sys.argv[1], Path(sys.argv[2]), checksums={"sha256": sys.argv[3]})
"""


# A process counts the memory of the one it was forked from: so a small one stands between it and pytest.
BETWEEN = [sys.executable, "-c", "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"]


def start(*arguments, program: str = PROGRAM, between: Sequence[str] = ()) -> subprocess.Popen:
    return subprocess.Popen(
        [*between, sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_transfer_is_continued_where_it_was(server, tmp_path):
    target = tmp_path / "file.bin"
    server.serve(EXPECTED, [partial(send, until=120_000, end="stall")])
    with start(server.url, target, SHA256) as process:
        while not any(path.stat().st_size >= 60_000 for path in tmp_path.iterdir()):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.kill()
    server.patience.set()
    assert not target.exists()
    download.fetch(server.url, target, checksums={"sha256": SHA256})
    offset = int(server.asked[-1][1]["Range"].removeprefix("bytes=").removesuffix("-"))
    assert 60_000 <= offset <= 120_000
    assert target.read_bytes() == EXPECTED
    assert left(tmp_path) == ["file.bin"]


def test_killed_at_any_moment_nothing_wrong_is_visible(server, tmp_path, capsys):
    """As often as MODELZOO_KILLS says."""
    kills, completed = int(os.environ.get("MODELZOO_KILLS", "12")), 0
    chance, left_to_do = random.Random(kills), kills
    target = tmp_path / "file.bin"
    server.serve(EXPECTED, repeat(partial(send, piece=2000, pause=0.002)))
    while left_to_do:
        begun = len(server.asked) + (
            chance.random() < 0.8
        )  # most kills hit the transfer, some what precedes it
        with start(server.url, target, SHA256) as process:
            while len(server.asked) < begun and process.poll() is None:
                time.sleep(0.005)
            try:
                process.wait(chance.uniform(0, 0.2))
            except subprocess.TimeoutExpired:
                process.kill()
                left_to_do -= 1
        assert not target.exists() or target.read_bytes() == EXPECTED
        assert all(name.startswith(".") and name.endswith(".part") for name in left(tmp_path)[:-1])
        if target.exists():
            completed += 1
            for path in tmp_path.iterdir():
                path.unlink()
    continued = sum("Range" in headers for _, headers in server.asked)
    with start(server.url, target, SHA256) as process:
        assert process.wait() == 0, process.stderr.read()
    assert target.read_bytes() == EXPECTED
    assert left(tmp_path) == ["file.bin"]
    with capsys.disabled():
        print(
            f"\n{kills} kills: {continued} transfers continued, {completed} completed between, 0 wrong files"
        )


LIMIT = 100 << 20  # bytes that a download's memory may grow
MEASURED = (
    PROGRAM.replace("download.fetch", "fetch").replace(
        "from modelzoo import download",
        "import resource\nfrom modelzoo.download import fetch, transfer\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss",
    )
    + "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell a process's peak memory this way")
def test_a_large_file_needs_no_memory(server, tmp_path, capsys):
    """Of 2 GiB with MODELZOO_LARGE=1, which takes ten seconds and twice the room; else of 256 MiB."""
    size = (2 << 30) if os.environ.get("MODELZOO_LARGE") else (256 << 20)
    source = tmp_path / "sparse"
    with source.open("wb") as file:
        file.truncate(size)
    sha256 = digests(source, ("sha256",))["sha256"]
    server.serve(b"", [partial(send_sparse, path=source)])
    with start(server.url, tmp_path / "file.bin", sha256, program=MEASURED, between=BETWEEN) as process:
        grown, errors = process.communicate()
    assert (tmp_path / "file.bin").stat().st_size == size, errors
    grown = int(grown) * (1 if sys.platform == "darwin" else 1024)
    assert grown < LIMIT
    with capsys.disabled():
        print(f"\na file of {size >> 20:,} MiB: memory grew by {grown / (1 << 20):.1f} MiB")
    (tmp_path / "file.bin").unlink()  # pytest keeps the folders of the last runs
