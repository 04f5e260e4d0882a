"""Graph -> functional keras.Model, on any of Keras' backends."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from modelzoo import variables
from modelzoo.graph import Graph, Initializer, Node, Operator, Shape
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

Value = Any  # Keras' symbolic tensor
Options = dict[str, Any]  # what every layer takes: its name and dtype
LAST = {"data_format": "channels_last"}  # whatever Keras' configuration says
OPERATION_NAMES = r"(add|multiply|subtract)(_\d+)?"
GELU_TANH = Activation("gelu_tanh")  # which no layer of Keras has


def model(
    graph: Graph,
    *,
    dtype: str | keras.DTypePolicy | None = None,
    as_dict: bool | None = None,
    images: Callable[[str], tuple[Value, Value]] | None = None,
) -> keras.Model:
    """The functional model of a graph; its layers are those that the nodes name.

    Its variables have no values yet: `modelzoo.variables` sets them. `dtype` is a Keras dtype or dtype
    policy, None Keras' global one; under a mixed policy precise nodes compute in the dtype of the weights.
    The outputs are a dict by name if there are several, or if `as_dict`. `images` makes, by its name, another
    input than the graph's only one, and what the graph sees of it. Raises ValueError, with the node's name,
    for what Keras cannot do: padding that depends on an unknown side.
    """
    policy = keras.config.dtype_policy() if dtype is None else keras.dtype_policies.get(dtype)

    def construct() -> keras.Model:
        inputs = {name: keras.Input(shape[1:], name=name) for name, shape in graph.inputs.items()}
        values = dict(inputs)
        if images is not None:
            (name,) = inputs
            inputs[name], values[name] = images(name)
        values = _Construction(graph, policy, values).run()
        outputs = {name: values[value] for name, value in graph.outputs.items()}
        one_input = next(iter(inputs.values())) if len(inputs) == 1 else inputs
        alone = len(outputs) == 1 if as_dict is None else not as_dict
        return keras.Model(one_input, values[graph.output] if alone else outputs, name=graph.name)

    return variables.without_values(construct)


@dataclass(frozen=True)
class _Construction:
    """The state of building one model: the values by name, and the layers that were made."""

    graph: Graph
    policy: keras.DTypePolicy
    values: dict[str, Value]
    layers: dict[str, keras.Layer] = field(default_factory=dict)

    def run(self) -> dict[str, Value]:
        """All values by name."""
        contained: dict[str, list[Node]] = {}
        for node in self.graph.nodes:
            if node.container is not None:
                contained.setdefault(node.container, []).append(node)
        for node in self.graph.nodes:
            inputs = [self.values[name] for name in node.inputs if name in self.values]
            if node.container is None:
                self.values[node.name] = self._applied(node, inputs)
            elif node is contained[node.container][0]:
                chain = contained[node.container]
                layers = [self._layer(inner) for inner in chain]
                self.values[chain[-1].name] = keras.Sequential(layers, name=node.container)(inputs[0])
        return self.values

    def _applied(self, node: Node, inputs: list[Value]) -> Value:
        if node.operator == GELU_TANH or (node.layer is None and not self.names_collide):
            return _operation(node, inputs)
        inputs = [self._padded(node, x) for x in inputs] if _explicit_padding(node.operator) else inputs
        layer = node.layer or node.name
        if layer not in self.layers:
            self.layers[layer] = self._layer(node)
        several = node.operator.arity != (1, 1)
        return self.layers[layer](inputs if several else inputs[0])

    @functools.cached_property
    def names_collide(self) -> bool:
        """Whether a layer is called as Keras calls operations; then those are layers, too, to have a name."""
        return any(re.fullmatch(OPERATION_NAMES, node.layer) for node in self.graph.nodes if node.layer)

    def _layer(self, node: Node) -> keras.Layer:
        operator, options = node.operator, {"name": node.layer or node.name, "dtype": self._dtype(node)}
        if isinstance(operator, SamePadding):
            operator = self._margins(node, operator)
        if isinstance(operator, ChannelScale):
            return _channel_scale(operator, node.shape, options)
        try:
            return LAYERS[type(operator)](operator, options)
        except ValueError as error:
            raise ValueError(f"{type(operator).__name__} {node.name!r}: {error}") from error

    def _dtype(self, node: Node) -> keras.DTypePolicy | str:
        mixed = self.policy.compute_dtype != self.policy.variable_dtype
        return self.policy.variable_dtype if node.precise and mixed else self.policy

    def _margins(self, node: Node, operator: SamePadding) -> ZeroPadding:
        """The padding of a map whose height and width are known."""
        found = operator.margins(self.graph.shape(node.inputs[0]))
        if found is None:
            raise ValueError(
                f"{self.graph.name} is built for one size of images: name both sides of input_shape, "
                f"on which {node.name!r} depends."
            )
        return ZeroPadding(found)

    def _padded(self, node: Node, x: Value) -> Value:
        """A convolution's input, whose explicit padding Keras leaves to another layer."""
        padding: Any = getattr(node.operator, "padding")  # noqa: B009 (only operators that have one)
        options = {"name": f"{node.name}_pad", "dtype": self._dtype(node)}
        return keras.layers.ZeroPadding2D(padding, **LAST, **options)(x)


