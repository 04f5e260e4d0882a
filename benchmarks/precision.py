"""What bf16 and f16 change in the answers, on real images and with real weights.

    python -m benchmarks.precision [--json FILE]

Two networks with trained weights: the bundled one, on CIFAR-10's test images, and keras.applications'
MobileNet 0.25, whose pooled features feed a ridge classifier of clothes, which is fitted to the training
photos in f32 and asked about the test photos in each precision. Beside OpenVINO's precisions stands Keras'
own "mixed_bfloat16": what that changes, too, is the number format's doing. Both sets of images are in
../shared/data, which the project does not ship.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import modelzoo
from benchmarks import measuring
from benchmarks.measuring import DATA
from modelzoo import runtimes
from modelzoo.zoo import NetworkOptions

BUNDLED = "resnet9_cifar10.modelzoo"
MOBILENET = "mobilenet_0.25_224.keras"
MOBILENET_FILE = DATA / "upstream_files" / "mobilenet_2_5_224_tf_no_top.h5"
KERAS = "mixed_bfloat16"
RIDGE = 100.0  # what is added to the squares of the features


def main() -> None:
    measuring.main(argparse.ArgumentParser(description=__doc__.partition("\n")[0]), measure, text)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    if not DATA.is_dir():
        raise SystemExit(f"The images are not there: {DATA}")
    missing = {name: reason for name in runtimes.PRECISIONS if (reason := measuring.not_measured(name))}
    precisions = [name for name in (*runtimes.PRECISIONS, KERAS) if name not in missing]
    return {"networks": [cifar10(precisions), clothes(precisions)], "missing": missing}


def cifar10(precisions: list[str]) -> dict[str, Any]:
    images, labels = cifar10_test()

    def probabilities(precision: str) -> np.ndarray:
        run = network(BUNDLED, precision)
        return np.concatenate([run(part) for part in parts(images)])

    scores = {precision: probabilities(precision) for precision in precisions}
    return {"network": f"`{BUNDLED}`, {len(labels):,} images of CIFAR-10"} | compared(scores, labels)


def cifar10_test() -> tuple[list[bytes], np.ndarray]:
    with np.load(DATA / "cifar10_jpeg.npz") as data:
        stream, offsets, labels = data["test_jpeg"].tobytes(), data["test_offsets"], data["test_labels"]
    return [stream[a:b] for a, b in pairwise(offsets)], labels


def clothes(precisions: list[str]) -> dict[str, Any]:
    (training, known), (test, labels) = (photos(DATA / "clothing" / part) for part in ("train", "test"))

    def features(precision: str, images: list[np.ndarray]) -> np.ndarray:
        run = network(MOBILENET, precision, weights=str(MOBILENET_FILE), include_top=False, pooling="avg")
        return np.concatenate([run(part) for part in parts(images)])

    x = features("f32", training)
    mean, deviation = x.mean(0), x.std(0)
    x = (x - mean) / deviation
    one_hot = np.eye(known.max() + 1)[known]
    ridge = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (one_hot - one_hot.mean(0)))
    scores = {name: (features(name, test) - mean) / deviation @ ridge for name in precisions}
    title = f"`{MOBILENET}` and a ridge, {len(labels)} photos of clothes"
    return {"network": title} | compared(scores, labels)


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


def parts(images: list[Any], size: int = 500) -> Iterator[list[Any]]:
    return (images[start : start + size] for start in range(0, len(images), size))


def network(
    name: str, precision: str, weights: str = "pretrained", **arguments: Any
) -> Callable[[list[Any]], np.ndarray]:
    """From images to the network's output, in one of the precisions or as Keras' mixed_bfloat16 has it."""
    if precision == KERAS:
        predict = modelzoo.load(name, weights=weights, dtype=KERAS, **arguments).predict_on_batch
    else:
        deployment = modelzoo.Deployment(name, weights, "openvino", precision)
        predict = runtimes.predictor(deployment, NetworkOptions(**arguments)).predict
    return lambda images: np.asarray(predict(modelzoo.preprocess(images, name)), np.float32)


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
    missing = figures["missing"]
    rows = [
        [
            one["network"] if precision == "f32" else "",
            f"Keras, {KERAS}" if precision == KERAS else precision,
            *(
                [f"not measured: {missing[precision]}", "", ""]
                if precision in missing
                else cells(one[precision])
            ),
        ]
        for one in figures["networks"]
        for precision in (*runtimes.PRECISIONS, KERAS)
    ]
    header = ["network and images", "precision", "accuracy", "top-1 as in f32", "error of the scores"]
    return measuring.table(header, rows)


def cells(found: dict[str, float]) -> list[str]:
    return [f"{found['accuracy']:.2%}", f"{found['agreement']:.2%}", f"{found['relative_error']:.0e}"]


if __name__ == "__main__":
    main()
