"""How fast this checkout is beside another one: the same public commands, whole processes that take turns.

    python -m benchmarks.against OTHER_CHECKOUT [--rounds 7] [--images 500] [--only NAME ...] [--json FILE]

This interpreter runs both, each with its own code, its own cache, and synthetic weights that its own scripts
wrote. Every program has run once before, so that networks are compiled. A ratio is the seconds of this
checkout by those of the other in the same round: below 1, this one is faster.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import measuring

MODEL = "resnet101"
LOADED = (MODEL, "densenet201", "vgg19")
BULK_SHARE = 10  # of the images, one in so many is classified by MODEL, too
LOADS = 3  # in one process, after the first
# Seconds of the first load() in a process, which also starts TensorFlow, and the median of those after it.
LOAD = f"""
import gc, json, statistics, sys, time
import keras
import modelzoo
with open(modelzoo.weights_file(sys.argv[1]), "rb") as file:
    while file.read(1 << 24):  # so that the disk is not what is measured
        pass
seconds = []
for _ in range({LOADS} + 1):
    keras.backend.clear_session()
    gc.collect()
    start = time.perf_counter()
    modelzoo.load(sys.argv[1])
    seconds.append(time.perf_counter() - start)
print(json.dumps({{"first": seconds[0], "again": statistics.median(seconds[1:])}}))
"""
FETCH = "import sys, modelzoo; [modelzoo.weights_file(name) for name in sys.argv[1:]]"
WHERE = "import modelzoo; print(modelzoo.__file__)"
SIDES = ("this", "other")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("other", type=Path, metavar="OTHER_CHECKOUT")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=500, help="in the folder that is classified")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="programs whose names contain one of these")
    measuring.main(parser, measure, text)


@dataclass(frozen=True)
class Checkout:
    """One of the two: where its code is, and the folder for its cache, its mirror and what it writes."""

    root: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """With nothing of modelzoo's that the caller may have set."""
        ours = measuring.environment(
            PYTHONPATH=str(self.root),
            MODELZOO_CACHE=str(self.folder / "cache"),
            MODELZOO_MIRROR=str(self.folder / "mirror"),
        )
        kept = ("MODELZOO_CACHE", "MODELZOO_MIRROR")
        return {name: value for name, value in ours.items() if name in kept or "MODELZOO" not in name}

    def run(self, command: list[str]) -> dict[str, Any]:
        return measuring.whole_process(command, self.environment, self.root)

    def prepare(self, models: list[str]) -> None:
        """Fills the cache with the models' synthetic weights, by this checkout's own script."""
        found = Path(self.run([sys.executable, "-c", WHERE])["output"].strip()).resolve()
        if self.root not in found.parents:
            raise SystemExit(f"Expected the modelzoo of {self.root}, got that of {found.parent}.")
        if not models:
            return
        is_package = (self.root / "scripts" / "__init__.py").exists()
        script = ["-m", "scripts.convert.publish"] if is_package else ["scripts/convert/publish.py"]
        mirror = str(self.folder / "mirror")
        self.run([sys.executable, *script, *models, "--synthetic", "-o", mirror])
        self.run([sys.executable, "-c", FETCH, *models])


def measure(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="modelzoo-against-") as place:
        folder = Path(place)
        roots = {"this": checkout(measuring.ROOT), "other": checkout(options.other)}
        programs = chosen(commands(folder, options.images), options.only)
        models = [name for name in LOADED if any(name in command for command in programs.values())]
        make_folders(folder, options.images)
        sides = {}
        for side in SIDES:
            (folder / side).mkdir()
            sides[side] = Checkout(roots[side], folder / side)
            sides[side].prepare(models)
        seconds: dict[str, dict[str, list[float]]] = {}
        for name, command in programs.items():
            found = of_program(name, command, sides, options.rounds)
            seconds |= found
            print(
                *(f"{row}: {ratio(one)}" for row, one in found.items()), sep="\n", file=sys.stderr, flush=True
            )
        return {"commits": {side: commit(root) for side, root in roots.items()}, "seconds": seconds}


def commands(folder: Path, images: int) -> dict[str, list[str]]:
    """Each program's command line, in which OUTPUT is a file of its checkout that does not exist."""
    python, cat = sys.executable, str(measuring.CAT)
    classify = [python, "-m", "modelzoo", "classify"]
    few = images // BULK_SHARE
    return {
        "import modelzoo": [python, "-c", "import modelzoo"],
        "modelzoo list": [python, "-m", "modelzoo", "list"],
        "modelzoo classify": [*classify, cat, "--json"],
        f"modelzoo classify -m {MODEL}": [*classify, cat, "--json", "-m", MODEL],
        f"modelzoo classify -o, {images} images": [*classify, str(folder / "all"), "-o", "OUTPUT"],
        f"modelzoo classify -o, {few} images, {MODEL}": [
            *classify,
            str(folder / "few"),
            "-o",
            "OUTPUT",
            "-m",
            MODEL,
        ],
        **{f"load({name})": [python, "-c", LOAD, name] for name in LOADED},
    }


def chosen(programs: dict[str, list[str]], only: list[str] | None) -> dict[str, list[str]]:
    """Those whose names contain one of the words; raises SystemExit if a word finds none."""
    if only is None:
        return programs
    for word in only:
        if not any(word in name for name in programs):
            raise SystemExit(f"Expected a part of one of {', '.join(programs)}, got {word!r}.")
    return {name: command for name, command in programs.items() if any(word in name for word in only)}


def make_folders(folder: Path, images: int) -> None:
    from benchmarks.images import make_images

    make_images(folder / "all", images, [measuring.CAT])
    make_images(folder / "few", images // BULK_SHARE, [measuring.CAT])


def of_program(
    name: str, command: list[str], sides: dict[str, Checkout], rounds: int
) -> dict[str, dict[str, list[float]]]:
    """The seconds of each round for both checkouts, of the whole process or else those that it prints."""

    def run(side: str) -> dict[str, float]:
        output = sides[side].folder / "out.jsonl"
        output.unlink(missing_ok=True)
        given = [str(output) if part == "OUTPUT" else part for part in command]
        found = sides[side].run(given)
        if LOAD not in command:
            return {name: found["seconds"]}
        printed = json.loads(found["output"])
        return {f"{name}, the first": printed["first"], name: printed["again"]}

    for side in SIDES:
        run(side)  # compiles the network
    found = measuring.taking_turns(SIDES, rounds, run)
    rows = found[SIDES[0]][0]
    return {row: {side: [one[row] for one in found[side]] for side in SIDES} for row in rows}


def checkout(folder: Path) -> Path:
    """The folder as an absolute path; raises SystemExit if no modelzoo is in it."""
    if not (folder / "modelzoo" / "__init__.py").is_file():
        raise SystemExit(f"Expected a checkout of modelzoo, got {folder}, which has no modelzoo/__init__.py.")
    return folder.resolve()


def commit(folder: Path) -> str:
    """What is checked out there, marked if files have been changed; empty if git does not say."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def ratio(seconds: dict[str, list[float]]) -> str:
    return measuring.spread(measuring.ratios(seconds["this"], seconds["other"]), 2)


def text(figures: dict[str, Any]) -> str:
    commits = figures["commits"]
    rows = [
        [
            f"`{name}`",
            *(measuring.spread(found[side], 3, " s") for side in SIDES),
            ratio(found),
        ]
        for name, found in figures["seconds"].items()
    ]
    header = ["", *(f"{side}, {commits[side]}" for side in SIDES), "ratio"]
    return f"{measuring.described(figures['machine'])}\n\n{measuring.table(header, rows)}"


if __name__ == "__main__":
    main()
