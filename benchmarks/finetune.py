"""What keeps a fine-tuning busy, and what it reaches beside Keras' guide to transfer learning.

    python -m benchmarks.finetune [--model mobilenet_0.25_224.keras] [--weights FILE] [--json FILE]
    python -m benchmarks.finetune --only speed      # or --only guide
    python -m benchmarks.finetune --guide 2+1 10+10 --seeds 1 2 3 --options "--time 20m"

Speed: images/s of the training's input alone, of its step alone, which repeats one batch, and of both as the
loop has them, which take turns. Guide: `modelzoo finetune` and benchmarks.transfer, which does as the
guide says, each a whole process with the same weights and images, and the same seed; `--options` are further
ones of `modelzoo finetune`. The photos of clothes and the weights are in ../shared/data, which the project
does not ship.
"""

from __future__ import annotations

import argparse
import io
import json
import shlex
import sys
import tempfile
import time
import tokenize
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import measuring
from benchmarks.precision import MOBILENET, MOBILENET_FILE

if TYPE_CHECKING:
    from modelzoo.training import TrainingOptions
    from modelzoo.training.batches import Batch
    from modelzoo.training.loop import Training

CLOTHES = measuring.DATA / "clothing"
INPUT, STEP, BOTH = "input", "step", "both"
OURS = "modelzoo finetune"
GUIDE = Path(__file__).with_name("transfer.py")
WARM_UP = 3  # steps: the first traces the network
NO_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default=MOBILENET)
    parser.add_argument(
        "--weights", help="default: the real ones of MobileNet 0.25; of others the pretrained"
    )
    parser.add_argument("--train", type=Path, default=CLOTHES / "train", metavar="FOLDER")
    parser.add_argument("--test", type=Path, default=CLOTHES / "test", metavar="FOLDER")
    parser.add_argument("--only", choices=("speed", "guide"))
    parser.add_argument("--steps", type=int, default=60, help="of a round of the speeds")
    parser.add_argument("--rounds", type=int, default=3, help="of the speeds")
    parser.add_argument("--batch-size", type=int, default=32, help="of ours")
    parser.add_argument("--augment", nargs="+", default=[], help="in the speeds, beside random crops")
    parser.add_argument("--guide", nargs="+", default=["2+1", "10+10"], metavar="N+N", help="epochs")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--options", default="", help="more of `modelzoo finetune`, in one argument")
    measuring.main(parser, measure, text)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    if not options.train.is_dir():
        raise SystemExit(f"The images are not there: {options.train}")
    real = options.model == MOBILENET and MOBILENET_FILE.is_file()
    options.weights = options.weights or (str(MOBILENET_FILE) if real else "pretrained")
    found: dict[str, Any] = {"model": options.model}
    with tempfile.TemporaryDirectory(prefix="modelzoo-finetune-") as place:
        if options.only != "guide":
            found["speed"] = speeds(options, Path(place))
        if options.only != "speed":
            found["guide"] = beside_the_guide(options, Path(place))
    return found


# Input, step, both


