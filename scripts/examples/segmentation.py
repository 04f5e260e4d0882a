"""Trains a semantic segmentation on a backbone of the zoo: what each pixel shows.

    python -m scripts.examples.segmentation [MODEL] [--images 1000] [--epochs 6]

It draws its own images (scripts/examples/shapes.py), and prints the mean intersection over union of all
classes, the background included, on images that it has not seen.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

import modelzoo
from scripts.examples import shapes
from scripts.examples.detection import CHANNELS, pyramid

CLASSES, SIDE = 1 + len(shapes.NAMES), shapes.SIDE  # 0 is the background


def segmenter(name: str, **options) -> keras.Model:
    """uint8 images -> the classes' logits of each pixel, (batch, SIDE, SIDE, CLASSES).

    All maps of the pyramid are brought to the finest one's size and added. The options are modelzoo.load's.
    """
    images = keras.Input((SIDE, SIDE, 3), dtype="uint8", name="images")
    backbone = modelzoo.load(name, features=True, input_shape=(SIDE, SIDE, 3), **options)
    scale = modelzoo.preprocessing_layer(name, resize=False)
    maps = list(pyramid(backbone(scale(images, training=False))).values())
    finest = maps[0].shape[1]
    larger = [layers.UpSampling2D(finest // x.shape[1], interpolation="bilinear")(x) for x in maps[1:]]
    x = layers.Activation("relu")(layers.Add()([maps[0], *larger]))
    x = layers.Conv2D(CHANNELS, 3, padding="same", activation="relu", name="mixed")(x)
    x = layers.Conv2D(CLASSES, 1, name="classes")(x)
    logits = layers.UpSampling2D(SIDE // finest, interpolation="bilinear", name="pixels")(x)
    return keras.Model(images, logits, name="segmenter")


def mean_iou(found: np.ndarray, truth: np.ndarray) -> float:
    """The mean over classes of the pixels in both over those in either, counted over all images together."""
    pairs = np.bincount((CLASSES * truth + found).ravel(), minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    either = pairs.sum(axis=0) + pairs.sum(axis=1) - np.diag(pairs)
    return float(np.mean(np.diag(pairs)[either > 0] / either[either > 0]))


def train(name: str, images: int, epochs: int, **options) -> tuple[keras.Model, float]:
    """The segmenter, and the mean intersection over union on images that it has not seen."""
    drawn, unseen = shapes.draw_all(images, seed=1), shapes.draw_all(max(8, images // 10), seed=2)
    model = segmenter(name, **options)
    steps = epochs * -(-images // 16)
    rate = keras.optimizers.schedules.CosineDecay(1e-4, steps, warmup_target=2e-3, warmup_steps=steps // 10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss)
    masks = np.stack([one.mask for one in drawn])
    model.fit(np.stack([one.image for one in drawn]), masks, batch_size=16, epochs=epochs, verbose=2)
    logits = model.predict(np.stack([one.image for one in unseen]), batch_size=16, verbose=0)
    return model, mean_iou(logits.argmax(axis=-1), np.stack([one.mask for one in unseen]))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", default="mobilenet_0.25_224", help="default: %(default)s")
    parser.add_argument("--weights", default="pretrained", help="as in modelzoo.load")
    parser.add_argument("--images", type=int, default=1000, help="to draw; default: %(default)s")
    parser.add_argument("--epochs", type=int, default=6, help="default: %(default)s")
    given = parser.parse_args(arguments)
    keras.utils.set_random_seed(1)
    _, found = train(given.model, given.images, given.epochs, weights=given.weights)
    print(f"mean IoU: {found:.3f}")


if __name__ == "__main__":
    main()
