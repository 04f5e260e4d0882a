"""YOLOv2's output -> boxes and scores, and the best of the boxes that overlap."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

OVERLAP = 0.45  # Darknet's; of two boxes of a class that share more of their union, the worse one goes


def read_cells(output: np.ndarray, variant: str) -> tuple[np.ndarray, np.ndarray]:
    """All boxes (count, 4) and their scores by class (count, classes), float32.

    `output` is YOLOv2's, (rows, columns, anchors * (5 + classes)); for each anchor x, y, width, height,
    objectness, classes. A box is (y0, x0, y1, x1) in fractions of what the network saw: its center is in
    its cell, its sides are multiples of the anchor's. Its scores are objectness times the classes' softmax.
    """
    from modelzoo.architectures import yolo  # takes time, and only detection needs it

    anchors = np.array(yolo.VARIANTS[variant].anchors, np.float32)
    rows, columns, channels = output.shape
    cells = np.asarray(output, np.float32).reshape(rows, columns, len(anchors), channels // len(anchors))
    grid = np.array((columns, rows), np.float32)
    corner = np.indices((rows, columns))[::-1].transpose(1, 2, 0)[:, :, None]  # column and row of each cell
    with np.errstate(over="ignore"):  # then a sigmoid is 0, a box without end
        center = (_sigmoid(cells[..., :2]) + corner) / grid
        size = np.exp(cells[..., 2:4]) * anchors / grid
        scores = _sigmoid(cells[..., 4:5]) * _softmax(cells[..., 5:])
    boxes = np.concatenate([center - size / 2, center + size / 2], axis=-1)[..., [1, 0, 3, 2]]
    return boxes.astype(np.float32).reshape(-1, 4), scores.reshape(-1, scores.shape[-1])


def best_boxes(
    boxes: np.ndarray, scores: np.ndarray, threshold: float
) -> Iterator[tuple[int, float, np.ndarray]]:
    """Class, score and box of those above `threshold` that no better one of their class overlaps.

    The best come first; of equal scores the first class, and in it the first box.
    """
    found = [
        (int(number), index)
        for number in np.flatnonzero((scores > threshold).any(axis=0))
        for index in _without_overlaps(boxes, scores[:, number], threshold)
    ]
    for number, index in sorted(found, key=lambda pair: -scores[pair[1], pair[0]]):
        yield number, float(scores[index, number]), boxes[index]


def _without_overlaps(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> Iterator[int]:
    """Non-maximum suppression in one class: the places of the boxes that remain, best first."""
    left = np.flatnonzero(scores > threshold)
    left = left[np.argsort(-scores[left], kind="stable")]
    while len(left):
        best, left = int(left[0]), left[1:]
        yield best
        left = left[~(overlaps(boxes[best], boxes[left]) > OVERLAP)]  # a box without end overlaps none


def overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union with each of the others, float32 as in TensorFlow; 0 where there is no area."""
    with np.errstate(invalid="ignore"):
        shared = _area(np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:]))
        area, areas = _area(box[:2], box[2:]), _area(others[:, :2], others[:, 2:])
        overlaps = shared / (area + areas - shared)
    return np.where((area > 0) & (areas > 0), overlaps, np.float32(0))


def _area(upper_left: np.ndarray, lower_right: np.ndarray) -> np.ndarray:
    return np.prod(np.maximum(lower_right - upper_left, np.float32(0)), axis=-1)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def _softmax(values: np.ndarray) -> np.ndarray:
    exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
