"""Files appear whole or not at all; what a killed process leaves is removed, what a living one has is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelzoo import files
from modelzoo.formats import archives
from tests.conftest import ROOT

HANG = """
import sys, time
from pathlib import Path
from modelzoo import files
with files.temporary_directory(Path(sys.argv[1])) as folder, files.atomic_write(Path(sys.argv[2])) as path:
    (folder / "weights.h5").write_bytes(bytes(1000))
    path.write_bytes(bytes(500))
    print("ready", flush=True)
    time.sleep(600)
"""


@contextmanager
def hanging(folder: Path, target: Path) -> Iterator[subprocess.Popen]:
    """Another process that has begun to write a file, and has a temporary folder."""
    command = [sys.executable, "-c", HANG, str(folder), str(target)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def test_what_a_living_process_has_is_left_alone_and_what_a_killed_one_had_is_removed(folder):
    target = folder / "out.h5"
    with hanging(folder, target) as process:
        assert files.remove_abandoned(folder) == []
        with files.atomic_write(target) as path:
            path.write_text("whole")
        assert len(left(folder)) == 1 + 2 * 2  # each has a lock beside it
        process.send_signal(signal.SIGKILL)
        process.wait()
        [(removed, size)] = files.remove_abandoned(folder)
        assert (removed.name[:9], size) == ("modelzoo-", 1000)
        with files.atomic_write(target) as path:
            path.write_text("again")
    assert left(folder) == ["out.h5"]


def test_temporary_folders_of_threads_and_processes_do_not_meet(folder):
    """Each removes what is abandoned while others make and remove theirs."""
    failures: list[BaseException] = []

    def work():
        try:
            for _ in range(50):
                files.remove_abandoned(folder)
                with files.temporary_directory(folder) as mine:
                    (mine / "x").write_text("x")
                    assert (mine / "x").read_text() == "x"
        except BaseException as error:
            failures.append(error)

    code = "from modelzoo import files; import sys; from pathlib import Path\nfor _ in range(50):\n"
    code += "  files.remove_abandoned(Path(sys.argv[1]))\n"
    code += "  with files.temporary_directory(Path(sys.argv[1])) as mine: (mine / 'x').write_text('x')"
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], cwd=ROOT)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert process.wait() == 0
    assert failures == []
    assert left(folder) == []


@contextmanager
def no_locks(monkeypatch) -> Iterator[None]:
    import filelock

    def acquire(self, timeout):
        raise OSError(38, "Function not implemented")

    with monkeypatch.context() as patched:
        patched.setattr(filelock.FileLock, "acquire", acquire)
        yield


def test_where_files_cannot_be_locked_only_time_tells_what_is_abandoned(folder, monkeypatch):
    with no_locks(monkeypatch), files.temporary_directory(folder) as mine:
        assert files.remove_abandoned(folder) == []
        os.utime(mine, (0, 0))
        assert files.remove_abandoned(folder) == [(mine, 0)]
    assert left(folder) == []


def test_the_locks_of_another_machine_are_not_believed_until_it_was_quiet_for_long(folder, monkeypatch):
    with hanging(folder, folder / "x") as process:
        process.kill()
        process.wait()
        with monkeypatch.context() as patched:
            patched.setattr(files, "_machine", lambda: "0" * 8)
            assert files.remove_abandoned(folder) == []
            for path in folder.rglob("*"):
                os.utime(path, (0, 0))
            assert len(files.remove_abandoned(folder)) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has other links")
@pytest.mark.parametrize("ending", ["", ".lock"])
def test_links_that_others_plant_are_not_followed(ending, folder, tmp_path):
    """Everybody may write in the system's folder for temporary files."""
    (tmp_path / "precious").write_text("precious")
    name = f"modelzoo-{files._machine()}-0123456789ab"
    if ending:
        (folder / name).mkdir()
    (folder / f"{name}{ending}").symlink_to(tmp_path / "precious")
    assert files.remove_abandoned(folder) == []
    assert (tmp_path / "precious").read_text() == "precious"


def test_what_is_called_otherwise_is_left_alone(folder):
    names = ["modelzoo-mine", ".out.h5.part", "modelzoo-01234567-0123456789ab.txt", ".out.h5.abc.part"]
    for name in names:
        (folder / name).write_text("")
        os.utime(folder / name, (0, 0))
    assert files.remove_abandoned(folder) == []
    with files.atomic_write(folder / "out.h5") as path:
        path.write_text("x")
    assert left(folder) == sorted([*names, "out.h5"])


def test_an_archive_is_unpacked_where_it_is_removed_later(folder, monkeypatch):
    import io
    import zipfile

    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with zipfile.ZipFile(content := io.BytesIO(), "w") as archive:
        archive.writestr("weights.bin", b"x")
    (folder.parent / "a.zip").write_bytes(content.getvalue())
    with hanging(folder, folder.parent / "x") as process:
        process.kill()
        process.wait()
        with archives.unpacked(folder.parent / "a.zip") as unpacked:
            assert left(folder) == [unpacked.name, f"{unpacked.name}.lock"]
    assert left(folder) == []


def test_a_crc32c_is_as_in_rfc_3720(folder):
    (folder / "x").write_bytes(b"123456789")
    assert files.crc32c(folder / "x") == "e3069283"
    assert files.digests(folder / "x", ("md5", "crc32c")) == {
        "md5": "25f9e794323b453885f5181f1b624d0b",
        "crc32c": "e3069283",
    }


@pytest.mark.parametrize("error", [OSError(22, "Invalid argument"), OSError(38, "Function not implemented")])
def test_where_nothing_can_be_synced_files_are_written_all_the_same(error, folder, monkeypatch):
    def fsync(descriptor):
        raise error

    monkeypatch.setattr(os, "fsync", fsync)
    with files.atomic_write(folder / "x") as path:
        path.write_text("x")
    assert (folder / "x").read_text() == "x"


def test_a_disk_that_fails_gives_no_file_its_name(folder, monkeypatch):
    def fsync(descriptor):
        raise OSError(5, "Input/output error")

    (folder / "x").write_text("before")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="Input/output error"), files.atomic_write(folder / "x") as path:
            path.write_text("after")
    assert (folder / "x").read_text() == "before"
    assert left(folder) == ["x"]
