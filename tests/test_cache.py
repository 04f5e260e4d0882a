"""The cache: whole files or none, for any number of processes, writable or not, with or without a network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

import modelzoo
from modelzoo import cli, settings, store
from modelzoo.architectures import synthetic
from modelzoo.errors import WeightsUnavailable
from modelzoo.store import cache as weight_cache
from tests import unprivileged
from tests.conftest import CAT, ROOT
from tests.serving import CUSTOM, custom_registry, served, write_synthetic

PROCESSES = 16

CANNOT_EXECUTE = 126  # the exit code of programs that start others, such as setpriv


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory):
    """The weight file of the custom model."""
    return write_synthetic(tmp_path_factory.mktemp("tiny") / "tiny.h5", CUSTOM, like="resnet9_cifar10")


@pytest.fixture
def host(tiny_file, tmp_path, monkeypatch):
    """A server with the file, and MODELZOO_REGISTRY with the model."""
    (tmp_path / "host").mkdir()
    shutil.copy(tiny_file, tmp_path / "host" / "tiny.h5")
    with served(tmp_path / "host") as server:
        path = custom_registry(tmp_path / "registry.json", tiny_file, f"{server.url}/tiny.h5")
        monkeypatch.setenv(settings.REGISTRY, str(path))
        yield server


@pytest.fixture
def cached(host):
    """The file in the cache."""
    return modelzoo.weights_file(CUSTOM)


def files(folder: Path, ending: str = "*") -> list[Path]:
    return [p for p in folder.rglob(ending) if p.is_file() and p.suffix != ".lock"]


def flip(path: Path) -> None:
    """Damage without a change of size, in the part that says what the file holds."""
    content = bytearray(path.read_bytes())
    content[100:4000] = bytes(3900)
    path.write_bytes(content)


def start(code: str, *, prefix=(), **options) -> subprocess.Popen:
    command = [*prefix, sys.executable, "-W", "error", "-c", code]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def test_a_file_is_named_by_its_content_and_its_pointer_says_the_rest(cached, host, cache):
    assert cached.name.startswith(f"{CUSTOM}-") and cached.suffix == ".h5"  # noqa: PT018
    pointer = json.loads((cache / "models" / f"{CUSTOM}.json").read_text())
    assert cached.stem.removeprefix(f"{CUSTOM}-") == pointer["sha256"][:16]
    assert pointer["source"] == f"{host.url}/tiny.h5"
    assert pointer["trust"] == store.trust(modelzoo.info(CUSTOM)) == "published sha256"
    assert sorted(files(cache)) == sorted([cached, cache / "models" / f"{CUSTOM}.json"])


def test_sixteen_processes_at_once_download_once(host, cache):
    code = f"import modelzoo; print(modelzoo.weights_file({CUSTOM!r}))"
    processes = [start(code) for _ in range(PROCESSES)]
    answers = [process.communicate() for process in processes]
    assert {out.strip() for out, _ in answers} == {str(next(cache.glob("weights/*.h5")))}
    assert host.asked == ["/tiny.h5"]


def test_where_locks_do_nothing_the_work_is_only_done_twice(host, tiny_file, monkeypatch):
    monkeypatch.setattr(weight_cache, "lock", lambda name: nullcontext())
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(modelzoo.weights_file(CUSTOM).read_bytes()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tiny_file.read_bytes()] * 4


@pytest.mark.parametrize("step", range(1, 7))
def test_a_process_that_dies_at_any_step_leaves_the_whole_file_or_none(step, host, tiny_file, monkeypatch):
    """The steps are the renames and links by which files come to their places."""
    steps = iter(range(1, 100))

    def dying(*arguments, replace=os.replace):
        if next(steps) == step:
            raise KeyboardInterrupt
        replace(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", dying)
        try:
            modelzoo.weights_file(CUSTOM)
        except KeyboardInterrupt:
            found = weight_cache.find(CUSTOM)
            assert found is None or found.path.read_bytes() == tiny_file.read_bytes()
    assert modelzoo.weights_file(CUSTOM).read_bytes() == tiny_file.read_bytes()


DAMAGES = {
    "truncated": lambda path: os.truncate(path, 1000),
    "empty": lambda path: os.truncate(path, 0),
    "not HDF5": lambda path: path.write_bytes(b"x" * path.stat().st_size),
    "of another size": lambda path: path.write_bytes(path.read_bytes() + b"x"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_quarantined_and_downloaded_again(damage, cached, tiny_file, caplog):
    DAMAGES[damage](cached)
    assert modelzoo.weights_file(CUSTOM) == cached
    assert cached.read_bytes() == tiny_file.read_bytes()
    assert cached.with_name(cached.name + ".damaged").exists()
    assert caplog.messages == [f"{cached} is damaged; it is now {cached.name}.damaged"]


def test_damage_that_only_loading_finds_is_repaired_too(cached, tiny_file):
    flip(cached)
    kernel = modelzoo.load(CUSTOM).get_layer("stem_conv").kernel.numpy()
    assert np.array_equal(kernel, synthetic.array("stem_conv/kernel", kernel.shape))
    assert cached.read_bytes() == tiny_file.read_bytes()


def test_a_pointer_that_is_damaged_is_no_pointer(cached, host, cache):
    sound = json.loads((cache / "models" / f"{CUSTOM}.json").read_text())
    wrong = ({"sha256": "../../x"}, {"bytes": True}, {"source": 3}, {"trust": None}, {"odd": 1})
    for text in ("", "[]", "{}", "[" * 100_000, *(json.dumps(sound | change) for change in wrong)):
        (cache / "models" / f"{CUSTOM}.json").write_text(text)
        assert weight_cache.find(CUSTOM) is None
        assert modelzoo.weights_file(CUSTOM) == cached


def test_verify_finds_a_flipped_bit_and_the_next_use_downloads_the_file_again(cached, tiny_file, capfd):
    assert cli.main(["cache", "verify"]) == 0
    content = bytearray(cached.read_bytes())
    content[-1] ^= 1
    cached.write_bytes(content)
    assert cli.main(["cache", "verify", "--json"]) == 1
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["moved"] == f"{cached}.damaged"
    assert modelzoo.weights_file(CUSTOM).read_bytes() == tiny_file.read_bytes()


def test_list_states_size_source_trust_and_last_use(cached, capfd):
    os.utime(weight_cache.find(CUSTOM).pointer_path, (0, 0))
    modelzoo.weights_file(CUSTOM)
    cli.main(["cache", "--json"])
    (facts,) = json.loads(capfd.readouterr().out)
    assert (facts["model"], facts["path"], facts["bytes"]) == (CUSTOM, str(cached), cached.stat().st_size)
    assert facts["trust"] == "published sha256"
    assert not facts["last_use"].startswith("1970")
    cli.main(["cache"])
    assert "published sha256" in capfd.readouterr().out


def test_remove_leaves_nothing(cached, cache):
    assert cli.main(["cache", "remove", CUSTOM]) == 0
    assert files(cache) == []


def test_prune_removes_what_nobody_needs_and_nothing_else(cached, cache, capfd):
    pointer = weight_cache.find(CUSTOM).pointer_path
    (cache / "downloads" / "abc").mkdir(parents=True)
    useless = [
        cache / "weights" / f"{CUSTOM}-0123456789abcdef.h5",
        cache / "weights" / f".{cached.name}.abc.part",
        cache / "downloads" / "abc" / ".archive.tar.gz.part",
        cache / "weights" / "x.h5.damaged",
    ]
    busy = cache / "weights" / f".{cached.name}.def.part"
    for path in (*useless, busy):
        path.write_bytes(b"x" * 1000)
    for path in useless[:3]:
        os.utime(path, (0, 0))
    os.utime(cache / "downloads" / "abc", (0, 0))
    assert cli.main(["cache", "prune", "--json"]) == 0
    assert sorted(files(cache)) == sorted([cached, pointer, busy])
    removed = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [r["bytes"] for r in removed] == [1000] * 4


def test_prune_removes_models_that_were_long_not_used(cached, cache):
    cli.main(["cache", "prune", "--older-than", "30"])
    assert cached.exists()
    long_ago = time.time() - 31 * 24 * 3600
    os.utime(weight_cache.find(CUSTOM).pointer_path, (long_ago, long_ago))
    cli.main(["cache", "prune", "--older-than", "30"])
    assert files(cache) == []


def test_every_root_is_read_and_only_the_first_written_to(cached, host, cache, tmp_path, monkeypatch):
    first = tmp_path / "first"
    monkeypatch.setenv(settings.CACHE, f"{first}{os.pathsep}{cache}")
    assert modelzoo.weights_file(CUSTOM) == cached
    assert not first.exists()
    os.truncate(cached, 10)
    with pytest.MonkeyPatch.context() as patched:  # as in a root that is not ours to change
        patched.setattr(weight_cache, "quarantine", lambda cached: None)
        assert modelzoo.weights_file(CUSTOM).is_relative_to(first)
    assert cached.stat().st_size == 10
    assert modelzoo.weights_file(CUSTOM).is_relative_to(first)


def test_the_first_root_is_preferred(cached, cache, tmp_path, monkeypatch):
    shutil.copytree(cache, tmp_path / "copy")
    monkeypatch.setenv(settings.CACHE, f"{tmp_path / 'copy'}{os.pathsep}{cache}")
    assert modelzoo.weights_file(CUSTOM).is_relative_to(tmp_path / "copy")


def test_a_cache_that_cannot_be_written_says_what_to_set(host, cache, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(settings.CACHE, str(tmp_path / "file" / "cache"))
    with pytest.raises(
        WeightsUnavailable, match=r"Nothing can be written to the cache .*: set MODELZOO_CACHE"
    ):
        modelzoo.weights_file(CUSTOM)


def test_without_a_home_the_bundled_model_loads_and_others_say_what_to_set(monkeypatch, capfd):
    import platformdirs

    monkeypatch.delenv(settings.CACHE)
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *arguments: "~/.cache/modelzoo")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user id without a name
    assert modelzoo.weights_file("resnet9_cifar10").is_file()
    assert cli.main(["list"]) == cli.main(["cache"]) == cli.main(["cache", "path"]) == 0
    with pytest.raises(
        WeightsUnavailable, match="no home folder for a cache: set MODELZOO_CACHE to a folder"
    ):
        modelzoo.weights_file("resnet18_v1b")


def test_offline_what_is_cached_works_and_the_rest_is_one_sentence(cached, cache, monkeypatch, capfd):
    monkeypatch.setenv("MODELZOO_OFFLINE", "1")
    assert modelzoo.weights_file(CUSTOM) == cached
    shutil.rmtree(cache)
    assert cli.main(["download", CUSTOM]) == 1
    error = capfd.readouterr().err
    assert "MODELZOO_OFFLINE is set, so that nothing is downloaded" in error
    assert error.count("\n") == 1
    assert "http" not in error


SILENT = """
import sys
def refuse(event, arguments):
    if event.startswith("socket."):  # each is created, and each name is looked up, with such an event
        raise AssertionError(event)
