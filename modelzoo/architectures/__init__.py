"""build(): a family's backbone plus pooling and head, as a graph that becomes plain functional models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

FAMILIES = (
    "inception",
    "inception_resnet",
    "keras_applications",
    "mobilenet",
    "nasnet",
    "resnet",
    "vgg",
    "yolo",
)
POOLINGS = (None, "avg", "max")
FINEST_FEATURE = 2  # features=True starts at C2, stride 4: finer maps are rarely wanted and large


@dataclass(frozen=True)
class Network:
    """A built graph: its input, its feature maps by name, and its output."""

    name: str
    images: Any
    maps: dict[str, Any]
    output: Any

    def model(self) -> keras.Model:
        """The keras.Model from images to output."""
        import keras

        return keras.Model(self.images, self.output, name=self.name)

    def feature_model(self, names: bool | Sequence[str]) -> keras.Model:
        """The keras.Model from images to a dict of feature maps; it shares its layers with `model()`.

        `names` are some of C1, C2, ... (Cn has stride 2**n); True means all from C2 on. Raises
        ValueError for a map that the network does not have.
        """
        import keras

        if names is True:
            names = [name for name in self.maps if int(name[1:]) >= FINEST_FEATURE]
        unknown = [name for name in names if name not in self.maps]
        if unknown or isinstance(names, str) or not names:
            raise ValueError(f"features must be True or names among {', '.join(self.maps)}, not {names!r}.")
        return keras.Model(self.images, {name: self.maps[name] for name in names}, name=self.name)


def variants(family: str) -> tuple[str, ...]:
    """The names of the family's variants."""
    return tuple(_module(family).VARIANTS)


def build(
    family: str,
    variant: str,
    *,
    input_shape: tuple[int | None, int | None, int],
    classes: int | None = None,
    pooling: str | None = None,
    classifier_activation: str | None = None,
    dtype: str | None = None,
    initialise: bool = True,
    name: str | None = None,
) -> Network:
    """The network for float images of shape (batch, *input_shape).

    With `classes` its output is (batch, classes): the layer `pool`, the linear layer `logits`, and
    `probabilities` after it if there is a `classifier_activation`; or, of a family that detects, what its
    `detector` says. Without, it is the last feature map, (batch, height, width, channels), or
    (batch, channels) with `pooling` "avg" or "max".

    With `initialise=False` the weights have no values yet: `deferred` sets them, one by one.
    Raises ValueError for an unknown family, variant or pooling.
    """
    import keras

    from modelzoo.architectures import deferred
    from modelzoo.architectures.layers import Layers

    module = _module(family)
    if variant not in module.VARIANTS:
        raise ValueError(f"Family {family!r} has no variant {variant!r}, only {', '.join(module.VARIANTS)}.")
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be None, 'avg' or 'max', not {pooling!r}.")

    nn = Layers(keras.config.dtype_policy() if dtype is None else dtype)

    def draw() -> Network:
        images = keras.Input(input_shape, name="images")
        maps = module.backbone(nn, images, variant)
        x = maps[max(maps)]
        if classes is not None and hasattr(module, "detector"):
            if classifier_activation is not None:
                raise ValueError(f"Family {family!r} detects: its output has no one activation.")
            x = module.detector(nn, maps, variant, classes)
        elif classes is not None:
            x = getattr(module, "top", _average_pool)(nn, x, variant)
            x = nn.dense(x, classes, name="logits")
            if classifier_activation is not None:
                x = nn.activation(x, classifier_activation, name="probabilities")
        elif pooling is not None:
            x = nn.global_pool(x, pooling, name="pool")
        return Network(name or f"{family}_{variant}", images, maps, x)

    network = deferred.without_values(draw)
    if initialise:
        deferred.initialise(network.model())
    return network


def _average_pool(nn, x, variant: str):
    """What most networks have between the last feature map and the logits; a family may have its own."""
    return nn.global_pool(x, "avg", name="pool")


def _module(family: str):
    if family not in FAMILIES:
        raise ValueError(f"Unknown family {family!r}; there are {', '.join(FAMILIES)}.")
    return import_module(f"modelzoo.architectures.{family}")
