"""features(): pictures -> what a network sees in each, as a vector to search, cluster or train on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from modelzoo import preprocessing, registry, runtimes
from modelzoo.preprocessing import Picture
from modelzoo.registry import Entry
from modelzoo.zoo import PRETRAINED

BATCH_SIZE = 32  # pictures; more gains nothing on a CPU and costs memory


class FeatureExtractor:
    """A model without its head, loaded once and used often. The arguments are as in modelzoo.Classifier."""

    def __init__(
        self,
        model: str,
        *,
        weights: str | os.PathLike | None = PRETRAINED,
        runtime: str = "auto",
        precision: str = "f32",
    ):
        self.entry: Entry = registry.info(model)
        self.predictor = runtimes.predictor(
            self.entry, weights, runtime, precision, include_top=False, pooling="avg"
        )

    def __call__(self, pictures: Picture | Sequence[Picture]) -> np.ndarray:
        """The average of the last feature map, float32 (pictures, channels). Pictures as in preprocess."""
        named = preprocessing.name_pictures(pictures)
        return np.stack(list(self.each(picture for picture, _ in named)))

    def each(self, pictures: Iterable[Picture]) -> Iterator[np.ndarray]:
        """The same, one vector after the other, for any number of pictures in constant memory."""
        pictures = iter(pictures)
        while batch := list(islice(pictures, BATCH_SIZE)):
            yield from self.predictor.predict(preprocessing.preprocess(batch, self.entry.pictures))


def features(
    pictures: Picture | Sequence[Picture], model: str, *, runtime: str = "auto", precision: str = "f32"
) -> np.ndarray:
    """What a pretrained model sees in each picture, float32 (pictures, channels).

    Loads the model anew each time: for many calls, keep a FeatureExtractor.
    """
    return FeatureExtractor(model, runtime=runtime, precision=precision)(pictures)
