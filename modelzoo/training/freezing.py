"""freeze() and unfreeze(): which layers of a Keras model training may change, by feature levels.

A frozen batch norm also keeps its moving statistics, and uses them in training: so Keras has it.
"""

from __future__ import annotations

from collections.abc import Iterator

import keras

from modelzoo.architectures import levels_in
from modelzoo.errors import quoted

Preprocessing = keras.layers.Pipeline  # has nothing to learn, whatever is unfrozen around it


def freeze(model: keras.Model, until: str | None = None, *, batch_norm: bool = True) -> list[str]:
    """Freezes the layers that a feature level needs, itself included; the names of those that have weights.

    model: what `load` gave, or a model that has it in it. Compile it afterwards: Keras takes notice then.
    until: a level ("C4"), or a layer's name; default: the last level, so that all but the head is frozen.
    batch_norm: False leaves batch norms as they are: their statistics and weights follow the new images.
    What comes after the level stays as it is, also where the whole model was frozen by `model.trainable`.
    Raises ValueError for a level or layer that the model does not have.
    """
    part, needed = _found(model, until)
    frozen = [
        found
        for found in part.layers
        if found.name in needed and (batch_norm or not isinstance(found, keras.layers.BatchNormalization))
    ]
    _set(model, frozen, trainable=False)
    return [found.name for found in frozen if found.weights]


def unfreeze(model: keras.Model, from_: str | None = None, *, batch_norm: bool = False) -> list[str]:
    """Makes all layers trainable from a feature level's stage on; the names of those that have weights.

    model: as in freeze(). Compile it afterwards.
    from_: a level: all that the level before it does not need; or the first layer's name; default: all.
    batch_norm: False leaves batch norms as they are, frozen mostly: with small batches their statistics are
        better those of the pretraining.
    Raises ValueError for a level or layer that the model does not have.
    """
    before: set[int] = set()
    if from_ is not None:
        part, _ = _found(model, from_)
        before = _before(part, from_)
    opened = [
        found
        for found in _leaves(model)
        if id(found) not in before
        and not isinstance(found, Preprocessing)
        and (batch_norm or not isinstance(found, keras.layers.BatchNormalization))
    ]
    _set(model, opened, trainable=True)
    return [found.name for found in opened if found.weights]


def _set(model: keras.Model, layers: list[keras.Layer], *, trainable: bool) -> None:
    """Sets the layers' own flags; a model around them must be trainable for one of them to be."""
    flags = [(layer, layer.trainable) for layer in _leaves(model)]
    model.trainable = True  # of all layers, too
    for layer, flag in flags:
        layer.trainable = flag
    for layer in layers:
        layer.trainable = trainable


def _leaves(model: keras.Model) -> Iterator[keras.Layer]:
    """The layers that are no models."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        else:
            yield layer


def _parts(model: keras.Model) -> Iterator[keras.Model]:
    """The model, and those in it."""
    yield model
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _parts(layer)


def _found(model: keras.Model, name: str | None) -> tuple[keras.Model, frozenset[str]]:
    """The model, this one or one in it, that has a level or layer, and the layers that this needs."""
    known: dict[str, frozenset[str]] = {}
    for part in _parts(model):
        layers = [layer.name for layer in part.layers]
        levels = levels_in(layers)
        known |= levels
        place = max(levels) if name is None and levels else name
        if place in levels:
            return part, levels[place]
        if place is not None and place in layers:
            return part, _needed_by(part, place)
    if not known:
        advice = "name a layer: it has no feature levels of a network in the registry"
    else:
        advice = f"choose one of {', '.join(known)}, or a layer's name"
    raise ValueError(f"{quoted(model.name)} has no level or layer {quoted(name)}: {advice}.")


def _before(part: keras.Model, name: str) -> set[int]:
    """The ids of the layers before a level's stage, or before a layer."""
    levels = levels_in([layer.name for layer in part.layers])
    if name in levels:
        finer = [level for level in levels if level < name]
        before = levels[max(finer)] if finer else frozenset[str]()
    else:
        before = _needed_by(part, name) - {name}
    return {id(layer) for layer in part.layers if layer.name in before}


def _needed_by(part: keras.Model, name: str) -> frozenset[str]:
    """The layers from the model's inputs to this one, which comes with them."""
    needed = keras.Model(part.inputs, part.get_layer(name).output).layers
    return frozenset(layer.name for layer in needed)
