"""A Keras model that itself refuses images smaller than its network takes."""

from __future__ import annotations

import keras


class AtLeast(int):
    """A side as Keras compares it with an input's: only smaller ones differ."""

    def __eq__(self, side: object) -> bool:
        return isinstance(side, int) and int(side) >= int(self)

    def __ne__(self, side: object) -> bool:
        return not self == side

    __hash__ = int.__hash__

    def __repr__(self) -> str:
        return f"at least {int(self)}"


def state_smallest(model: keras.Model, smallest: int) -> None:
    """Makes the model itself refuse smaller images where a side is open: one of its layers would."""
    _, height, width, channels = model.input_shape
    if smallest == 1 or None not in (height, width):
        return
    spec = keras.layers.InputSpec(ndim=4, name="images")
    sides = (AtLeast(smallest) if side is None else side for side in (height, width))
    spec.shape = (None, *sides, channels)  # its constructor would make plain numbers of them
    model.input_spec = spec