sys.addaudithook(refuse)
import modelzoo
from modelzoo.cli import main
path = modelzoo.weights_file("tiny.team")
assert modelzoo.load("tiny.team").name == "tiny_team"
assert modelzoo.load("tiny.team", include_top=False).name == "tiny_team"
for command in COMMANDS:
    assert main(command) == 0, command
try:
    open(path.parent / "new", "w").close()
    print("writable")
except PermissionError:
    print("read-only")
"""
COMMANDS = [
    ["classify", str(CAT), "-m", CUSTOM],
    ["list"],
    ["info", CUSTOM],
    ["verify", CUSTOM, "resnet9_cifar10"],
    ["download", CUSTOM],
    ["cache", "list"],
    ["cache", "path"],
    ["cache", "verify"],
]


def read_only(folder: Path) -> tuple[str, ...]:
    """Takes the right to write to a folder from everybody; returns what to start a process with."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return unprivileged.prefix()


@pytest.mark.parametrize("kind", ["writable", "read-only"])
def test_with_a_warm_cache_no_socket_is_opened(kind, cached, cache):
    prefix = read_only(cache) if kind == "read-only" else ()
    process = start(f"COMMANDS = {COMMANDS}\n{SILENT}", prefix=prefix)
    out, err = process.communicate()
    for path in (cache, *cache.rglob("*")):
        path.chmod(0o755)
    assert process.returncode == 0, err
    assert out.splitlines()[-1] == kind
    assert f"{CUSTOM}: sound" in out


