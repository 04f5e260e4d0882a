"""One run of libFuzzer over one target; it ends at the first finding, and __main__ starts the next.

Arguments: the target, then libFuzzer's own.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from random import Random

import atheris

from tests.fuzz.mutations import mutate

COVERED = ["modelzoo.formats", "modelzoo.images", "modelzoo.importers", "modelzoo.weights"]
MAX_MORE_BYTES = 2**27  # of address space, beyond what the imports take


def main(name: str, *options: str) -> None:
    with atheris.instrument_imports(include=COVERED):
        from tests.fuzz import targets

    target = targets.TARGETS[name]
    with tempfile.TemporaryDirectory(dir=_memory_disk()) as folder:
        for seed in target.seeds():  # what is imported on first use is neither timed nor counted
            with contextlib.suppress(AssertionError):
                targets.attempt(target, seed, Path(folder))
        _limit_memory()

        def one(content: bytes) -> None:
            targets.attempt(target, content, Path(folder))

        def changed(content: bytes, max_size: int, seed: int) -> bytes:
            random = Random(seed)
            content = mutate(content, random) if random.random() < 0.7 else atheris.Mutate(content, max_size)
            if target.repair is not None and random.random() < 0.9:
                content = target.repair(content)
            return content[:max_size]

        atheris.Setup(["fuzz", *options], one, custom_mutator=changed)
        atheris.Fuzz()


def _limit_memory() -> None:
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MAX_MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _memory_disk() -> str | None:
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


if __name__ == "__main__":
    main(*sys.argv[1:])
