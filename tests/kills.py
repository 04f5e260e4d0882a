"""Kills processes at any step while they add, convert, download and compile, and looks at what they leave.

    python -m tests.kills 20

kills as many of each kind, each at another step, and prints for each kind how many bytes a kill left, how
many there still were after another command and after the same one, and how often something was lost.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

MODEL = "mobilenet_v1_0.25_128.slim"  # a small one
GLUON = "resnet18_v1b.gluon"  # one whose upstream format can be written
STEPS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.copyfile", "shutil.rmtree")
CONTEXT = multiprocessing.get_context("forkserver")  # imports what takes long only once
PRELOADED = ["keras", "openvino", "filelock", "modelzoo.conversion", "modelzoo.store", "tests.kills"]


@dataclass(frozen=True)
class Place:
    """Where a test works: its folders, and the files that are given to commands."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        return self.folder / name

    def settle(self) -> None:
        """Sets the cache, the mirror and the temporary folder for this process and its children."""
        from modelzoo import settings

        os.environ |= {settings.CACHE: str(self.cache), settings.MIRROR: str(self.mirror)}
        tempfile.tempdir = str(self.temporary)
        for path in (self.cache, self.temporary, self.output):
            path.mkdir(exist_ok=True)


def add(place: Place) -> None:
    from modelzoo import store

    store.add(MODEL, next(place.mirror.glob(f"{MODEL}-[0-9a-f]*.h5")))


def add_archive(place: Place) -> None:
    """The upstream's file, which is unpacked and converted."""
    from modelzoo import registry, store

    with zipfile.ZipFile(place.temporary / "a.zip", "w") as archive:
        archive.write(place.upstream, registry.info(GLUON).sources[0].member)
    entry = registry.info(GLUON)
    with store.cache.lock(entry.key), store.cache.temporary_directory() as folder:
        store.convert(entry, place.temporary / "a.zip", folder / "weights.h5")
        store.cache.keep(folder / "weights.h5", entry.key, source="a.zip", trust="added by hand")


def convert(place: Place) -> None:
    """What `modelzoo convert` does with a user's file and a target of the user's."""
    from modelzoo import registry, store

    store.convert(registry.info(GLUON), place.upstream, place.output / "out.h5")


def load(place: Place) -> None:
    """A user's file of the upstream's format, converted for as long as it is loaded."""
    from modelzoo import registry, store

    with store.locate(registry.info(GLUON), place.upstream).file():
        pass


def download(place: Place) -> None:
    from modelzoo import store

    store.weights_file(MODEL)


def compile(place: Place) -> None:
    """The runtime's part aside, which writes nothing."""
    from modelzoo import registry, store
    from modelzoo.runtimes import compiled

    name = store.checked(store.locate(registry.info(MODEL))).name
    compiled.keep(compiled.Key(name, "{}"), lambda file: file.write(bytes(5_000_000)), None)


KINDS: dict[str, Callable[[Place], None]] = {
    kind.__name__: kind for kind in (add, add_archive, convert, load, download, compile)
}


def run(kind: str, folder: Path, step: int, counted: Any) -> None:
    """In a process of its own: does the work, and dies at its step that touches files in the folder."""
    place = Place(folder)
    place.settle()
    inside = str(folder)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in STEPS and any(str(argument).startswith(inside) for argument in arguments[:2]):
            counted.value += 1
            if counted.value == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    KINDS[kind](place)


@dataclass
class Outcome:
    """The bytes that killed processes left: at once, after another command, after the same; what was lost."""

    kills: int = 0
    after_kill: list[int] = field(default_factory=list)
    after_any: list[int] = field(default_factory=list)
    after_same: list[int] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kill, any_, same = (
            max(found, default=0) for found in (self.after_kill, self.after_any, self.after_same)
        )
        return (
            f"{self.kills} killed; one left at most {kill:,} bytes, after another command {any_:,}, "
            f"after the same {same:,}; lost or damaged: {len(self.lost)}"
        )


def prepare(folder: Path) -> Place:
    """Makes the mirror and the upstream's file."""
    from scripts.convert import publish
    from tests.test_conversion import GLUON as ENTRY
    from tests.test_conversion import upstream_arrays, write_params

    CONTEXT.set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()  # while the folder for temporary files is still another
    place = Place(folder)
    publish.main([MODEL, "--synthetic", "-o", str(place.mirror)])
    write_params(place.upstream, upstream_arrays(ENTRY))
    place.settle()
    return place


def killed(kind: str, place: Place, count: int) -> Outcome:
    """Kills a process of the kind at `count` steps of all that it takes."""
    outcome = Outcome()

    def child(step: int) -> int:
        counted = CONTEXT.Value("i", 0, lock=False)
        process = CONTEXT.Process(target=run, args=(kind, place.folder, step, counted))
        process.start()
        process.join()
        outcome.kills += process.exitcode == -signal.SIGKILL
        if process.exitcode not in (0, -signal.SIGKILL):
            outcome.lost.append(f"{kind} ended with {process.exitcode}")
        return counted.value

    steps = child(-1)
    for step in sorted(random.Random(kind).sample(range(1, steps + 1), min(count, steps))):
        forget(place)
        child(step)
        outcome.after_kill.append(left_behind(place))
        another_command()
        outcome.after_any.append(left_behind(place))
        outcome.lost += unsound()
        child(-1)
        outcome.after_same.append(left_behind(place))
        outcome.lost += unsound()
    forget(place)
    return outcome


def forget(place: Place) -> None:
    """An empty cache."""
    for folder in (place.cache, place.output, place.temporary):
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


def another_command() -> None:
    from modelzoo import registry, store

    store.locate(registry.info("resnet9_cifar10"))


def left_behind(place: Place) -> int:
    """The bytes of all that nobody will use: everything but what is kept, and the user's own archive."""
    from modelzoo.store import cache

    kept = {path for cached in cache.everything() for path in (cached.path, cached.pointer_path)}
    kept |= {*place.cache.glob("compiled/[!.]*"), place.output / "out.h5", place.temporary / "a.zip"}
    found = [path for folder in (place.cache, place.temporary, place.output) for path in folder.rglob("*")]
    return sum(path.stat().st_size for path in found if path.is_file() and path not in kept)


def unsound() -> list[str]:
    """What the cache says that it has, and has not, or has otherwise."""
    from modelzoo.runtimes import compiled
    from modelzoo.store import cache, integrity

    found = [str(c.path) for c in cache.everything() if integrity.condition(c, thorough=True) != "sound"]
    return found + [str(path) for path in compiled.everything() if not compiled.is_sound(path)]


def main(count: int) -> None:
    from tests import kills  # children look for what they run in the module of this name

    with tempfile.TemporaryDirectory() as folder:
        place = kills.prepare(Path(folder))
        for kind in KINDS:
            print(f"{kind}: {kills.killed(kind, place, count)}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
