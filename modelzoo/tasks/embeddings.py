"""embed(): images -> vectors of a network without its head, to search, cluster or train on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modelzoo.registry import Entry, Preprocessing
from modelzoo.runtimes import Crops, Deployment, Precision, Runtime
from modelzoo.store import PRETRAINED
from modelzoo.tasks.pipeline import BATCH_SIZE, Pipeline
from modelzoo.zoo import NetworkOptions

if TYPE_CHECKING:
    from modelzoo.images import ImageInput


@dataclass(frozen=True)
class EmbeddingsHead:
    """Of each image the average of the last feature map, float32 (channels,).

    classes_in: a folder with one folder a class, where the images are from one.
    """

    batch_size: int = BATCH_SIZE
    classes_in: str | None = None

    def options(self, deployment: Deployment) -> NetworkOptions:
        return NetworkOptions(include_top=False, pooling="avg")

    def preprocessing(self, entry: Entry) -> Preprocessing:
        return entry.preprocessing

    def decode(self, output: np.ndarray, size: tuple[int, int], entry: Entry) -> np.ndarray:
        return output


class Embedder:
    """A model without its head, loaded once and used often. The arguments are as in modelzoo.Deployment."""

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        weights: str | os.PathLike[str] | None = PRETRAINED,
        runtime: Runtime = "auto",
        precision: Precision = "f32",
        crops: Crops = 1,
    ):
        self.pipeline = Pipeline(Deployment(model, weights, runtime, precision, crops), EmbeddingsHead())
        self.entry = self.pipeline.entry

    def __call__(self, images: ImageInput | Sequence[ImageInput]) -> np.ndarray:
        """The average of the last feature map, float32 (images, channels). Images as in preprocess."""
        return np.stack(self.pipeline(images))

    def each(self, images: Iterable[ImageInput]) -> Iterator[np.ndarray]:
        """The same, one vector after the other, for any number of images in constant memory."""
        return self.pipeline.each(images)


def embed(
    images: ImageInput | Sequence[ImageInput],
    model: str | os.PathLike[str],
    *,
    runtime: Runtime = "auto",
    precision: Precision = "f32",
    crops: Crops = 1,
) -> np.ndarray:
    """The embedding of each image by a pretrained model, float32 (images, channels).

    crops: 10 gives the mean over the corners, the center and their mirror images.
    Loads the model anew each time: for many calls, keep an Embedder.
    """
    return Embedder(model, runtime=runtime, precision=precision, crops=crops)(images)
