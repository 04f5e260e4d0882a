"""The network that is trained: a backbone of the zoo, its pooled last map, and a new linear head."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from modelzoo import registry, store, zoo
from modelzoo.architectures import feature_info
from modelzoo.errors import quoted
from modelzoo.registry import Entry, Preprocessing
from modelzoo.runtimes import Deployment
from modelzoo.store import PRETRAINED
from modelzoo.tasks import EmbeddingsHead
from modelzoo.training.freezing import unfreeze
from modelzoo.training.options import TrainingOptions
from modelzoo.zoo import NetworkOptions

LOGITS, PROBABILITIES = "logits", "probabilities"
SMOOTH = {"pillow_nearest": "pillow_bilinear", "pillow3_nearest": "pillow_bilinear"}


@dataclass(frozen=True)
class Base:
    """The model that training starts from: with which weights, at which size."""

    model: str | os.PathLike[str]
    weights: str | os.PathLike[str] | None = PRETRAINED
    size: int | None = None

    @property
    def entry(self) -> Entry:
        return store.entry_of(registry.info(self.model), self.weights)

    @property
    def side(self) -> int:
        return self.size or self.entry.preprocessing.crop_size

    @property
    def preprocessing(self) -> Preprocessing:
        """How images are prepared, for training and afterwards: the entry's, at the size.

        Where the entry takes the nearest pixel, all pixels count instead: what is trained gets used to it.
        """
        found = self.entry.preprocessing
        resize = found.resize_size
        return replace(
            found,
            crop_size=self.side,
            resize_size=None if resize is None else round(resize * self.side / found.crop_size),
            interpolation=SMOOTH.get(found.interpolation, found.interpolation),
        )

    def check(self) -> None:
        """Raises ValueError for a model that does not classify, or a size that it cannot take."""
        if self.entry.task != "classification":
            raise ValueError(f"{self.entry.key} is a {self.entry.task} model: expected one that classifies.")
        zoo.graph_of(self.entry, self.options)

    @property
    def options(self) -> NetworkOptions:
        shape = (self.side, self.side, 3)
        return NetworkOptions(include_top=False, pooling="avg", input_shape=shape, dtype="float32")

    def deployment(self) -> Deployment:
        return Deployment(self.model, self.weights)


@dataclass(frozen=True)
class SizedEmbeddings(EmbeddingsHead):
    """Embeddings of images as a base takes them."""

    base: Base | None = None

    def options(self, deployment: Deployment) -> NetworkOptions:
        return replace(_known(self.base).options, dtype=None)

    def preprocessing(self, entry: Entry) -> Preprocessing:
        return _known(self.base).preprocessing


def _known(base: Base | None) -> Base:
    if base is None:
        raise ValueError("Expected a base.")
    return base


def build(base: Base, classes: int, dropout: float) -> keras.Model:
    """The base with a new head, from preprocessed images to logits, (batch, classes)."""
    backbone = zoo.load(
        base.model,
        weights=base.weights,
        include_top=False,
        pooling="avg",
        input_shape=(base.side, base.side, 3),
        dtype="float32",
    )
    x = keras.layers.Dropout(dropout, seed=0, name="dropout")(backbone.output)
    logits = keras.layers.Dense(
        classes, name=LOGITS, dtype="float32", kernel_initializer=keras.initializers.GlorotUniform(seed=0)
    )(x)
    return keras.Model(backbone.input, logits, name=backbone.name)


def with_probabilities(model: keras.Model) -> keras.Model:
    """The same network, that ends in probabilities."""
    softmax = keras.layers.Softmax(dtype="float32", name=PROBABILITIES)
    return keras.Model(model.input, softmax(model.output), name=model.name)


def set_head(model: keras.Model, kernel: np.ndarray, bias: np.ndarray) -> None:
    layer: Any = model.get_layer(LOGITS)
    layer.set_weights([kernel, bias])


def open_layers(model: keras.Model, options: TrainingOptions) -> None:
    """Makes those layers trainable that the options say: from a level on, batch norms or not."""
    model.trainable = False
    unfreeze(model, options.from_level, batch_norm=options.batch_norm)


def check_level(base: Base, level: str | None) -> None:
    """Raises ValueError for a level that the network does not have."""
    levels = [info.name for info in feature_info(base.entry.reference)]
    if level is not None and level not in levels:
        raise ValueError(f"{base.entry.key} has no level {quoted(level)}: choose one of {', '.join(levels)}.")
