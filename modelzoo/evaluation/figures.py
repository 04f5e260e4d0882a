"""Rows with their classes -> accuracy, what is taken for what, calibration: counted row by row."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TOP = 5
BINS = 15  # of the confidence; Guo et al. 2017, arXiv 1706.04599
DEVIATIONS = 1.959963984540054  # of a normal distribution, between which 95 % lie
MISTAKES = 50  # the most confident ones that are kept
FAILURES = 20  # images without an answer that are named; how many there are is counted


@dataclass(frozen=True, slots=True)
class Proportion:
    """A part of all images, 0 to 1, and the ends of its 95 % interval (Wilson 1927)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """A class that has images: of these `correct` are found; `predicted` images are taken for it.

    precision: correct / predicted, None where nothing is taken for it. recall: correct / images.
    """

    id: str
    name: str
    images: int
    correct: int
    predicted: int
    precision: float | None
    recall: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """How many images of class `truth` are taken for class `predicted`; both are ids, and may be the same."""

    truth: str
    predicted: str
    images: int


@dataclass(frozen=True, slots=True)
class Bin:
    """The images whose first probability is above `low` and at most `high`.

    confidence: the mean of these probabilities. accuracy: the part of the images whose first label is right.
    """

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Mistake:
    """An image whose most likely label, of this probability, is not its class."""

    image: str
    truth: str
    predicted: str
    probability: float


@dataclass(frozen=True, slots=True)
class Failure:
    """An image without an answer, and why."""

    image: str
    reason: str


def proportion(hits: int, images: int) -> Proportion:
    """hits / images with its Wilson interval, which stays in 0 to 1 and is right for few images, too."""
    part, z2 = hits / images, DEVIATIONS**2
    scale = 1 + z2 / images
    center = (part + z2 / (2 * images)) / scale
    half = DEVIATIONS * math.sqrt(part * (1 - part) / images + z2 / (4 * images**2)) / scale
    low = 0.0 if not hits else center - half  # exact where rounding would leave 1e-17
    return Proportion(part, low, 1.0 if hits == images else center + half)


class Tally:
    """Counts images one by one; memory depends on the classes alone."""

    def __init__(self) -> None:
        self.images = self.top1 = self.top5 = self.failed = 0
        self.confusions: Counter[tuple[str, str]] = Counter()  # truth and prediction, ids
        self.failures: list[Failure] = []
        self._bins = [[0, 0.0, 0] for _ in range(BINS)]  # images, sum of probabilities, right ones
        self._mistakes: list[tuple[float, int, Mistake]] = []

    def add(self, image: str, truth: str, row: Mapping[str, Any]) -> None:
        """Counts an image of the class with the id `truth`, from its row."""
        if "error" in row:
            self.failed += 1
            if len(self.failures) < FAILURES:
                self.failures.append(Failure(image, row["error"]))
            return
        predictions = row["predictions"]
        first = predictions[0]
        right = first["id"] == truth
        self.images += 1
        self.top1 += right
        self.top5 += any(prediction["id"] == truth for prediction in predictions[:TOP])
        self.confusions[truth, first["id"]] += 1
        self._add_to_bin(first["probability"], right)
        if not right:
            self._add_mistake(Mistake(image, truth, first["id"], first["probability"]))

    def _add_to_bin(self, probability: float, right: bool) -> None:
        place = min(max(math.ceil(probability * BINS) - 1, 0), BINS - 1)  # bfloat16 may round above 1
        counts = self._bins[place]
        counts[0] += 1
        counts[1] += probability
        counts[2] += right

    def _add_mistake(self, mistake: Mistake) -> None:
        keep = heapq.heappush if len(self._mistakes) < MISTAKES else heapq.heappushpop
        keep(self._mistakes, (mistake.probability, -self.images, mistake))

    def mistakes(self) -> tuple[Mistake, ...]:
        """The most confident mistakes, the worst first; of equal ones the first image's."""
        return tuple(mistake for _, _, mistake in sorted(self._mistakes, reverse=True))

    def classes(self, names: Mapping[str, str]) -> tuple[ClassFigures, ...]:
        """The figures of each class that has images, in the order of the names by id."""
        images: Counter[str] = Counter()
        predicted: Counter[str] = Counter()
        for (truth, prediction), count in self.confusions.items():
            images[truth] += count
            predicted[prediction] += count
        return tuple(
            ClassFigures(
                identifier,
                name,
                images[identifier],
                correct := self.confusions[identifier, identifier],
                predicted[identifier],
                correct / predicted[identifier] if predicted[identifier] else None,
                correct / images[identifier],
            )
            for identifier, name in names.items()
            if images[identifier]
        )

    def calibration(self) -> tuple[Bin, ...]:
        """The bins of a reliability diagram, from the lowest probability to the highest."""
        return tuple(
            Bin(
                place / BINS,
                (place + 1) / BINS,
                int(count),
                total / count if count else None,
                right / count if count else None,
            )
            for place, (count, total, right) in enumerate(self._bins)
        )

    def calibration_error(self) -> float:
        """The expected calibration error: the mean of |accuracy - confidence| over the images' bins."""
        return sum(abs(right - total) for _, total, right in self._bins) / self.images
