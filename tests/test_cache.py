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
from modelzoo import cache as store
from modelzoo import cli, pretrained, registry, synthetic
from modelzoo.errors import WeightsUnavailable
from tests.conftest import CAT, ROOT
from tests.serving import OWN, own_registry, served, write_synthetic

PROCESSES = 16


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory):
    """Our file of the team's own model."""
    return write_synthetic(tmp_path_factory.mktemp("tiny") / "tiny.h5", OWN, like="resnet9_cifar10")


@pytest.fixture
def host(tiny_file, tmp_path, monkeypatch):
    """A server with the file, and MODELZOO_REGISTRY with the model."""
    (tmp_path / "host").mkdir()
    shutil.copy(tiny_file, tmp_path / "host" / "tiny.h5")
    with served(tmp_path / "host") as server:
        path = own_registry(tmp_path / "registry.json", tiny_file, f"{server.url}/tiny.h5")
        monkeypatch.setenv(registry.OWN, str(path))
        yield server


@pytest.fixture
def held(host):
    """The file in the cache."""
    return modelzoo.weights_file(OWN)


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


def test_a_file_is_named_by_its_content_and_its_pointer_says_the_rest(held, host, cache):
    assert held.name.startswith(f"{OWN}-") and held.suffix == ".h5"  # noqa: PT018
    pointer = json.loads((cache / "models" / f"{OWN}.json").read_text())
    assert held.stem.removeprefix(f"{OWN}-") == pointer["sha256"][:16]
    assert pointer["source"] == f"{host.url}/tiny.h5"
    assert pointer["trust"] == pretrained.trust(modelzoo.info(OWN)) == "published sha256"
    assert sorted(files(cache)) == sorted([held, cache / "models" / f"{OWN}.json"])


def test_sixteen_processes_at_once_fetch_once(host, cache):
    code = f"import modelzoo; print(modelzoo.weights_file({OWN!r}))"
    processes = [start(code) for _ in range(PROCESSES)]
    answers = [process.communicate() for process in processes]
    assert {out.strip() for out, _ in answers} == {str(next(cache.glob("weights/*.h5")))}
    assert host.asked == ["/tiny.h5"]


def test_where_locks_do_nothing_the_work_is_only_done_twice(host, tiny_file, monkeypatch):
    monkeypatch.setattr(store, "lock", lambda name: nullcontext())
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(modelzoo.weights_file(OWN).read_bytes()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tiny_file.read_bytes()] * 4
