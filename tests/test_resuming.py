"""A run that is resumed: the same network to the last fact, one process at a time, no row lost."""

from __future__ import annotations

import json
import multiprocessing
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import modelzoo
from modelzoo import bulk, errors, labels, store, weights
from modelzoo.bulk import Execution
from modelzoo.bulk.journal import Journal
from modelzoo.bulk.lock import RunLock
from modelzoo.bulk.rows import Request, rows_of
from modelzoo.images import image_files
from modelzoo.labels import tables
from modelzoo.runtimes import Deployment, compiled
from modelzoo.store import user_files
from modelzoo.tasks import EmbeddingsHead, LabelsHead, pipeline
from tests.conftest import ROOT

IMAGES = 40  # two batches
KILLS = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    make_images(folder, IMAGES)
    return folder


def make_images(folder: Path, count: int) -> None:
    generator = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(generator.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / f"{number:04}.png")


@pytest.fixture
def simple_network(monkeypatch):
    """A network that is loaded at once; its facts are the real ones."""
    network = SimpleNamespace(predict=lambda images: np.full((len(images), 10), 0.1, np.float32))
    monkeypatch.setattr(pipeline, "predictor", lambda *_: network)


@pytest.fixture
def own(tmp_path) -> Path:
    """The bundled weights as a user's file."""
    return Path(shutil.copy(modelzoo.weights_file("resnet9_cifar10"), tmp_path / "own.h5"))


def change(path: Path) -> None:
    """Other weights in the file's place: same names, shapes and size."""
    values = [(name, array * np.float32(1.5)) for name, array in weights.read(path)]
    weights.write(path, values, weights.provenance(path))


def interrupt(folder: Path, output: Path, request: Request) -> None:
    """Leaves a journal with the first batch."""
    with Journal(output, request) as journal:
        named = ((name, name) for name in journal.remaining(image_files(folder)))
        batches = rows_of(request.pipeline(), named)
        journal.append(next(batches))
        batches.close()


# The same network


@pytest.mark.usefixtures("simple_network")
def test_a_run_is_not_resumed_with_other_weights_of_the_same_name(folder, own, tmp_path):
    output, deployment = tmp_path / "out.jsonl", Deployment(weights=own)
    interrupt(folder, output, Request(deployment, LabelsHead()))
    kept = shutil.copy(own, tmp_path / "kept.h5")
    change(own)
    message = r"other settings: weights was 'sha256 \w{64}' and is 'sha256 \w{64}'\. Restore them to resume"
    with pytest.raises(errors.OutputError, match=message):
        bulk.classify_files(folder, output, deployment)
    shutil.copy(kept, own)
    assert bulk.classify_files(folder, output, deployment).resumed == 32


@pytest.mark.usefixtures("simple_network")
def test_the_same_weights_elsewhere_resume(folder, own, tmp_path):
    output = tmp_path / "out.jsonl"
    interrupt(folder, output, Request(Deployment(weights=own), LabelsHead()))
    moved = own.rename(tmp_path / "moved.h5")
    assert bulk.classify_files(folder, output, Deployment(weights=moved)).resumed == 32


def other_labels(monkeypatch):
    read = tables.read
    monkeypatch.setattr(tables, "read", lambda name: (labels.Label("x", "x"), *read(name)[1:]))


CHANGES = {
    "modelzoo": lambda patch: patch.setattr(modelzoo, "__version__", "0.0.0"),
    "pillow": lambda patch: patch.setattr("PIL.__version__", "0.0.0"),
    "runtime": lambda patch: patch.setattr("importlib.metadata.version", lambda name: "0.0.0"),
    "architectures": lambda patch: patch.setattr(compiled, "architectures", lambda: "other"),
    "labels": other_labels,
    "precision": Deployment(precision="bf16"),
    "crops": Deployment(crops=10),
    "fast_decode": Deployment(fast_decode=True),
    "weights": Deployment(weights="synthetic"),
    "model": Deployment("resnet18_v1b", "synthetic"),
    "top": LabelsHead(3),
    "batch_size": LabelsHead(batch_size=8),
    "preprocessing.mean": lambda patch: patch.setattr(LabelsHead, "preprocessing", other_preprocessing),
    "head": EmbeddingsHead(),
}


