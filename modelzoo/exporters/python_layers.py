"""Graph -> calls of Keras' layers, as Python writes them: a kind, arguments, a name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from modelzoo.graph import Graph, Node, Operator
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.elementwise import (
    ELU,
    Activation,
    Add,
    Dropout,
    LeakyReLU,
    Multiply,
    PReLU,
    ReLU,
    Subtract,
)
from modelzoo.graph.normalization import BatchNorm, ChannelScale, LayerNorm, Normalization, Rescale
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.shaping import (
    Concat,
    Cropping,
    Flatten,
    Permute,
    Reshape,
    SamePadding,
    UpSampling,
    ZeroPadding,
)
from modelzoo.graph.windows import Margins

Arguments = dict[str, Any]
LAYERS = "layers."  # what the kind of a layer begins with
GELU_TANH = "keras.ops.gelu"  # which no layer of Keras has
RESCALED = "rescaled"  # times a number, and plus one
OPERATION_NAMES = r"(add|multiply|subtract)(_\d+)?"  # as Keras calls the operations of its own


@dataclass(frozen=True)
class Call:
    """A layer, an operation or a function of ours, called on values.

    kind: what is called: "layers.Conv2D", an arithmetic sign, or the name of a function.
    arguments: all of them, also those that are as by default.
    name: of the layer; of a function what the names of its layers are made of. None for an operation.
    shared: whether another call uses the same layer.
    suffix: what the name adds to that of its block.
    """

    kind: str
    arguments: Mapping[str, Any]
    name: str | None
    inputs: tuple[str, ...]
    output: str
    shared: bool = False
    suffix: str = ""


@dataclass(frozen=True)
class Expression:
    """What stands in the program as it is, and is no value."""

    text: str


@dataclass(frozen=True)
class Signature:
    """How a call is written: the arguments that need no name, and those that need not be said."""

    positional: tuple[str, ...] = ()
    defaults: Mapping[str, Any] | None = None

    def written(self, arguments: Mapping[str, str]) -> list[str]:
        """The arguments, each of which is written already; what is as by default is left out."""
        defaults = {name: literal(value) for name, value in (self.defaults or {}).items()}
        return [
            text if name in self.positional else f"{name}={text}"
            for name, text in arguments.items()
            if defaults.get(name) != text
        ]


WINDOW = {"strides": 1, "padding": "valid", "dilation_rate": 1, "use_bias": True}
SIGNATURES: dict[str, Signature] = {
    "Conv2D": Signature(("filters", "kernel_size"), {**WINDOW, "groups": 1}),
    "DepthwiseConv2D": Signature(("kernel_size",), {**WINDOW, "depth_multiplier": 1}),
    "SeparableConv2D": Signature(("filters", "kernel_size"), {**WINDOW, "depth_multiplier": 1}),
    "Conv2DTranspose": Signature(("filters", "kernel_size"), WINDOW),
    "Dense": Signature(("units",), {"use_bias": True}),
    "BatchNormalization": Signature((), {"momentum": 0.99, "epsilon": 0.001, "center": True, "scale": True}),
    "LayerNormalization": Signature((), {"epsilon": 0.001, "center": True, "scale": True}),
    "Normalization": Signature(),
    "Rescaling": Signature(("scale", "offset"), {"offset": 0.0}),
    "EinsumDense": Signature(("equation", "output_shape")),
    "Add": Signature(),
    "Multiply": Signature(),
    "Subtract": Signature(),
    "Concatenate": Signature(("axis",), {"axis": -1}),
    "MaxPooling2D": Signature(("pool_size",), {"strides": None, "padding": "valid"}),
    "AveragePooling2D": Signature(("pool_size",), {"strides": None, "padding": "valid"}),
    "GlobalAveragePooling2D": Signature((), {"keepdims": False}),
    "GlobalMaxPooling2D": Signature((), {"keepdims": False}),
    "Activation": Signature(("activation",)),
    "ReLU": Signature(("max_value",), {"max_value": None}),
    "LeakyReLU": Signature(("negative_slope",), {"negative_slope": 0.3}),
    "ELU": Signature(("alpha",), {"alpha": 1.0}),
    "PReLU": Signature((), {"shared_axes": None}),
    "Dropout": Signature(("rate",), {"noise_shape": None}),
    "ZeroPadding2D": Signature(("padding",)),
    "Cropping2D": Signature(("cropping",)),
    "Reshape": Signature(("target_shape",)),
    "Flatten": Signature(),
    "Permute": Signature(("dims",)),
    "UpSampling2D": Signature(("size",), {"interpolation": "nearest"}),
}


def calls_of(graph: Graph) -> dict[str, list[Call]]:
    """The calls of each node: its own, and before it that of the padding which Keras leaves to another layer.

    Raises ValueError, with the node's name, for what Keras cannot do.
    """
    layers = [node.layer or node.name for node in graph.nodes]
    named = any(re.fullmatch(OPERATION_NAMES, node.layer) for node in graph.nodes if node.layer)
    return {
        node.name: _calls(graph, node, shared=layers.count(node.layer or node.name) > 1, named=named)
        for node in graph.nodes
    }


def literal(value: Any) -> str:
    """A value as Python's own formatters write it."""
    if isinstance(value, Expression):
        return value.text
    text = repr(value)
    return text if '"' in text or "\\" in text else text.replace("'", '"')