def speeds(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Images per second of the input alone, the step alone, and both, a figure for each round."""
    from modelzoo.training import TrainingOptions

    chosen = TrainingOptions(batch_size=options.batch_size, augment=tuple(options.augment))
    training = prepared(options, folder, chosen)
    batch = training.batches.batch(0)
    for _ in range(WARM_UP):
        training.step(batch)

    def images_per_second(what: str) -> float:
        start = time.perf_counter()
        with closing(training.batches_from(0)) as made:
            batches: Iterator[Batch] = repeat(batch) if what == STEP else made
            for each in islice(batches, options.steps):
                if what != INPUT:
                    training.step(each)
            seconds = time.perf_counter() - start
        return options.steps * options.batch_size / seconds

    rates = measuring.taking_turns((INPUT, STEP, BOTH), options.rounds, images_per_second)
    images = len(training.batches.labels)
    return {"images": images, "augment": options.augment, "images_per_second": rates}


def prepared(options: argparse.Namespace, folder: Path, chosen: TrainingOptions) -> Training:
    """A training as finetune() has it, at its first epoch."""
    import numpy as np

    from modelzoo.training import data
    from modelzoo.training.batches import Batches
    from modelzoo.training.loop import Training
    from modelzoo.training.network import Base, build, open_layers
    from modelzoo.training.pixels import read_pixels
    from modelzoo.training.progress import Progress

    base, progress = Base(options.model, options.weights, chosen.size), Progress()
    parts = data.split(options.train, None, options.test, chosen)
    pixels = read_pixels(parts, base, folder, progress, head_only=False, embed=False, most=chosen.cache_bytes)
    train, validation = (
        np.array([sample.label for sample in part]) for part in (parts.train, parts.validation)
    )
    batches = Batches(pixels.squares, train, len(parts.classes), base.preprocessing, chosen)
    model = build(base, len(parts.classes), chosen.dropout)
    open_layers(model, chosen)
    training = Training(model, batches, (pixels.validation, validation), folder, chosen, progress)
    training.compile()
    return training


# Beside the guide


def beside_the_guide(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Accuracy, minutes and lines of code of each program, figures for each seed."""
    programs = [OURS, *(f"the guide, {epochs} epochs" for epochs in options.guide)]
    seeds = {name: iter(options.seeds) for name in programs}

    def run(name: str) -> dict[str, Any]:
        seed = next(seeds[name])
        if name == OURS:
            return ours(options, folder / f"{seed}", seed)
        return guide(options, name.split()[2], seed)

    found = measuring.taking_turns(programs, len(options.seeds), run)
    lines = {name: 1 if name == OURS else lines_of_code(GUIDE.read_text()) for name in programs}
    return {"seeds": options.seeds, "options": options.options, "lines": lines, "programs": found}


def ours(options: argparse.Namespace, output: Path, seed: int) -> dict[str, Any]:
    """The random initialization's time, where it is asked for, does not count."""
    command = [sys.executable, "-m", "modelzoo", "finetune", str(options.train), "--test", str(options.test)]
    command += ["-m", options.model, "-w", options.weights, "-o", str(output), "--seed", str(seed), "--json"]
    command += ["--batch-size", str(options.batch_size), *shlex.split(options.options)]
    process = measuring.whole_process(command, measuring.environment())
    said = json.loads(process["output"])
    random = said["random_init"]
    return {
        "accuracy": said["test"]["top1"]["value"],
        "minutes": (process["seconds"] - said["seconds"].get("random-init", 0.0)) / 60,
        "epochs": said["epochs"],
        "random_init": random and random["top1"]["value"],
    }


def guide(options: argparse.Namespace, epochs: str, seed: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.transfer", options.model, options.weights]
    command += [str(options.train), str(options.test), *epochs.split("+"), str(seed)]
    process = measuring.whole_process(command, measuring.environment())
    frozen, accuracy = map(float, process["output"].splitlines()[-1].split())
    return {"accuracy": accuracy, "frozen": frozen, "minutes": process["seconds"] / 60}


def lines_of_code(text: str) -> int:
    """Lines that have code on them: no comments, no docstrings, no blank ones."""
    found: set[int] = set()
    before = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        stands_alone = token.type == tokenize.STRING and before in NO_CODE
        if token.type not in (*NO_CODE, tokenize.ENDMARKER) and not stands_alone:
            found |= set(range(token.start[0], token.end[0] + 1))
        before = token.type
    return len(found)


# What the report says


def text(figures: dict[str, Any]) -> str:
    parts = [f"`{figures['model']}`:"]
    if speed := figures.get("speed"):
        parts.append(speed_table(speed))
    if guide := figures.get("guide"):
        parts.append(guide_table(guide))
    return "\n\n".join(parts)


def speed_table(found: dict[str, Any]) -> str:
    rates = found["images_per_second"]
    slower = list(map(min, rates[INPUT], rates[STEP]))
    rows = [
        ["its input alone", measuring.spread(rates[INPUT]), ""],
        ["its step alone", measuring.spread(rates[STEP]), ""],
        ["both, as they are", measuring.spread(rates[BOTH]), share(rates[BOTH], slower)],
    ]
    title = ", ".join([f"a training with {found['images']:,} images", *found["augment"]])
    return measuring.table([title, "images/s", "of the slower one"], rows)


def share(ours: Sequence[float], others: Sequence[float]) -> str:
    return measuring.spread(measuring.ratios(ours, others), 2)


def guide_table(found: dict[str, Any]) -> str:
    rows = [
        [
            f"`{name} {found['options']}`".replace(" `", "`") if name == OURS else name,
            measuring.spread([100 * run["accuracy"] for run in runs], 1, " %"),
            measuring.spread([run["minutes"] for run in runs], 1),
            str(found["lines"][name]),
        ]
        for name, runs in found["programs"].items()
    ]
    rows += random_rows(found["programs"][OURS])
    count = len(found["seeds"])
    header = [f"{count} {'run' if count == 1 else 'runs'} each", "test accuracy", "minutes", "lines of code"]
    return measuring.table(header, rows)


def random_rows(runs: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A row for the random initialization, where it was asked for."""
    found = [100 * run["random_init"] for run in runs if run["random_init"] is not None]
    return [["the same from random weights", measuring.spread(found, 1, " %"), "", ""]] if found else []


if __name__ == "__main__":
    main()
