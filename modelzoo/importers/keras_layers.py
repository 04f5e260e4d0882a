"""Layers of old Keras models -> operators: where the axes lie, and what Keras 1 and Theano did otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelzoo.backends.keras_import_layers import described_operators
from modelzoo.backends.keras_import_options import as_tuple, refusal
from modelzoo.errors import quoted
from modelzoo.graph import Operator, Tensor
from modelzoo.graph.convolutions import TransposedConv
from modelzoo.graph.elementwise import Activation, Add, Multiply, ReLU, Subtract
from modelzoo.graph.normalization import Normalization, Rescale
from modelzoo.graph.shaping import Concat, Flatten, Permute
from modelzoo.importers.keras_config import Layer
from modelzoo.importers.keras_options import Origin, described, kind_of, named_activation, options_of
from modelzoo.importers.keras_padding import theanos_padding
from modelzoo.importers.values import CHANNELS_FIRST, CHANNELS_LAST, Reading, Value, plain

MAPS = {  # layers on maps, which say where the channels are
    *("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose", "SpatialDropout2D"),
    *("MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D"),
    *("ZeroPadding2D", "Cropping2D", "UpSampling2D"),
}
NORMS = {"BatchNormalization", "LayerNormalization", "Normalization", "Softmax"}  # along an axis
PLAIN = {"Reshape", "PReLU"}  # that go by the axes as they lie
SAME = {"Dropout", "ReLU", "LeakyReLU", "ELU", "Identity", "Rescaling", "InputLayer"}
COMBINED: dict[str, Callable[[], Operator]] = {"Add": Add, "Multiply": Multiply, "Subtract": Subtract}
MERGED = {"sum": "Add", "mul": "Multiply", "concat": "Concatenate", "ave": "Average"}
OLD_HARD_SIGMOID = (Rescale(0.2, 0.5), ReLU(1.0))  # clip(x / 5 + 1/2, 0, 1)


@dataclass
class Site:
    """A layer at one place where it is called."""

    reading: Reading
    layer: Layer
    name: str  # of the layer in the graph
    origin: Origin
    constants: Callable[[str], np.ndarray | None]  # the value of a weight that no operator has as one

    def refusal(self, what: str) -> ValueError:
        return refusal(described(self.layer), what)

    def add(self, operator: Operator, *inputs: Tensor) -> Tensor:
        return self.reading.add(operator, *inputs, name=self.name, layer=self.name)

    def then(self, operators: Sequence[Operator], x: Tensor) -> Tensor:
        """The layer's other operators, which get names of their own."""
        for operator in operators:
            word = operator.function if isinstance(operator, Activation) else type(operator).__name__.lower()
            x = self.reading.add(operator, x, name=f"{self.name}_{word}")
        return x


def applied(at: Site, inputs: Sequence[Value]) -> Value:
    """What the layer gives. Raises ValueError, which names it and its class, for what operators lack."""
    kind, options = kind_of(at.layer), options_of(at.layer)
    if kind == "Merge":
        kind, options = _merged(at, options)
    if kind in COMBINED or kind == "Average":
        return _combined(at, kind, inputs)
    if kind == "Concatenate":
        return _concatenated(at, options, inputs)
    if len(inputs) != 1:
        raise at.refusal(f"expected one input, got {len(inputs)}")
    x = inputs[0]
    if kind == "Permute":
        return _permuted(at, options, x)
    if kind == "Flatten":
        return _flattened(at, options, x)
    x = _arranged(at, kind, options, x)
    first, *others = _operators(at, kind, options, x)
    found = at.then(others, at.add(first, x.tensor))
    order = x.order if len(found.shape) == x.rank else plain(len(found.shape))
    return Value(found, plain(len(found.shape)) if kind in PLAIN else order)


def _operators(at: Site, kind: str, options: dict[str, Any], x: Value) -> Sequence[Operator]:
    word = named_activation(at.layer, options, at.origin)
    if word == "old_hard_sigmoid":
        options["activation"] = "linear"
    elif "activation" in options:
        options["activation"] = word
    if at.origin.theano and options.get("padding") == "same":
        options["padding"] = "valid"
        found = described_operators(described(at.layer), options, x.tensor.shape)
        found = (theanos_padding(at, found[0], x.tensor.shape), *found[1:])
    else:
        found = described_operators(described(at.layer), options, x.tensor.shape)
    if at.origin.theano and isinstance(found[0], TransposedConv):
        raise at.refusal("of Theano's only convolutions are read that are not transposed")
    return (*found, *OLD_HARD_SIGMOID) if word == "old_hard_sigmoid" else found


