"""A linear head on embeddings: multinomial logistic regression on all images at once, in seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Numbers = npt.NDArray[np.int64]
DECAYS = (0.1, 0.03, 0.01, 0.003)  # the strongest first: each starts from the one before
STEPS = 80  # for each


@dataclass(frozen=True)
class LinearHead:
    """logits = embeddings @ kernel + bias, and how good it is on the validation images."""

    kernel: Floats  # (channels, classes)
    bias: Floats  # (classes,)
    weight_decay: float
    accuracy: float


def fit_head(
    train: tuple[Floats, Numbers],
    validation: tuple[Floats, Numbers],
    classes: int,
    *,
    label_smoothing: float = 0.0,
    sample_weights: Floats | None = None,
) -> LinearHead:
    """The head of the weight decay that has the lowest loss on the validation images.

    train, validation: embeddings float32 (images, channels), and the classes' numbers (images,).
    """
    mean: Floats = train[0].mean(axis=0)
    std: Floats = train[0].std(axis=0) + np.float32(1e-6)
    scaled = (train[0] - mean) / std
    targets = smoothed(train[1], classes, label_smoothing)
    given = np.ones(len(scaled), np.float32) if sample_weights is None else sample_weights
    weights = (given / given.sum())[:, None].astype(np.float32)
    kernel, bias = np.zeros((scaled.shape[1], classes), np.float32), np.zeros(classes, np.float32)
    found: list[tuple[float, LinearHead]] = []
    for decay in DECAYS:
        kernel, bias = _fit(scaled, targets, weights, decay, (kernel, bias))
        own = kernel / std[:, None]
        head = LinearHead(own, bias - mean @ own, decay, 0.0)
        loss, accuracy = score(validation[0] @ head.kernel + head.bias, validation[1])
        found.append((loss, LinearHead(head.kernel, head.bias, decay, accuracy)))
    return min(found, key=lambda pair: pair[0])[1]


def smoothed(labels: Numbers, classes: int, smoothing: float) -> Floats:
    """One row for each label, 1 at its place, less the part that all classes share."""
    rows = np.full((len(labels), classes), smoothing / classes, np.float32)
    rows[np.arange(len(labels)), labels] += 1 - smoothing
    return rows


def score(logits: Floats, labels: Numbers) -> tuple[float, float]:
    """The mean cross entropy, and the part of rows whose greatest logit is the label's."""
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    chosen = shifted[np.arange(len(labels)), labels] - np.log(np.exp(shifted).sum(axis=1))
    return float(-chosen.mean()), float((logits.argmax(axis=1) == labels).mean())


def _fit(
    x: Floats, targets: Floats, weights: Floats, decay: float, start: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """Nesterov's method with restarts; the step is that of the greatest curvature."""
    step = np.float32(1 / (0.5 * _greatest(x, weights) + 0.5 + decay))
    (kernel, bias), momentum = start, 1.0
    ahead, ahead_bias = kernel, bias
    for _ in range(STEPS):
        error = (_softmax(x @ ahead + ahead_bias) - targets) * weights
        slope, slope_bias = x.T @ error + np.float32(decay) * ahead, error.sum(axis=0)
        new, new_bias = ahead - step * slope, ahead_bias - step * slope_bias
        if float((slope * (new - kernel)).sum()) > 0:  # uphill: forget the direction
            momentum = 1.0
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        push = np.float32((momentum - 1) / following)
        ahead, ahead_bias = new + push * (new - kernel), new_bias + push * (new_bias - bias)
        kernel, bias, momentum = new, new_bias, following
    return kernel, bias


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _greatest(x: Floats, weights: Floats) -> float:
    """The greatest eigenvalue of the weighted second moments, by power iteration."""
    vector = np.ones(x.shape[1], np.float32) / np.float32(x.shape[1] ** 0.5)
    length = 1.0
    for _ in range(20):
        vector = x.T @ ((x @ vector)[:, None] * weights)[:, 0]
        length = float(np.linalg.norm(vector)) or 1.0
        vector = vector / np.float32(length)
    return 1.05 * length
