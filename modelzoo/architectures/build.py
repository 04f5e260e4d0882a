"""build(): a family's backbone plus pooling and head, as a graph that becomes plain functional models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelzoo import variables
from modelzoo.architectures import families
from modelzoo.architectures.family import Tensor
from modelzoo.architectures.sizes import check_sides, state_smallest
from modelzoo.architectures.top import apply_top

if TYPE_CHECKING:
    import keras

    from modelzoo.architectures.layers import Layers

POOLINGS = (None, "avg", "max")
FINEST_FEATURE = 2  # features=True starts at C2, stride 4: finer maps are rarely needed and large


@dataclass(frozen=True)
class Network:
    """A built graph: its input, its feature maps by name, and its output."""

    name: str
    images: Tensor
    maps: dict[str, Tensor]
    output: Tensor
    smallest_side: int  # of its images, in pixels

    def model(self) -> keras.Model:
        """The keras.Model from images to output."""
        import keras

        return self._stated(keras.Model(self.images, self.output, name=self.name))

    def initialize(self) -> Network:
        """The network itself, after variables without values got some by their own initializers."""
        variables.initialize(self.model())
        return self

    def feature_model(self, names: bool | Sequence[str]) -> keras.Model:
        """The keras.Model from images to a dict of feature maps; it shares its layers with `model()`.

        `names` are some of C1, C2, ... (Cn has stride 2**n); True means all from C2 on. Raises
        ValueError for a map that the network does not have.
        """
        import keras

        if names is True:
            names = [name for name in self.maps if int(name[1:]) >= FINEST_FEATURE]
        if isinstance(names, str) or not names or not all(name in self.maps for name in names):
            raise ValueError(f"features must be True or names among {', '.join(self.maps)}, not {names!r}.")
        maps = {name: self.maps[name] for name in names}
        return self._stated(keras.Model(self.images, maps, name=self.name))

    def _stated(self, model: keras.Model) -> keras.Model:
        state_smallest(model, self.smallest_side)
        return model


def variants(family: str) -> tuple[str, ...]:
    """The names of the family's variants; raises ValueError for an unknown family."""
    return tuple(families.find(family).variants)


def build(
    family: str,
    variant: str,
    *,
    input_shape: tuple[int | None, int | None, int],
    classes: int | None = None,
    pooling: str | None = None,
    classifier_activation: str | None = None,
    dtype: str | None = None,
    initialize: bool = True,
    name: str | None = None,
) -> Network:
    """The network for float images of shape (batch, *input_shape).

    With `classes` its output is (batch, classes): the layer `logits`, which is linear, and `probabilities`
    after it if there is a `classifier_activation`; of a family that detects, its `detector`'s. Without, it is
    the last feature map, (batch, height, width, channels), or (batch, channels) with a `pooling`. With
    `initialize=False` the weights have no values yet, see modelzoo.variables. Raises ValueError
    for an unknown family, variant or pooling, and for too small images.
    """
    import keras

    facts, nn = families.find(family, variant), _vocabulary(dtype)
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be None, 'avg' or 'max', not {pooling!r}.")
    smallest = check_sides(family, variant, input_shape, top=classes is not None)

    def construct() -> Network:
        images = keras.Input(input_shape, name="images")
        maps = facts.backbone(nn, images, variant)
        if classes is not None:
            output = apply_top(nn, facts, variant, maps, classes, classifier_activation)
        else:
            output = maps[max(maps)]
            if pooling is not None:
                output = nn.global_pool(output, pooling, name="pool", output=True)
        return Network(name or f"{family}_{variant}", images, maps, output, smallest)

    network = variables.without_values(construct)
    return network.initialize() if initialize else network


def _vocabulary(dtype: str | None) -> Layers:
    """The words that architectures are written in, for this dtype or dtype policy or Keras' global one."""
    import keras

    from modelzoo.architectures.layers import Layers

    return Layers(keras.config.dtype_policy() if dtype is None else dtype)