def is_plain(name: str | None) -> bool:
    """Whether a name can stand in any text of the program, in its f-strings and comments, too."""
    return name is None or re.fullmatch(r"[A-Za-z0-9_.\-]*", name) is not None


def _calls(graph: Graph, node: Node, *, shared: bool, named: bool) -> list[Call]:
    operator, inputs, padding = node.operator, node.inputs, []
    if isinstance(operator, Activation) and operator.function == "gelu_tanh":
        return [Call(GELU_TANH, {"approximate": True}, None, inputs, node.name)]
    if node.layer is None and not named and type(operator) in SIGNS:
        return [Call(SIGNS[type(operator)], {}, None, inputs, node.name)]
    if node.layer is None and not named and isinstance(operator, Rescale):
        return [Call(RESCALED, {"scale": operator.scale, "offset": operator.offset}, None, inputs, node.name)]
    if isinstance(operator, SamePadding):
        operator = _known_margins(graph, node, operator)
    margins = getattr(operator, "padding", "valid")
    if not isinstance(margins, str):
        if not isinstance(operator, (Conv, DepthwiseConv, SeparableConv)):
            kind = type(operator).__name__
            raise ValueError(f"{kind} {node.name!r}: expected the padding 'valid' or 'same', got {margins}")
        inner = f"{node.name}_pad"
        padding = [Call(f"{LAYERS}ZeroPadding2D", {"padding": _margins(margins)}, inner, inputs, inner)]
        inputs = (inner,)
    kind, arguments = _layer(node, operator)
    name = node.layer or node.name
    return [*padding, Call(LAYERS + kind, arguments, name, inputs, node.name, shared)]


def _known_margins(graph: Graph, node: Node, operator: SamePadding) -> ZeroPadding:
    found = operator.margins(graph.shape(node.inputs[0]))
    if found is None:
        raise ValueError(f"the padding of {node.name!r} depends on the size of images")
    return ZeroPadding(found)


def _layer(node: Node, operator: Operator) -> tuple[str, Arguments]:
    if isinstance(operator, ChannelScale):
        axes = "bhwd"[: len(node.shape) - 1] + "c"
        return "EinsumDense", {"equation": f"{axes},c->{axes}", "output_shape": node.shape[1:]}
    if isinstance(operator, GlobalPool):
        kind = {"avg": "GlobalAveragePooling2D", "max": "GlobalMaxPooling2D"}[operator.reduction]
        return kind, {"keepdims": operator.keep_sides}
    kind, arguments = KERAS[type(operator)]
    return kind, arguments(operator)