def _explicit_padding(operator: Operator) -> bool:
    return isinstance(operator, (Conv, DepthwiseConv, SeparableConv)) and not isinstance(
        operator.padding, str
    )


def _initializer(initializer: Initializer) -> Any:
    """Keras' object; its signatures say only str."""
    scale = initializer.scale
    if initializer.distribution == "constant":
        return keras.initializers.Constant(scale)
    if initializer.fan is not None:
        return keras.initializers.VarianceScaling(scale, initializer.fan, initializer.distribution)
    if initializer.distribution == "uniform":
        return keras.initializers.RandomUniform(-scale, scale)
    if initializer.distribution == "truncated_normal":
        return keras.initializers.TruncatedNormal(stddev=scale)
    return keras.initializers.RandomNormal(stddev=scale)


def _convolution(operator: Conv | TransposedConv | SeparableConv | DepthwiseConv) -> Options:
    """What all convolutions have; an explicit padding is another layer's."""
    padding = operator.padding if isinstance(operator.padding, str) else "valid"
    return {"strides": operator.stride, "padding": padding, "use_bias": operator.bias, **LAST}


def _conv(operator: Conv, options: Options) -> keras.Layer:
    return keras.layers.Conv2D(
        operator.filters,
        operator.kernel,
        dilation_rate=operator.dilation,
        groups=operator.groups,
        kernel_initializer=_initializer(operator.initializer),
        **_convolution(operator),
        **options,
    )


def _depthwise_conv(operator: DepthwiseConv, options: Options) -> keras.Layer:
    return keras.layers.DepthwiseConv2D(
        operator.kernel,
        depth_multiplier=operator.multiplier,
        dilation_rate=operator.dilation,
        depthwise_initializer=_initializer(operator.initializer),
        **_convolution(operator),
        **options,
    )


def _separable_conv(operator: SeparableConv, options: Options) -> keras.Layer:
    initializer = _initializer(operator.initializer)
    return keras.layers.SeparableConv2D(
        operator.filters,
        operator.kernel,
        depth_multiplier=operator.multiplier,
        dilation_rate=operator.dilation,
        depthwise_initializer=initializer,
        pointwise_initializer=initializer,
        **_convolution(operator),
        **options,
    )


def _transposed_conv(operator: TransposedConv, options: Options) -> keras.Layer:
    if not isinstance(operator.padding, str):
        raise ValueError(f"Expected the padding 'valid' or 'same' for Keras, got {operator.padding}.")
    return keras.layers.Conv2DTranspose(
        operator.filters,
        operator.kernel,
        kernel_initializer=_initializer(operator.initializer),
        **_convolution(operator),
        **options,
    )


def _dense(operator: Dense, options: Options) -> keras.Layer:
    initializer = _initializer(operator.initializer)
    return keras.layers.Dense(
        operator.units, use_bias=operator.bias, kernel_initializer=initializer, **options
    )


def _batch_norm(operator: BatchNorm, options: Options) -> keras.Layer:
    return keras.layers.BatchNormalization(
        axis=-1,
        momentum=operator.momentum,
        epsilon=operator.epsilon,
        center=operator.center,
        scale=operator.scale,
        **options,
    )


def _layer_norm(operator: LayerNorm, options: Options) -> keras.Layer:
    facts = {"epsilon": operator.epsilon, "center": operator.center, "scale": operator.scale}
    return keras.layers.LayerNormalization(axis=-1, **facts, **options)


def _channel_scale(operator: ChannelScale, shape: Shape, options: Options) -> keras.Layer:
    """ConvNeXt's own layer gives its weight no name, and a saved model could not be read without it."""
    axes = "bhwd"[: len(shape) - 1] + "c"
    output: Any = shape[1:]  # without the batch; of a side given as None the output's stays unknown
    initializer = _initializer(operator.initializer)
    return keras.layers.EinsumDense(f"{axes},c->{axes}", output, kernel_initializer=initializer, **options)


