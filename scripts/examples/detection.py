"""Trains a detector on a backbone of the zoo: a feature pyramid, and a head without anchors.

    python -m scripts.examples.detection [MODEL] [--images 3000] [--epochs 12]

It draws its own images (scripts/examples/shapes.py), and prints the mean average precision at IoU 0.5 on
images that it has not seen. For your own, replace `shapes.draw_all` by what reads them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

import modelzoo
from modelzoo.tasks.boxes import best_boxes, overlaps
from scripts.examples import shapes

CLASSES, SIDE = len(shapes.NAMES), shapes.SIDE
CHANNELS = 64  # of each map of the pyramid
PRIOR = 0.01  # the score of all places before training: most of them show nothing
Found = list[tuple[int, float, np.ndarray]]  # of an image: class, score and box, the best first


def pyramid(maps: dict, channels: int = CHANNELS) -> dict:
    """Maps of the same sizes and of `channels` each, in which the coarse ones' content reaches the fine ones.

    https://arxiv.org/abs/1612.03144
    """
    found, above = {}, None
    for level in sorted(maps, reverse=True):
        x = layers.Conv2D(channels, 1, name=f"lateral_{level}")(maps[level])
        above = x if above is None else layers.Add()([x, layers.UpSampling2D()(above)])
        found[level] = layers.Conv2D(channels, 3, padding="same", name=f"pyramid_{level}")(above)
    return dict(sorted(found.items()))


def detector(name: str, **options) -> keras.Model:
    """uint8 images -> for each place of all maps, (batch, places, CLASSES + 4).

    First the classes' logits, then how far the box reaches up, left, down and right of the place's center, in
    strides of its map. The options are modelzoo.load's.
    """
    images = keras.Input((SIDE, SIDE, 3), dtype="uint8", name="images")
    backbone = modelzoo.load(name, features=True, input_shape=(SIDE, SIDE, 3), **options)
    maps = pyramid(backbone(modelzoo.preprocessing_layer(name, resize=False)(images, training=False)))
    tower = layers.Conv2D(CHANNELS, 3, padding="same", activation="relu", name="tower")  # one for all maps
    bias = keras.initializers.Constant(np.log(PRIOR / (1 - PRIOR)))
    classify = layers.Conv2D(CLASSES, 3, padding="same", bias_initializer=bias, name="classes")
    locate = layers.Conv2D(4, 3, padding="same", activation="softplus", name="distances")
    places = [
        layers.Reshape((-1, CLASSES + 4))(layers.Concatenate()([classify(x), locate(x)]))
        for x in map(tower, maps.values())
    ]
    return keras.Model(images, layers.Concatenate(axis=1)(places), name="detector")


def grid(strides: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Of all places, in the order of detector(), the centers (places, 2) in pixels, and the strides."""
    centers = [(np.indices((SIDE // s, SIDE // s)).reshape(2, -1).T + 0.5) * s for s in strides]
    sizes = [np.full(len(part), s) for part, s in zip(centers, strides, strict=True)]
    return np.concatenate(centers).astype(np.float32), np.concatenate(sizes).astype(np.float32)


def encode(boxes: np.ndarray, labels: np.ndarray, strides: Sequence[int]) -> np.ndarray:
    """What detector() should give: (places, CLASSES + 4); zeros where nothing is to be found.

    A box is for the map on which it is two to four places wide, or the nearest that there is, and there for
    the places whose centers lie in the box, less than a stride from its own center.
    """
    centers, sizes = grid(strides)
    target = np.zeros((len(centers), CLASSES + 4), np.float32)
    for box, label in zip(boxes, labels, strict=True):
        middle, side = (box[:2] + box[2:]) / 2, np.max(box[2:] - box[:2])
        stride = min(strides, key=lambda s: abs(np.log2(side / s) - 1.5))
        inside = (centers > box[:2]).all(axis=1) & (centers < box[2:]).all(axis=1)
        here = (sizes == stride) & inside & (np.abs(centers - middle) < stride).all(axis=1)
        target[here] = 0
        target[here, label] = 1
        distances = np.concatenate([centers[here] - box[:2], box[2:] - centers[here]], axis=1)
        target[here, CLASSES:] = distances / stride
    return target


def decode(output: np.ndarray, strides: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Of an image's output or target the boxes (places, 4) in pixels, and the rest: (places, CLASSES)."""
    centers, sizes = grid(strides)
    reach = output[:, CLASSES:] * sizes[:, None]
    return np.concatenate([centers - reach[:, :2], centers + reach[:, 2:]], axis=1), output[:, :CLASSES]


def loss(target, output):
    """Focal loss of the classes, and 1 - IoU of the boxes, both for one place that shows something."""
    logits, classes = output[..., :CLASSES], target[..., :CLASSES]
    shows = ops.max(classes, axis=-1)
    focal = keras.losses.binary_focal_crossentropy(
        classes, logits, from_logits=True, apply_class_balancing=True
    )
    true, found = target[..., CLASSES:], output[..., CLASSES:]
    area, found_area = (ops.prod(x[..., :2] + x[..., 2:], axis=-1) for x in (true, found))
    least = ops.minimum(true, found)
    shared = ops.prod(least[..., :2] + least[..., 2:], axis=-1)
    misses = 1 - shared / (area + found_area - shared + 1e-6)
    return (CLASSES * ops.sum(focal) + ops.sum(shows * misses)) / ops.maximum(ops.sum(shows), 1.0)


def detect(
    model: keras.Model, images: np.ndarray, strides: Sequence[int], threshold: float = 0.05
) -> list[Found]:
    """Of each image the boxes above a score, without those that a better one of their class overlaps."""
    outputs = model.predict(images, verbose=0)
    found = []
    for boxes, logits in (decode(output, strides) for output in outputs):
        found.append(list(best_boxes(boxes, 1 / (1 + np.exp(-logits)), threshold)))
    return found


def average_precision(found: Sequence[Found], truth: Sequence[shapes.Drawn], label: int) -> float:
    """The area under precision over recall of a class, at IoU 0.5, as Pascal VOC has it since 2010."""
    left = [list(image.boxes[image.labels == label]) for image in truth]
    total = sum(map(len, left))
    ranked = sorted(
        ((score, n, box) for n, image in enumerate(found) for kind, score, box in image if kind == label),
        key=lambda one: -one[0],
    )
    hits = np.zeros(len(ranked))
    for place, (_, number, box) in enumerate(ranked):
        shared = overlaps(box, np.array(left[number]).reshape(-1, 4))
        if len(shared) and shared.max() >= 0.5:
            hits[place] = 1
            del left[number][int(shared.argmax())]  # the next one to find it is wrong
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best_from_here * hits).sum() / total)


def train(name: str, images: int, epochs: int, **options) -> tuple[keras.Model, list[int], float]:
    """The detector, its maps' strides, and the mean average precision on images that it has not seen."""
    strides = [level.stride for level in modelzoo.feature_info(name) if level.name != "C1"]
    drawn, unseen = shapes.draw_all(images, seed=1), shapes.draw_all(max(8, images // 10), seed=2)
    model = detector(name, **options)
    steps = epochs * -(-images // 16)
    rate = keras.optimizers.schedules.CosineDecay(1e-4, steps, warmup_target=2e-3, warmup_steps=steps // 10)
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=10.0), loss)
    targets = np.stack([encode(one.boxes, one.labels, strides) for one in drawn])
    model.fit(np.stack([one.image for one in drawn]), targets, batch_size=16, epochs=epochs, verbose=2)
    found = detect(model, np.stack([one.image for one in unseen]), strides)
    return model, strides, float(np.mean([average_precision(found, unseen, n) for n in range(CLASSES)]))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", default="mobilenet_0.25_224", help="default: %(default)s")
    parser.add_argument("--weights", default="pretrained", help="as in modelzoo.load")
    parser.add_argument("--images", type=int, default=3000, help="to draw; default: %(default)s")
    parser.add_argument("--epochs", type=int, default=12, help="default: %(default)s")
    given = parser.parse_args(arguments)
    keras.utils.set_random_seed(1)
    _, _, precision = train(given.model, given.images, given.epochs, weights=given.weights)
    print(f"mAP at IoU 0.5: {precision:.3f}")


if __name__ == "__main__":
    main()