def _arranged(at: Site, kind: str, options: dict[str, Any], x: Value) -> Value:
    """The input with its axes as the operator needs them; options that say where they lie are taken out."""
    if kind in MAPS:
        given = options.pop("data_format", None) or at.origin.data_format
        if given not in ("channels_first", "channels_last"):
            raise at.refusal(f"no operator has data_format={quoted(given)}")
        _check_bilinear(at, options)
        if x.rank != 4:
            raise at.refusal(f"expected a map, got values of shape {x.shape}")
        return at.reading.laid(x, CHANNELS_FIRST if given == "channels_first" else CHANNELS_LAST)
    if kind in NORMS:
        if kind == "Normalization":
            _state_constants(at, options)
        axis = as_tuple(options.pop("axis", -1))
        axis = axis[0] if isinstance(axis, tuple) and len(axis) == 1 else axis
        if type(axis) is not int:
            raise at.refusal(f"no operator has axis={quoted(axis)}, only one")
        return at.reading.last(x, axis)
    softmax = options.get("activation") == "softmax"
    if kind == "Dense" or softmax:
        return at.reading.last(x, -1)
    if kind in PLAIN or options.get("noise_shape") is not None or kind == "Rescaling":
        return Value(at.reading.plain(x), plain(x.rank))
    return x


def _check_bilinear(at: Site, options: Mapping[str, Any]) -> None:
    old = at.origin.version.split(".")[:2] in (["2", "0"], ["2", "1"], ["2", "2"])
    if options.get("interpolation") == "bilinear" and old:
        raise at.refusal("whether its interpolation counts pixels from their centers depends on TensorFlow 1")


def _state_constants(at: Site, options: dict[str, Any]) -> None:
    """Mean and variance are weights in the file, and constants of a graph."""
    for name in ("mean", "variance"):
        if options.get(name) is None:
            found = at.constants(name)
            if found is None or found.size > 2**16:
                raise at.refusal(f"its {name} is missing")
            options[name] = found.reshape(-1).tolist()


def _merged(at: Site, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Keras 1's layer for several inputs, in the words of Keras 3."""
    mode = options.get("mode")
    if not isinstance(mode, str) or mode not in MERGED or options.get("mode_type", "raw") != "raw":
        raise at.refusal(f"no operator has mode={quoted(mode)}")
    return MERGED[mode], {"axis": options.get("concat_axis", -1)}


def _combined(at: Site, kind: str, inputs: Sequence[Value]) -> Value:
    tensors, order = at.reading.alike(inputs)
    if kind == "Average":
        total = at.add(Add(), *tensors)
        return Value(at.then([Rescale(1 / len(tensors))], total), order)
    return Value(at.add(COMBINED[kind](), *tensors), order)


def _concatenated(at: Site, options: Mapping[str, Any], inputs: Sequence[Value]) -> Value:
    tensors, order = at.reading.alike(inputs)
    axis = inputs[0].axis(options.get("axis", -1))
    return Value(at.add(Concat(-1 if axis == len(order) - 1 else axis), *tensors), order)


def _permuted(at: Site, options: Mapping[str, Any], x: Value) -> Value:
    axes = as_tuple(options.get("dims"))
    if not isinstance(axes, tuple) or sorted(axes) != list(range(1, x.rank)):
        raise at.refusal(f"expected an order of {x.rank - 1} axes, got {quoted(axes)}")
    if x.order == plain(x.rank):
        return Value(at.add(Permute(axes), x.tensor), x.order)
    return Value(x.tensor, tuple(x.order[axis] for axis in (0, *axes)))


def _flattened(at: Site, options: Mapping[str, Any], x: Value) -> Value:
    """Keras 2 brings the channels of maps to the end first, where it is told that they are not there."""
    if options.get("data_format") == "channels_first" and x.rank == 4:
        tensor = at.reading.laid(x, CHANNELS_FIRST).tensor
    else:
        tensor = at.reading.plain(x)
    return Value(at.add(Flatten(), tensor), (0, 1))


def is_normalization(operator: Operator) -> bool:
    """Whether its constants are weights in the file."""
    return isinstance(operator, Normalization)