def _pool(kind: str, operator: MaxPool | AveragePool, options: Options) -> keras.Layer:
    if not isinstance(operator.padding, str):
        raise ValueError(f"Expected the padding 'valid' or 'same' for pooling, got {operator.padding}.")
    layer = {"max": keras.layers.MaxPooling2D, "avg": keras.layers.AveragePooling2D}[kind]
    return layer(operator.size, operator.stride, operator.padding, **LAST, **options)


def _global_pool(operator: GlobalPool, options: Options) -> keras.Layer:
    layer = {
        "avg": keras.layers.GlobalAveragePooling2D,
        "max": keras.layers.GlobalMaxPooling2D,
    }[operator.reduction]
    return layer(keepdims=operator.keep_sides, **LAST, **options)


def _rescaling(operator: Rescale, options: Options) -> keras.Layer:
    scale, offset = (list(x) if isinstance(x, tuple) else x for x in (operator.scale, operator.offset))
    return keras.layers.Rescaling(scale, offset, **options)


def _elu(operator: ELU, options: Options) -> keras.Layer:
    """Keras keeps this layer's arguments as they are, and in a file only the name of a policy."""
    dtype = options["dtype"]
    return keras.layers.ELU(operator.alpha, **options | {"dtype": getattr(dtype, "name", dtype)})


def _prelu(operator: PReLU, options: Options) -> keras.Layer:
    initializer = _initializer(operator.initializer)
    return keras.layers.PReLU(initializer, shared_axes=list(operator.shared_axes) or None, **options)


def _dropout(operator: Dropout, options: Options) -> keras.Layer:
    return keras.layers.Dropout(operator.rate, noise_shape=operator.shape_of_noise, **options)


def _upsampling(operator: UpSampling, options: Options) -> keras.Layer:
    return keras.layers.UpSampling2D(operator.size, interpolation=operator.interpolation, **LAST, **options)


LAYERS: dict[type[Operator], Callable[[Any, Options], keras.Layer]] = {
    Conv: _conv,
    DepthwiseConv: _depthwise_conv,
    SeparableConv: _separable_conv,
    TransposedConv: _transposed_conv,
    Dense: _dense,
    BatchNorm: _batch_norm,
    LayerNorm: _layer_norm,
    Normalization: lambda op, options: keras.layers.Normalization(
        mean=op.mean, variance=op.variance, **options
    ),
    Rescale: _rescaling,
    Add: lambda op, options: keras.layers.Add(**options),
    Multiply: lambda op, options: keras.layers.Multiply(**options),
    Subtract: lambda op, options: keras.layers.Subtract(**options),
    Concat: lambda op, options: keras.layers.Concatenate(op.axis, **options),
    MaxPool: lambda op, options: _pool("max", op, options),
    AveragePool: lambda op, options: _pool("avg", op, options),
    GlobalPool: _global_pool,
    Activation: lambda op, options: keras.layers.Activation(op.function, **options),
    ReLU: lambda op, options: keras.layers.ReLU(op.limit, **options),
    LeakyReLU: lambda op, options: keras.layers.LeakyReLU(op.slope, **options),
    ELU: _elu,
    PReLU: _prelu,
    Dropout: _dropout,
    ZeroPadding: lambda op, options: keras.layers.ZeroPadding2D(op.margins, **LAST, **options),
    Cropping: lambda op, options: keras.layers.Cropping2D(op.margins, **LAST, **options),
    Reshape: lambda op, options: keras.layers.Reshape(op.target, **options),
    Flatten: lambda op, options: keras.layers.Flatten(**LAST, **options),
    Permute: lambda op, options: keras.layers.Permute(op.axes, **options),
    UpSampling: _upsampling,
}


def _operation(node: Node, inputs: Sequence[Value]) -> Value:
    """The value of an arithmetic operation that is no layer. Raises ValueError for another operator."""
    operator, (x, *others) = node.operator, inputs
    if isinstance(operator, Rescale):
        x = x if operator.scale == 1 else x * operator.scale
        return x if operator.offset == 0 else x + operator.offset
    if operator == GELU_TANH:
        return keras.ops.gelu(x, approximate=True)
    if type(operator) not in ARITHMETIC:
        raise ValueError(f"Expected a layer for {type(operator).__name__} {node.name!r}, got none.")
    return functools.reduce(ARITHMETIC[type(operator)], others, x)


ARITHMETIC: dict[type[Operator], Callable[[Value, Value], Value]] = {
    Add: lambda x, y: x + y,
    Multiply: lambda x, y: x * y,
    Subtract: lambda x, y: x - y,
}
