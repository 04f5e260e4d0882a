"""Batches for training: random crops and mirror images, decided by nothing but the seed, epoch and step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from modelzoo.registry import Preprocessing
from modelzoo.training.head import Floats, Numbers, smoothed
from modelzoo.training.options import Augmentation, TrainingOptions
from modelzoo.training.pixels import Squares

RATIOS = (3 / 4, 4 / 3)  # of a crop's width to its height, in the image's own pixels
LEVELS = (0, 255)


@dataclass(frozen=True)
class Batch:
    """images float32 (batch, side, side, 3), as the network takes them; targets (batch, classes)."""

    images: Floats
    targets: Floats
    weights: Floats


@dataclass(frozen=True)
class Batches:
    """The batches of every epoch; an epoch leaves out the images that fill no batch."""

    squares: Squares
    labels: Numbers
    classes: int
    preprocessing: Preprocessing
    options: TrainingOptions

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return len(self.labels) // self.options.batch_size

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0 over all epochs."""
        epoch, place = divmod(step, self.steps)
        size, seed = self.options.batch_size, self.options.seed
        order = np.random.default_rng([seed, epoch]).permutation(len(self.labels))
        places = order[place * size : (place + 1) * size]
        random = np.random.default_rng([seed, epoch, place])
        boxes = crop_boxes(random, self.squares.ratios[places], self.options.smallest_crop)
        images = cropped(self.squares[places], boxes, self.preprocessing.crop_size)
        targets = smoothed(self.labels[places], self.classes, 0.0)
        for name in self.options.augment:
            images, targets = _augmented(name, images, targets, int(random.integers(2**31)))
        weights = sample_weights(self.labels, self.classes, self.options.class_weights)[places]
        return Batch(network_values(images, self.preprocessing), targets, weights)


def sample_weights(labels: Numbers, classes: int, balanced: bool) -> Floats:
    """The weight of each image: 1, or so that all classes weigh alike and the mean is 1."""
    if not balanced:
        return np.ones(len(labels), np.float32)
    counts = np.maximum(np.bincount(labels, minlength=classes), 1)
    return (len(labels) / (classes * counts))[labels].astype(np.float32)


def crop_boxes(random: np.random.Generator, ratios: Floats, smallest: float) -> Floats:
    """For each image the top, left, bottom and right side of a crop, in parts of 1; half are mirrored.

    ratios: width to height of the images. The area is at least `smallest` of the image's, but for crops that
    would not fit. A mirrored crop has its left and right side swapped.
    """
    count = len(ratios)
    area = random.uniform(smallest, 1, count)
    ratio = np.exp(random.uniform(math.log(RATIOS[0]), math.log(RATIOS[1]), count)) / ratios
    width, height = np.minimum(np.sqrt(area * ratio), 1), np.minimum(np.sqrt(area / ratio), 1)
    left, top = random.uniform(0, 1, (2, count)) * (1 - width, 1 - height)
    sides = np.stack([top, left, top + height, left + width], axis=1).astype(np.float32)
    mirrored = random.random(count) < 0.5
    sides[mirrored] = sides[mirrored][:, [0, 3, 2, 1]]
    return sides


def cropped(squares: npt.NDArray[np.uint8], boxes: Floats, side: int) -> Floats:
    """The boxes of the squares, each resized bilinearly to (side, side, 3), levels 0 to 255."""
    import tensorflow as tf

    with tf.device("CPU"):
        found: Any = tf.image.crop_and_resize(squares, boxes, np.arange(len(boxes)), (side, side))
    return found.numpy()


def network_values(levels: Floats, preprocessing: Preprocessing) -> Floats:
    """Levels 0 to 255 as `preprocess` scales them, float32; the array itself is overwritten."""
    std = np.asarray(preprocessing.std)
    *_, width, channels = levels.shape
    rows = levels.reshape(-1, width * channels)  # NumPy is four times as fast as with three values at a time
    rows *= np.tile(preprocessing.max_value / 255 / std, width).astype(np.float32)
    rows -= np.tile(np.asarray(preprocessing.mean) / std, width).astype(np.float32)
    values = rows.reshape(levels.shape)
    return values[..., ::-1] if preprocessing.channels == "BGR" else values


class RandAugment(keras.layers.RandAugment):
    """Keras' own computes all ten transformations for each that it takes; this, with the same images, one."""

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        transforms = transformation["transforms"]
        for place in transformation["layer_idxes"]:
            name = list(transforms)[int(place)]
            images = getattr(self, name).transform_images(images, transforms[name], training=training)
        return images


def _augmented(name: Augmentation, images: Floats, targets: Floats, seed: int) -> tuple[Floats, Floats]:
    """The batch as one of Keras' layers changes it; of the step's own seed, so that it can be resumed."""
    layers: dict[str, Any] = {
        "randaugment": lambda: RandAugment(value_range=LEVELS, seed=seed),
        "mixup": lambda: keras.layers.MixUp(seed=seed),
        "cutmix": lambda: keras.layers.CutMix(seed=seed),
        "erasing": lambda: keras.layers.RandomErasing(value_range=LEVELS, seed=seed),
    }
    found = layers[name]()({"images": images, "labels": targets}, training=True)
    pair = (keras.ops.convert_to_numpy(found[part]) for part in ("images", "labels"))
    new_images, new_targets = (np.array(part, np.float32) for part in pair)
    return new_images, new_targets