def _brief(value: tuple[int, ...]) -> Any:
    """One number for a pair of equal ones."""
    return value[0] if len(set(value)) == 1 else value


def _margins(margins: Margins) -> Any:
    """As Keras takes them: one number, one for each axis, or one for each edge."""
    if any(before != after for before, after in margins):
        return margins
    return _brief((margins[0][0], margins[1][0]))


def _convolution(op: Any) -> Arguments:
    return {
        "kernel_size": _brief(op.kernel),
        "strides": _brief(op.stride),
        "padding": op.padding if isinstance(op.padding, str) else "valid",
        "use_bias": op.bias,
    }


def _pool(op: Any) -> Arguments:
    strides = None if op.stride == op.size else _brief(op.stride)
    return {"pool_size": _brief(op.size), "strides": strides, "padding": op.padding}


SIGNS: dict[type[Operator], str] = {Add: "+", Multiply: "*", Subtract: "-"}
KERAS: dict[type[Operator], tuple[str, Callable[[Any], Arguments]]] = {
    Conv: (
        "Conv2D",
        lambda op: (
            {"filters": op.filters}
            | _convolution(op)
            | {"dilation_rate": _brief(op.dilation), "groups": op.groups}
        ),
    ),
    DepthwiseConv: (
        "DepthwiseConv2D",
        lambda op: (
            _convolution(op) | {"dilation_rate": _brief(op.dilation), "depth_multiplier": op.multiplier}
        ),
    ),
    SeparableConv: (
        "SeparableConv2D",
        lambda op: (
            {"filters": op.filters}
            | _convolution(op)
            | {"dilation_rate": _brief(op.dilation), "depth_multiplier": op.multiplier}
        ),
    ),
    TransposedConv: ("Conv2DTranspose", lambda op: {"filters": op.filters} | _convolution(op)),
    Dense: ("Dense", lambda op: {"units": op.units, "use_bias": op.bias}),
    BatchNorm: (
        "BatchNormalization",
        lambda op: {
            "momentum": op.momentum,
            "epsilon": op.epsilon,
            "center": op.center,
            "scale": op.scale,
        },
    ),
    LayerNorm: (
        "LayerNormalization",
        lambda op: {"epsilon": op.epsilon, "center": op.center, "scale": op.scale},
    ),
    Normalization: ("Normalization", lambda op: {"mean": op.mean, "variance": op.variance}),
    Rescale: (
        "Rescaling",
        lambda op: {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in (("scale", op.scale), ("offset", op.offset))
        },
    ),
    Add: ("Add", lambda op: {}),
    Multiply: ("Multiply", lambda op: {}),
    Subtract: ("Subtract", lambda op: {}),
    Concat: ("Concatenate", lambda op: {"axis": op.axis}),
    MaxPool: ("MaxPooling2D", _pool),
    AveragePool: ("AveragePooling2D", _pool),
    Activation: ("Activation", lambda op: {"activation": op.function}),
    ReLU: ("ReLU", lambda op: {"max_value": op.limit}),
    LeakyReLU: ("LeakyReLU", lambda op: {"negative_slope": op.slope}),
    ELU: ("ELU", lambda op: {"alpha": op.alpha}),
    PReLU: ("PReLU", lambda op: {"shared_axes": list(op.shared_axes) or None}),
    Dropout: ("Dropout", lambda op: {"rate": op.rate, "noise_shape": op.shape_of_noise}),
    ZeroPadding: ("ZeroPadding2D", lambda op: {"padding": _margins(op.margins)}),
    Cropping: ("Cropping2D", lambda op: {"cropping": _margins(op.margins)}),
    Reshape: ("Reshape", lambda op: {"target_shape": op.target}),
    Flatten: ("Flatten", lambda op: {}),
    Permute: ("Permute", lambda op: {"dims": op.axes}),
    UpSampling: (
        "UpSampling2D",
        lambda op: {"size": _brief(op.size), "interpolation": op.interpolation},
    ),
}