def other_preprocessing(_head, entry):
    from dataclasses import replace

    return replace(entry.preprocessing, mean=(1.0, 2.0, 3.0))


@pytest.mark.usefixtures("simple_network")
@pytest.mark.parametrize("fact", CHANGES)
def test_whatever_decides_a_row_is_named_when_it_has_changed(fact, folder, tmp_path, monkeypatch):
    changed, deployment, head = CHANGES[fact], Deployment(), LabelsHead()
    output = tmp_path / "out.parquet"
    pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed")
    interrupt(folder, output, Request(deployment, head))
    if callable(changed):
        changed(monkeypatch)
    elif isinstance(changed, Deployment):
        deployment = changed
    else:
        head = changed
    with (
        pytest.raises(errors.OutputError, match=rf"[:;,] {fact} was .* and is "),
        Journal(output, Request(deployment, head)),
    ):
        pass


@pytest.mark.usefixtures("simple_network")
def test_random_weights_start_over(folder, tmp_path):
    output, deployment = tmp_path / "out.jsonl", Deployment(weights=None)
    interrupt(folder, output, Request(deployment, LabelsHead()))
    assert bulk.classify_files(folder, output, deployment).resumed == 0
    with pytest.raises(ValueError, match="others in every worker"):
        bulk.classify_files(folder, output, deployment, execution=Execution("ray"))


