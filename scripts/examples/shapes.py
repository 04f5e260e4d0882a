"""Images that the examples learn from: colored circles, squares and triangles on noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NAMES = ("circle", "square", "triangle")
SIDE = 128  # of an image, in pixels
SIZES = (14, 72)  # of a shape
MOST = 4  # shapes in an image


@dataclass(frozen=True)
class Drawn:
    """An image, and what is in it.

    image: uint8 (SIDE, SIDE, 3). mask: int32 (SIDE, SIDE), 0 where there is none, else 1 + the class.
    boxes: float32 (shapes, 4) of y0, x0, y1, x1 in pixels. labels: int64 (shapes,).
    """

    image: np.ndarray
    mask: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray


def draw_all(count: int, seed: int) -> list[Drawn]:
    """So many images; each follows from the seed and its number, so that other seeds give other images."""
    return [draw(np.random.default_rng([seed, number])) for number in range(count)]


def draw(random: np.random.Generator) -> Drawn:
    """One image with one to MOST shapes, whose boxes do not overlap."""
    image = random.normal(random.uniform(60, 195, 3), random.uniform(10, 50), (SIDE, SIDE, 3))
    mask = np.zeros((SIDE, SIDE), np.int32)
    boxes, labels = [], []
    for _ in range(random.integers(1, MOST + 1)):
        label, size = int(random.integers(len(NAMES))), int(random.integers(*SIZES))
        top, left = random.integers(0, SIDE - size, 2)
        place = np.s_[top : top + size, left : left + size]
        if mask[place].any():
            continue
        inside = filled(NAMES[label], size)
        image[place][inside] = random.uniform(0, 255, 3) + random.normal(0, 15, (int(inside.sum()), 3))
        mask[place] = np.where(inside, 1 + label, 0)
        boxes.append([top, left, top + size, left + size])
        labels.append(label)
    return Drawn(np.clip(image, 0, 255).astype(np.uint8), mask, np.array(boxes, np.float32), np.array(labels))


def filled(name: str, size: int) -> np.ndarray:
    """The pixels of a square of `size` that are in the shape, bool (size, size); touches all four sides."""
    y, x = (np.indices((size, size)) + 0.5) / size  # in (0, 1), of the pixels' centers
    if name == "circle":
        return (y - 0.5) ** 2 + (x - 0.5) ** 2 <= 0.25
    return np.abs(x - 0.5) <= y / 2 if name == "triangle" else np.ones((size, size), bool)
