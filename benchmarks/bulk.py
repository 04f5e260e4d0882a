"""How near classify_files comes to its slower half: decoding alone or inference alone, on the same images.

    python -m benchmarks.bulk [--model resnet50_v1b] [--images 2000] [--rounds 3] [--json FILE]

The images are JPEGs of 500 x 375, cut out of ../shared/data's photographs. The runs take turns, so that
other programs disturb all of them alike. Memory is the peak while images are processed, the network being
loaded, in processes of their own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import numpy as np

import modelzoo
from benchmarks import measuring
from benchmarks.images import LARGE, SIZE, make_images
from modelzoo.images import preprocess_crops, read_for
from modelzoo.tasks import BATCH_SIZE, LabelsHead, Pipeline, pipeline

WARM_UP = 64  # images before the first round


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="resnet50_v1b")
    parser.add_argument("--weights", help="default: synthetic, but for the bundled model")
    parser.add_argument("--images", type=int, default=2000)
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
    with tempfile.TemporaryDirectory(prefix="modelzoo-bulk-") as place, one_network():
        folder = Path(place)
        photographs = sorted((measuring.DATA / "photos").iterdir())
        files = make_images(folder / "all", options.images, photographs)
        make_images(folder / "few", options.images // 10, photographs)
        make_images(folder / "large", 50, photographs, LARGE)
        classifier = Pipeline(deployment(options), LabelsHead())
        return {
            "model": classifier.entry.key,
            "weights": options.weights,
            "runtime": classifier.deployment.runtime,
            "images": options.images,
            "images_per_second": rates(classifier, files, folder, options.rounds),
            "memory_mib": {
                str(len(list((folder / name).iterdir()))): memory_of(options, folder / name)
                for name in ("few", "all")
            },
            "fast_decode": [
                *fast_decoding(classifier, folder, trained=options.weights != "synthetic"),
                *fast_decoding(Pipeline(modelzoo.Deployment(), LabelsHead()), folder, trained=True),
            ],
        }


@contextmanager
def one_network() -> Iterator[None]:
    """Within it a deployment's network is loaded once: loading is not what is measured."""
    with mock.patch.object(pipeline, "predictor", cache(pipeline.predictor)):
        yield


def deployment(options: argparse.Namespace) -> modelzoo.Deployment:
    return modelzoo.Deployment(options.model, options.weights, options.runtime)


def rates(classifier: Pipeline[Any], files: list[str], folder: Path, rounds: int) -> dict[str, list[float]]:
    """Images per second of each half alone, and of both at once."""
    batch = np.concatenate([classifier.prepare(file).inputs for file in files[:BATCH_SIZE]])
    runs = {
        "decode": lambda: decode(classifier, files),
        "infer": lambda: infer(classifier, batch, len(files)),
        "bulk": lambda: classify(classifier.deployment, folder / "all", folder / "out.jsonl"),
    }
    decode(classifier, files[:WARM_UP])
    infer(classifier, batch, WARM_UP)
    return measuring.taking_turns(list(runs), rounds, lambda name: len(files) / seconds(runs[name]))


def text(figures: dict[str, Any]) -> str:
    rates = figures["images_per_second"]
    slower = list(map(min, rates["decode"], rates["infer"]))
    of_slower = measuring.ratios(rates["bulk"], slower)
    # What is left where both halves use every core, and nothing is lost between them.
    bound = [1 / (1 / a + 1 / b) for a, b in zip(rates["decode"], rates["infer"], strict=True)]
    rows = [
        ["decoding and resizing alone", measuring.spread(rates["decode"]), ""],
        ["the network alone", measuring.spread(rates["infer"]), ""],
        ["`classify -o`, both at once", measuring.spread(rates["bulk"]), f"{median(of_slower):.0%}"],
    ]
    memory = " MiB, ".join(f"{number} images: {mib}" for number, mib in figures["memory_mib"].items())
    return "\n".join(
        [
            f"`{figures['model']}` on {figures['runtime']}, {figures['images']} JPEGs of "
            f"{SIZE[0]} x {SIZE[1]}:",
            "",
            measuring.table(["", "images/s", "of the slower half"], rows),
            "",
            f"- Of what these cores can do for both halves: "
            f"{measuring.spread(measuring.ratios(rates['bulk'], bound), 2)}.",
            f"- Peak memory: {memory} MiB.",
            "",
            fast_decode_table(figures["fast_decode"]),
        ]
    )


