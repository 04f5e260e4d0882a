"""Kills fine-tunings at random moments, and resumes them: are the weights those of one that nobody stopped?

python -m tests.kills_finetuning 20
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from multiprocessing import forkserver
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")  # imports what takes long only once
PRELOADED = ["keras", "openvino", "filelock", "modelzoo.training.finetuning", "tests.kills_finetuning"]


def train(folder: Path, output: Path) -> None:
    from modelzoo.training import TrainingOptions, finetune

    options = TrainingOptions(epochs=15, batch_size=8, seed=3)
    finetune(folder / "train", "resnet9_cifar10", output, test=folder / "test", options=options)


def started(folder: Path, output: Path) -> multiprocessing.Process:
    process = CONTEXT.Process(target=train, args=(folder, output))
    process.start()
    return process


def digest(output: Path) -> str:
    from modelzoo import files, registry

    return files.sha256(registry.info(output).weights_path)


def killed_once(folder: Path, output: Path, after: float) -> tuple[str, int] | None:
    """The weights' digest after a kill and a resumption, how many epochs the kill left; None: too late."""
    from modelzoo.training import checkpoints

    process = started(folder, output)
    time.sleep(after)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    if process.exitcode != -signal.SIGKILL:
        return None
    found = checkpoints.load(output.with_name(output.name + ".run") / "work/training/checkpoint.safetensors")
    again = started(folder, output)
    again.join()
    return digest(output), 0 if found is None else len(found[1]["done"])


def main(times: int) -> None:
    from tests.test_finetuning import make_images

    forkserver.set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        os.environ |= {"MODELZOO_CACHE": str(place / "cache"), "TF_CPP_MIN_LOG_LEVEL": "3"}
        make_images(place / "train", 24)
        make_images(place / "test", 5, seed=1)
        for number in range(2):  # the first one compiles
            start = time.perf_counter()
            started(place, place / f"whole{number}" / "colors").join()
            length = time.perf_counter() - start
        expected, again = (digest(place / f"whole{number}" / "colors") for number in range(2))
        print(
            f"uninterrupted: {length:.1f} s, twice the same: {again == expected}",
            flush=True,
        )
        same = number = 0
        while number < times:
            after = random.uniform(0, length)
            killed = killed_once(place, place / f"killed{number}" / "colors", after)
            if killed is None:
                shutil.rmtree(place / f"killed{number}")
                continue
            found, left = killed
            number += 1
            same += found == expected
            print(
                f"killed after {after:.2f} s, {left} epochs done: {'same' if found == expected else 'OTHER'}",
                flush=True,
            )
        print(f"{same} of {times} have the same weights, bit for bit")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
