"""How near classify_files comes to its slower half: decoding alone or inference alone, on the same pictures.

    python -m benchmarks.bulk [--model resnet50_v1b] [--pictures 2000] [--rounds 3] [--json FILE]

The pictures are JPEGs of 500 x 375, cut out of ../shared/data's photographs. The runs take turns, so that
other programs disturb all of them alike. Memory is the peak while pictures are processed, the network being
loaded, in processes of their own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import measuring
from modelzoo import bulk, preprocessing
from modelzoo.bulk import job, pipeline
from modelzoo.classification import BATCH_SIZE

SIZE = (500, 375)
QUALITY = 90
LARGE = (2000, 1500)  # as a camera or a telephone makes them, for fast_decode
WARM_UP = 64  # pictures before the first round


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="resnet50_v1b")
    parser.add_argument("--weights", help="default: synthetic, but for the bundled model")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--memory-of", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    if "--memory-of" in sys.argv:
        print(peak_memory(parser.parse_args()))
        return
    measuring.main(parser, measure, text)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    bundled = options.model.startswith("resnet9_cifar10")
    options.weights = options.weights or ("pretrained" if bundled else "synthetic")
    with tempfile.TemporaryDirectory(prefix="modelzoo-bulk-") as place:
        folder = Path(place)
        make_pictures(folder / "all", options.pictures)
        make_pictures(folder / "few", options.pictures // 10)
        make_pictures(folder / "large", 50, LARGE)
        job.RowMaker = cache(job.RowMaker)  # one network for all runs: loading is not what is measured
        asked = job.Job(options.model, options.weights, runtime=options.runtime)
        maker = job.RowMaker(asked)
        files = sorted(map(str, (folder / "all").iterdir()))
        batch = np.concatenate([maker.prepare(file, file) for file in files[:BATCH_SIZE]])
        runs = {
            "decode": lambda: decode(maker, files),
            "infer": lambda: infer(maker, batch, len(files)),
            "bulk": lambda: classify(options, folder / "all", folder / "out.jsonl"),
        }
        decode(maker, files[:WARM_UP])
        infer(maker, batch, WARM_UP)
        found = measuring.taking_turns(
            list(runs), options.rounds, lambda name: len(files) / seconds(runs[name])
        )
        return {
            "model": asked.model,
            "weights": options.weights,
            "runtime": asked.runtime,
            "pictures": options.pictures,
            "pictures_per_second": found,
            "memory_mib": {
                str(len(list((folder / name).iterdir()))): memory_of(options, folder / name)
                for name in ("few", "all")
            },
            "fast_decode": [
                *fast_decoding(maker, folder, trained=options.weights != "synthetic"),
                *fast_decoding(job.RowMaker(job.Job()), folder, trained=True),
            ],
        }


def text(figures: dict[str, Any]) -> str:
    rates = figures["pictures_per_second"]
    slower = list(map(min, rates["decode"], rates["infer"]))
    of_slower = measuring.ratios(rates["bulk"], slower)
    # What is left where both halves use every core, and nothing is lost between them.
    bound = [1 / (1 / a + 1 / b) for a, b in zip(rates["decode"], rates["infer"], strict=True)]
    rows = [
        ["decoding and resizing alone", measuring.spread(rates["decode"]), ""],
        ["the network alone", measuring.spread(rates["infer"]), ""],
        ["`classify -o`, both at once", measuring.spread(rates["bulk"]), f"{median(of_slower):.0%}"],
    ]
    memory = " MiB, ".join(f"{number} pictures: {mib}" for number, mib in figures["memory_mib"].items())
    fast = [
        [
            f"`{one['model']}`, {one['size']}",
            f"{one['times_as_fast']:.2f}",
            f"{one['levels']:.0f}",
            "not trained" if one["same_top1"] is None else f"{one['same_top1']:.1%}",
        ]
        for one in figures["fast_decode"]
    ]
    return "\n".join(
        [
            f"`{figures['model']}` on {figures['runtime']}, {figures['pictures']} JPEGs of "
            f"{SIZE[0]} x {SIZE[1]}:",
            "",
            measuring.table(["", "pictures/s", "of the slower half"], rows),
            "",
            f"- Of what these cores can do for both halves: "
            f"{measuring.spread(measuring.ratios(rates['bulk'], bound), 2)}.",
            f"- Peak memory: {memory} MiB.",
            "",
            measuring.table(
                ["`--fast-decode`", "times as fast", "levels of 255 off, at most", "same top-1"], fast
            ),
        ]
    )


def make_pictures(folder: Path, number: int, size: tuple[int, int] = SIZE) -> None:
    """Random parts of the photographs, at least half as wide, so that no two are alike."""
    folder.mkdir()
    random = np.random.default_rng(0)
    photographs = [Image.open(path).convert("RGB") for path in sorted((measuring.DATA / "photos").iterdir())]
    for place in range(number):
        photograph = photographs[place % len(photographs)]
        width = photograph.width * random.uniform(0.5, 1)
        height = min(width * size[1] / size[0], photograph.height)
        left, top = random.uniform(0, photograph.width - width), random.uniform(0, photograph.height - height)
        box = (left, top, left + width, top + height)
        picture = photograph.resize(size, Image.Resampling.BICUBIC, box)
        picture.save(folder / f"{place:05}.jpg", quality=QUALITY)


def seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def decode(maker: job.RowMaker, files: list[str]) -> None:
    ahead = pipeline.BATCHES_AHEAD * BATCH_SIZE
    for _ in pipeline.in_order(lambda file: maker.prepare(file, file), files, ahead=ahead):
        pass


def infer(maker: job.RowMaker, batch: np.ndarray, number: int) -> None:
    for _ in range(0, number, BATCH_SIZE):
        maker.network.predict(batch)


def classify(options, folder: Path, output: Path) -> None:
    bulk.classify_files(folder, output, options.model, weights=options.weights, runtime=options.runtime)


def memory_of(options, folder: Path) -> int:
    command = [sys.executable, "-m", "benchmarks.bulk", "--memory-of", str(folder)]
    command += ["--model", options.model, "--weights", options.weights, "--runtime", options.runtime]
    environment = measuring.environment()
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return int(run.stdout)


def peak_memory(options: argparse.Namespace) -> int:
    """MiB; Linux can forget the peak of what came before, which is the building of the network."""
    job.RowMaker = cache(job.RowMaker)
    maker = job.RowMaker(job.Job(options.model, options.weights, runtime=options.runtime))
    side = maker.entry.pictures.crop
    infer(maker, np.zeros((BATCH_SIZE, side, side, 3), np.float32), BATCH_SIZE)
    Path("/proc/self/clear_refs").write_text("5")
    with tempfile.TemporaryDirectory() as place:
        classify(options, options.memory_of, Path(place) / "out.jsonl")
    (line,) = (row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1024)


def fast_decoding(maker: job.RowMaker, folder: Path, trained: bool) -> list[dict[str, Any]]:
    """What fast_decode gains, and changes in the network's pixels and, with trained weights, its answers."""
    figures = []
    for size, name in ((SIZE, "all"), (LARGE, "large")):
        files = sorted(map(str, (folder / name).iterdir()))[:200]
        times, prepared = {False: 0.0, True: 0.0}, {}
        for flag in (False, True, False, True):
            start = time.process_time()
            prepared[flag] = [
                preprocessing.preprocess_crops(file, maker.entry.pictures, fast_decode=flag) for file in files
            ]
            times[flag] += time.process_time() - start
        levels = max(abs(a - b).max() for a, b in zip(prepared[False], prepared[True], strict=True))
        levels *= 255 / maker.entry.pictures.white * max(maker.entry.pictures.std)
        same = [best(maker, a) == best(maker, b) for a, b in zip(*prepared.values(), strict=True) if trained]
        figures.append(
            {
                "model": maker.entry.key,
                "size": f"{size[0]} x {size[1]}",
                "times_as_fast": times[False] / times[True],
                "levels": float(levels),
                "same_top1": float(np.mean(same)) if trained else None,
            }
        )
    return figures


def best(maker: job.RowMaker, images: np.ndarray) -> str:
    (row,) = maker.rows(["it"], [images])
    return row["predictions"][0]["id"]


if __name__ == "__main__":
    main()