@pytest.mark.usefixtures("simple_network")
@pytest.mark.parametrize("content", [b"something else\n", b'{"model": 5}\n', b"[]\n", b'{"top": 5}\nrow\n'])
def test_a_file_in_the_journals_place_is_kept(content, folder, tmp_path):
    (tmp_path / "out.jsonl.unfinished").write_bytes(content)
    with pytest.raises(errors.OutputError, match=r"remove it"):
        bulk.classify_files(folder, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl.unfinished").read_bytes() == content


def test_weights_that_change_while_they_are_loaded_are_noticed(folder, own, tmp_path, monkeypatch):
    """The journal has read them before the network does; a worker of Ray has others of the same path."""
    network = SimpleNamespace(predict=lambda images: np.full((len(images), 10), 0.1, np.float32))
    monkeypatch.setattr(pipeline, "predictor", lambda *_: (change(own), network)[1])
    with pytest.raises(errors.OutputError, match="not what the run began with: weights was"):
        bulk.classify_files(folder, tmp_path / "out.jsonl", Deployment(weights=own))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.h5"]


@pytest.mark.parametrize("part", ["model.ckpt.index", "model.ckpt.data-00000-of-00001"])
def test_a_checkpoint_that_was_replaced_is_another(part, tmp_path):
    """By its prefix, too, which is no file: for compiled networks (the content) and journals (the digest)."""
    for name in ("model.ckpt.index", "model.ckpt.data-00000-of-00001", "other.ckpt.index"):
        (tmp_path / name).write_bytes(b"1")
    paths = (tmp_path, tmp_path / "model.ckpt", tmp_path / "model.ckpt.index")
    entry = modelzoo.info("resnet_v2_50.slim")
    before = [(store.locate(entry, path).content, user_files.digest(path)) for path in paths]
    (tmp_path / part).write_bytes(b"22")
    for path, facts in zip(paths, before, strict=True):
        for old, new in zip(facts, (store.locate(entry, path).content, user_files.digest(path)), strict=True):
            assert old != new
    before = user_files.digest(tmp_path / "model.ckpt")
    (tmp_path / "other.ckpt.index").write_bytes(b"22")
    assert user_files.digest(tmp_path / "model.ckpt") == before


# One process at a time


def contend(path: Path, seconds: float, results) -> None:
    """Takes the lock as often as it can; counts how often somebody else was inside, too."""
    taken = overlaps = 0
    inside = path.with_suffix(".inside")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        lock = RunLock(path)
        if not lock.acquire():
            continue
        try:
            with inside.open("x"):
                taken += 1
            inside.unlink()
        except FileExistsError:
            overlaps += 1
        lock.release()
    results.put((taken, overlaps))


def test_the_lock_is_never_held_twice(tmp_path):
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    results = context.SimpleQueue()
    processes = [context.Process(target=contend, args=(tmp_path / "lock", 3, results)) for _ in range(4)]
    for process in processes:
        process.start()
    counts = [results.get() for _ in processes]
    for process in processes:
        process.join()
    assert sum(taken for taken, _ in counts) > 100
    assert sum(overlaps for _, overlaps in counts) == 0
    assert list(tmp_path.iterdir()) == []


def test_who_had_opened_the_lock_before_it_was_removed_looks_again(tmp_path, monkeypatch):
    """In a lock that is released first, the second and the third would hold one file each."""
    if sys.platform == "win32":
        pytest.skip("Windows removes no file that is open")
    from modelzoo.bulk import lock as module

    first, second, third = (RunLock(tmp_path / "lock") for _ in range(3))
    assert first.acquire()
    locked, opened = module._locked, []

    def late(file: int) -> bool:
        if not opened:
            opened.append(file)
            first.release()
            assert third.acquire()
        return locked(file)

    monkeypatch.setattr(module, "_locked", late)
    assert not second.acquire()
    third.release()
    assert second.acquire()
    second.release()
    assert list(tmp_path.iterdir()) == []


# Kills


def replace_by(link: Path, weights: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(weights)


def rows_in(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") - 1 if journal.is_file() else 0


def kill_and_resume(folder: Path, own: Path, output: Path, kills: int, seed: int = 0) -> dict[str, int]:
    """Kills a run at random moments and resumes it; between two kills the weights are sometimes replaced.

    Returns how often the run was killed, killed with rows in its journal, refused for other weights, and
    finished. Each finished output has the bytes of a run that nothing interrupted.
    """
    chance, counts = random.Random(seed), {"killed": 0, "with rows": 0, "refused": 0, "finished": 0}
    command = [*map(str, (sys.executable, "-m", "modelzoo", "classify", folder, "-o", output, "-w", own))]
    journal = output.with_name(f"{output.name}.unfinished")
    kept = own.rename(own.with_name("kept.h5"))
    other = Path(shutil.copy(kept, own.with_name("other.h5")))
    change(other)
    replace_by(own, kept)
    longest = 0.0
    for _ in range(2):  # the first also compiles the network
        started = time.monotonic()
        whole = subprocess.run(command, cwd=ROOT, capture_output=True)
        longest = time.monotonic() - started
        assert whole.returncode == 0, whole.stderr
    expected = output.read_bytes()
    output.unlink()
    while counts["killed"] < kills:
        replaced = chance.random() < 0.3 and rows_in(journal) > 0
        replace_by(own, other if replaced else kept)
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            process.wait(None if replaced else longest * chance.uniform(0.2, 1.1))
        except subprocess.TimeoutExpired:
            process.kill()
            counts["killed"] += 1
            counts["with rows"] += rows_in(journal) > 0
        _, said = process.communicate()
        if replaced:
            assert b"weights was 'sha256" in said, said
            counts["refused"] += 1
        elif process.returncode == 0:
            assert output.read_bytes() == expected
            output.unlink()
            counts["finished"] += 1
    replace_by(own, kept)
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0
    assert output.read_bytes() == expected
    # What a kill in the middle of the last step leaves is for atomic_write to remove.
    assert [path.name for path in output.parent.iterdir() if path.suffix != ".part"] == [output.name]
    return counts


@pytest.mark.skipif(sys.platform == "win32", reason="links need permission there")
def test_a_run_killed_again_and_again_loses_and_mixes_nothing(own, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "out").mkdir()
    make_images(tmp_path / "images", 1000)
    counts = kill_and_resume(tmp_path / "images", own, tmp_path / "out" / "out.jsonl", KILLS)
    assert counts["killed"] == KILLS
    rows = [json.loads(line) for line in (tmp_path / "out" / "out.jsonl").read_text().splitlines()]
    assert [Path(row["image"]).name for row in rows] == [f"{number:04}.png" for number in range(1000)]