def fast_decode_table(found: list[dict[str, Any]]) -> str:
    header = ["`--fast-decode`", "times as fast", "levels of 255 off, at most", "same top-1"]
    rows = [
        [
            f"`{one['model']}`, {one['size']}",
            f"{one['times_as_fast']:.2f}",
            f"{one['levels']:.0f}",
            "not trained" if one["same_top1"] is None else f"{one['same_top1']:.1%}",
        ]
        for one in found
    ]
    return measuring.table(header, rows)


def seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def decode(classifier: Pipeline[Any], files: list[str]) -> None:
    ahead = pipeline.BATCHES_AHEAD * BATCH_SIZE
    for _ in pipeline.in_order(classifier.prepare, files, ahead=ahead):
        pass


def infer(classifier: Pipeline[Any], batch: np.ndarray, number: int) -> None:
    for _ in range(0, number, BATCH_SIZE):
        classifier.network.predict(batch)


def classify(deployment: modelzoo.Deployment, folder: Path, output: Path) -> None:
    modelzoo.classify_files(folder, output, deployment)


def memory_of(options: argparse.Namespace, folder: Path) -> int:
    command = [sys.executable, "-m", "benchmarks.bulk", "--memory-of", str(folder)]
    command += ["--model", options.model, "--weights", options.weights, "--runtime", options.runtime]
    environment = measuring.environment()
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return int(run.stdout)


def peak_memory(options: argparse.Namespace) -> int:
    """MiB; Linux can forget the peak of what came before, which is the building of the network."""
    with one_network(), tempfile.TemporaryDirectory() as place:
        classifier = Pipeline(deployment(options), LabelsHead())
        side = classifier.preprocessing.crop_size
        infer(classifier, np.zeros((BATCH_SIZE, side, side, 3), np.float32), BATCH_SIZE)
        Path("/proc/self/clear_refs").write_text("5")
        classify(classifier.deployment, options.memory_of, Path(place) / "out.jsonl")
    (line,) = (row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1024)


def fast_decoding(classifier: Pipeline[Any], folder: Path, trained: bool) -> list[dict[str, Any]]:
    """What fast_decode gains, and changes in the network's pixels and, with trained weights, its answers."""
    figures, preprocessing = [], classifier.preprocessing
    for size, name in ((SIZE, "all"), (LARGE, "large")):
        files = sorted(map(str, (folder / name).iterdir()))[:200]
        times, prepared = {False: 0.0, True: 0.0}, {}
        for fast in (False, True, False, True):
            start = time.process_time()
            prepared[fast] = [
                preprocess_crops(read_for(file, preprocessing, fast_decode=fast), preprocessing)
                for file in files
            ]
            times[fast] += time.process_time() - start
        pairs = list(zip(prepared[False], prepared[True], strict=True))
        levels = max(abs(a - b).max() for a, b in pairs)
        levels *= 255 / preprocessing.max_value * max(preprocessing.std)
        same = [best(classifier, a) == best(classifier, b) for a, b in pairs if trained]
        figures.append(
            {
                "model": classifier.entry.key,
                "size": f"{size[0]} x {size[1]}",
                "times_as_fast": times[False] / times[True],
                "levels": float(levels),
                "same_top1": float(np.mean(same)) if trained else None,
            }
        )
    return figures


def best(classifier: Pipeline[Any], inputs: np.ndarray) -> int:
    """The place of the most likely class of one image."""
    return int(classifier.network.predict(inputs)[0].argmax())


if __name__ == "__main__":
    main()
