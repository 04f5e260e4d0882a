"""How near classify_files comes to its slower half: decoding alone or inference alone, on the same pictures.

    python -m benchmarks.bulk [--model resnet50_v1d] [--pictures 2000] [--rounds 3] [--json FILE]

The pictures are JPEGs of 500 x 375, cut out of ../shared/data's photographs. The runs take turns, so that
other programs disturb all of them alike; ratios are those of a round, and the median is shown with the range.
Memory is the peak while pictures are processed, the network being loaded, in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from modelzoo import bulk, preprocessing
from modelzoo.bulk import job, pipeline
from modelzoo.classification import BATCH_SIZE

DATA = Path(__file__).parents[2] / "shared" / "data"
SIZE = (500, 375)
QUALITY = 90
LARGE = (2000, 1500)  # as a camera or a telephone makes them, for fast_decode
WARM_UP = 64  # pictures before the first round


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="resnet50_v1d")
    parser.add_argument("--weights", help="default: synthetic, but for the bundled model")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--memory-of", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    bundled = options.model.startswith("resnet9_cifar10")
    options.weights = options.weights or ("pretrained" if bundled else "synthetic")
    if options.memory_of:
        print(peak_memory(options, options.memory_of))
        return
    with tempfile.TemporaryDirectory(prefix="modelzoo-bulk-") as folder:
        figures = measure(options, Path(folder))
    for name, value in figures.items():
        print(f"{name:<44} {value}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


def measure(options, folder: Path) -> dict[str, object]:
    make_pictures(folder / "all", options.pictures)
    make_pictures(folder / "few", options.pictures // 10)
    make_pictures(folder / "large", 50, LARGE)
    job.RowMaker = cache(job.RowMaker)  # one network for all runs: loading is not what is measured
    asked = job.Job(options.model, options.weights, runtime=options.runtime)
    maker = job.RowMaker(asked)
    files = sorted(map(str, (folder / "all").iterdir()))
    batch = np.concatenate([maker.prepare(file, file) for file in files[:BATCH_SIZE]])
    runs = {
        "decode only": lambda: decode(maker, files),
        "inference only": lambda: infer(maker, batch, len(files)),
        "bulk": lambda: classify(options, folder / "all", folder / "out.jsonl"),
    }
    decode(maker, files[:WARM_UP])
    infer(maker, batch, WARM_UP)
    rounds = []
    for _ in range(options.rounds):
        rounds.append({name: len(files) / seconds(run) for name, run in runs.items()})
        print({name: round(rate, 1) for name, rate in rounds[-1].items()}, file=sys.stderr, flush=True)
    of_slower = [r["bulk"] / min(r["decode only"], r["inference only"]) for r in rounds]
    # What is left where both halves use every core, and nothing is lost between them.
    bounds = [1 / (1 / r["decode only"] + 1 / r["inference only"]) for r in rounds]
    of_bound = [r["bulk"] / bound for r, bound in zip(rounds, bounds, strict=True)]
    return {
        "model": f"{asked.model}, weights {options.weights}, {asked.runtime}",
        "pictures": options.pictures,
        **{f"{name}, pictures/s": spread([r[name] for r in rounds], 1) for name in runs},
        "bulk / the slower half": spread(of_slower, 3),
        "bulk / what the cores can do for both halves": spread(of_bound, 3),
        f"memory at {options.pictures // 10} pictures, MiB": memory_of(options, folder / "few"),
        f"memory at {options.pictures} pictures, MiB": memory_of(options, folder / "all"),
        **fast_decoding(maker, folder),
    }


def spread(values: list[float], digits: int) -> str:
    return f"{median(values):.{digits}f}  ({min(values):.{digits}f} to {max(values):.{digits}f})"


def make_pictures(folder: Path, number: int, size: tuple[int, int] = SIZE) -> None:
    """Random parts of the photographs, at least half as wide, so that no two are alike."""
    folder.mkdir()
    random = np.random.default_rng(0)
    photographs = [Image.open(path).convert("RGB") for path in sorted((DATA / "photos").iterdir())]
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


def memory_of(options, folder: Path) -> int | str:
    command = [sys.executable, "-m", "benchmarks.bulk", "--memory-of", str(folder)]
    command += ["--model", options.model, "--weights", options.weights, "--runtime", options.runtime]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def peak_memory(options, folder: Path) -> int | str:
    """MiB; Linux can forget the peak of what came before, which is the building of the network."""
    forget = Path("/proc/self/clear_refs")
    if not forget.exists():
        return "not measured: needs Linux"
    job.RowMaker = cache(job.RowMaker)
    maker = job.RowMaker(job.Job(options.model, options.weights, runtime=options.runtime))
    side = maker.entry.pictures.crop
    infer(maker, np.zeros((BATCH_SIZE, side, side, 3), np.float32), BATCH_SIZE)
    forget.write_text("5")
    with tempfile.TemporaryDirectory() as place:
        classify(options, folder, Path(place) / "out.jsonl")
    (line,) = (row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1024)


def fast_decoding(maker: job.RowMaker, folder: Path) -> dict[str, str]:
    """What fast_decode gains and changes, for this network's pixels."""
    figures = {}
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
        first = {flag: [row_of(maker, images) for images in prepared[flag]] for flag in prepared}
        same = np.mean([a == b for a, b in zip(first[False], first[True], strict=True)])
        figures[f"fast_decode at {size[0]} x {size[1]}"] = (
            f"{times[False] / times[True]:.2f} times as fast, up to {levels:.0f} of 255 levels off, "
            f"top-1 agrees for {same:.1%}"
        )
    return figures


def row_of(maker: job.RowMaker, images: np.ndarray) -> str:
    (row,) = maker.rows(["it"], [images])
    return row["predictions"][0]["id"]


if __name__ == "__main__":
    main()