def test_a_cache_that_is_only_read_says_what_to_set_when_a_network_was_compiled(cached, cache):
    """Or else every start would take that long, without a word."""
    read_only(cache)
    arguments = ["classify", str(CAT), "-m", CUSTOM]
    process = unprivileged.run(f"import sys; from modelzoo import cli; sys.exit(cli.main({arguments}))")
    for path in (cache, *cache.rglob("*")):
        path.chmod(0o755)
    assert process.returncode == 0, process.stderr
    (line,) = [line for line in process.stderr.splitlines() if "cannot be kept" in line]
    assert "so that every start compiles it again" in line
    assert f"Nothing can be written to the cache {cache}: set MODELZOO_CACHE to a folder" in line
    assert line.endswith(f" MODELZOO_CACHE=FOLDER{os.pathsep}{cache} writes to FOLDER and reads from both.")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can become a user without a name")
def test_a_user_without_a_name_and_a_home_can_list_and_classify(tmp_path):
    """As in `docker run -u 23456`."""
    commands = [
        ["list"],
        ["info", "resnet50_v1d"],
        ["cache", "list"],
        ["cache", "path"],
        ["cache", "verify"],
        ["cache", "prune"],
        ["classify", str(CAT)],
    ]
    code = f"import sys\nfrom modelzoo import cli\nsys.exit(max(cli.main(command) for command in {commands}))"
    words = ("setpriv", "--reuid", "23456", "--regid", "23456", "--clear-groups")
    without = dict.fromkeys(("HOME", "XDG_CACHE_HOME", settings.CACHE, "USER", "LOGNAME"))
    process = unprivileged.run(code, *words, PYTHONDONTWRITEBYTECODE="1", **without)
    if process.returncode == CANNOT_EXECUTE:
        pytest.skip("another user may not run this interpreter: its folder is private")
    assert process.returncode == 0, process.stderr
    assert "cat" in process.stdout
    assert "Traceback" not in process.stderr
    (line,) = [line for line in process.stderr.splitlines() if "cannot be kept" in line]
    assert "This user has no home folder for a cache: set MODELZOO_CACHE to a folder" in line
