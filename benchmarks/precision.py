"""What bf16 and f16 change in the answers, on real pictures and with real weights.

    python -m benchmarks.precision [--json FILE]

Two networks with trained weights: the bundled one, on CIFAR-10's test pictures, and keras.applications'
MobileNet 0.25, whose pooled features feed a ridge classifier of clothes, which is fitted to the training
photos in f32 and asked about the test photos in each precision. Beside OpenVINO's precisions stands Keras'
own "mixed_bfloat16": what that changes, too, is the number format's doing. Both sets of pictures are in
../shared/data, which the project does not ship.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import modelzoo
from benchmarks import measuring
from benchmarks.measuring import DATA
from modelzoo import runtimes

BUNDLED = "resnet9_cifar10.modelzoo"
MOBILENET = "mobilenet_0.25_224.keras"
MOBILENET_FILE = DATA / "upstream_files" / "mobilenet_2_5_224_tf_no_top.h5"
KERAS = "mixed_bfloat16"
RIDGE = 100.0  # what is added to the squares of the features


def main() -> None:
    measuring.main(argparse.ArgumentParser(description=__doc__.partition("\n")[0]), measure, text)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    if not DATA.is_dir():
        raise SystemExit(f"The pictures are not there: {DATA}")
    return {"networks": [cifar10(), clothes()]}


def cifar10() -> dict[str, Any]:
    pictures, labels = cifar10_test()

    def probabilities(precision: str) -> np.ndarray:
        run = network(BUNDLED, precision)
        return np.concatenate([run(part) for part in parts(pictures)])

    scores = in_each_precision(probabilities)
    return {"network": f"`{BUNDLED}`, {len(labels):,} pictures of CIFAR-10"} | compared(scores, labels)


def cifar10_test() -> tuple[list[bytes], np.ndarray]:
    with np.load(DATA / "cifar10_jpeg.npz") as data:
        stream, offsets, labels = data["test_jpeg"].tobytes(), data["test_offsets"], data["test_labels"]
    return [stream[a:b] for a, b in pairwise(offsets)], labels


def clothes() -> dict[str, Any]:
    (training, known), (test, labels) = (photos(DATA / "clothing" / part) for part in ("train", "test"))

    def features(precision: str, pictures: list[np.ndarray]) -> np.ndarray:
        run = network(MOBILENET, precision, weights=MOBILENET_FILE, include_top=False, pooling="avg")
        return np.concatenate([run(part) for part in parts(pictures)])

    x = features("f32", training)
    mean, deviation = x.mean(0), x.std(0)
    x = (x - mean) / deviation
    one_hot = np.eye(known.max() + 1)[known]
    ridge = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (one_hot - one_hot.mean(0)))
    scores = in_each_precision(lambda precision: (features(precision, test) - mean) / deviation @ ridge)
    return {"network": f"`{MOBILENET}` and a ridge, {len(labels)} photos of clothes"} | compared(
        scores, labels
    )


def photos(folder: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """The middle square of each photo, (224, 224, 3), and the number of its class."""
    paths = [(path, label) for label, kind in enumerate(sorted(folder.iterdir())) for path in kind.iterdir()]
    return [middle_square(path) for path, _ in paths], np.array([label for _, label in paths])


def middle_square(path: Path, side: int = 224) -> np.ndarray:
    with Image.open(path) as photo:
        edge = min(photo.size)
        left, top = ((length - edge) // 2 for length in photo.size)
        square = photo.convert("RGB").crop((left, top, left + edge, top + edge))
        return np.asarray(square.resize((side, side), Image.Resampling.BILINEAR))


def parts(pictures: list, size: int = 500):
    return (pictures[start : start + size] for start in range(0, len(pictures), size))


def network(name: str, precision: str, weights="pretrained", **arguments) -> Callable[[list], np.ndarray]:
    """From pictures to the network's output; raises ValueError if this CPU does not compute so."""
    if precision == KERAS:
        predict = modelzoo.load(name, weights=weights, dtype=KERAS, **arguments).predict_on_batch
    else:
        entry = modelzoo.info(name)
        predict = runtimes.predictor(entry, weights, "openvino", precision, **arguments).predict
    return lambda pictures: np.asarray(predict(modelzoo.preprocess(pictures, name)), np.float32)


def in_each_precision(scores: Callable[[str], np.ndarray]) -> dict[str, np.ndarray]:
    """What `scores` gives for f32 and for whatever else this CPU computes in."""
    found = {}
    for precision in (*runtimes.PRECISIONS, KERAS):
        try:
            found[precision] = scores(precision)
        except ValueError as error:
            print(f"{precision}: {error}", file=sys.stderr)
    return found


def compared(scores: dict[str, np.ndarray], labels: np.ndarray) -> dict[str, Any]:
    exact = scores["f32"]
    return {
        precision: {
            "accuracy": float((found.argmax(1) == labels).mean()),
            "agreement": float((found.argmax(1) == exact.argmax(1)).mean()),
            "relative_error": float(np.linalg.norm(found - exact) / np.linalg.norm(exact)),
        }
        for precision, found in scores.items()
    }


def text(figures: dict[str, Any]) -> str:
    rows = [
        [
            one["network"] if precision == "f32" else "",
            f"Keras, {KERAS}" if precision == KERAS else precision,
            f"{found['accuracy']:.2%}",
            f"{found['agreement']:.2%}",
            f"{found['relative_error']:.0e}",
        ]
        for one in figures["networks"]
        for precision in (*runtimes.PRECISIONS, KERAS)
        if (found := one.get(precision))
    ]
    header = ["network and pictures", "precision", "accuracy", "top-1 as in f32", "error of the scores"]
    return measuring.table(header, rows)


if __name__ == "__main__":
    main()
