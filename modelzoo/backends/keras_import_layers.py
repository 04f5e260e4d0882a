"""What each of Keras' layers is in operators: one small function a class, and every option accounted for.

An option that no operator expresses is refused, whatever later Keras adds to a layer's configuration, too.
What matters in training only is refused as well, unless the graph is to be for inference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from modelzoo.backends.keras_import_options import Call, Described, as_tuple, is_kerass_own, refusal
from modelzoo.errors import quoted
from modelzoo.graph import Initializer, Operator, Shape
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
from modelzoo.graph.operator import ONES, ZEROS
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.shaping import (
    Concat,
    Cropping,
    Flatten,
    Permute,
    Reshape,
    UpSampling,
    ZeroPadding,
)


def operators_of(layer: keras.Layer, shape: Shape, *, inference: bool) -> tuple[Operator, ...]:
    """What a layer does to an input of this shape, one after the other; the first one has the weights.

    Raises ValueError, which names the layer and its class, for one that operators cannot express.
    """
    translate = LAYERS.get(type(layer)) or (
        PRIVATE.get(type(layer).__name__) if is_kerass_own(layer) else None
    )
    passing = inference and type(layer) in PASSING
    if translate is None and not passing:
        raise refusal(layer, "no operator does what this class does")
    if getattr(layer, "quantization_mode", None) is not None:
        raise refusal(layer, "its weights are quantized")
    if translate is None:
        return (Activation("linear"),)
    return _operators(translate, Call(layer, dict(layer.get_config()), shape, inference))


def described_operators(layer: Described, options: dict[str, Any], shape: Shape) -> tuple[Operator, ...]:
    """As `operators_of` for inference, of a layer that is only described: in the options of Keras 3.

    Raises ValueError, which names the layer and its class, for one that operators cannot express.
    """
    translate = BY_NAME.get(layer.kind)
    if translate is None and layer.kind not in PASSING_NAMES:
        raise refusal(layer, "no operator does what this class does")
    if translate is None:
        return (Activation("linear"),)
    return _operators(translate, Call(layer, dict(options), shape, inference=True))


def _operators(
    translate: Callable[[Call], Operator | tuple[Operator, ...]], call: Call
) -> tuple[Operator, ...]:
    found = translate(call)
    call.finish()
    operators = found if isinstance(found, tuple) else (found,)
    return tuple(op for place, op in enumerate(operators) if place == 0 or op != Activation("linear"))


def _convolution(call: Call, *names: str) -> dict[str, Any]:
    """What all convolutions have; `names` are those of the kernels' initializers."""
    first, *others = (call.initializer(name) for name in names)
    if any(other != first for other in others) and not call.inference:
        raise call.refusal(f"no operator has different initializers {' and '.join(names)}")
    call.initializer("bias_initializer", ZEROS)
    return {
        "kernel": call.take("kernel_size"),
        "stride": call.take("strides"),
        "padding": _padding(call),
        "bias": call.take("use_bias"),
        "initializer": first,
    }


def _padding(call: Call) -> Any:
    found = call.take("padding")
    if found not in ("valid", "same"):
        raise call.refusal(f"no operator has padding={quoted(found)}")
    return found


def _conv(call: Call) -> tuple[Operator, ...]:
    options = _convolution(call, "kernel_initializer")
    dilation, groups = call.take("dilation_rate"), call.take("groups", 1)
    return Conv(call.take("filters"), dilation=dilation, groups=groups, **options), call.activation()


def _depthwise_conv(call: Call) -> tuple[Operator, ...]:
    options = _convolution(call, "depthwise_initializer")
    dilation, multiplier = call.take("dilation_rate"), call.take("depth_multiplier")
    call.expect("groups", 1)
    return DepthwiseConv(dilation=dilation, multiplier=multiplier, **options), call.activation()


def _separable_conv(call: Call) -> tuple[Operator, ...]:
    options = _convolution(call, "depthwise_initializer", "pointwise_initializer")
    dilation, multiplier = call.take("dilation_rate"), call.take("depth_multiplier")
    call.expect("groups", 1)
    # Its base class has options of a kernel that it does not have.
    call.options.pop("kernel_initializer", None)
    operator = SeparableConv(call.take("filters"), dilation=dilation, multiplier=multiplier, **options)
    return operator, call.activation()


def _transposed_conv(call: Call) -> tuple[Operator, ...]:
    options = _convolution(call, "kernel_initializer")
    call.expect("dilation_rate", (1, 1))
    padding = getattr(call.layer, "output_padding", None)  # which the configuration lacks before Keras 3.10
    if call.take("output_padding", padding) is not None:
        raise call.refusal(f"no operator has output_padding={quoted(as_tuple(padding))}")
    call.expect("groups", 1)
    return TransposedConv(call.take("filters"), **options), call.activation()


def _dense(call: Call) -> tuple[Operator, ...]:
    initializer = call.initializer("kernel_initializer")
    call.initializer("bias_initializer", ZEROS)
    return Dense(call.take("units"), bias=call.take("use_bias"), initializer=initializer), call.activation()


def _einsum_dense(call: Call) -> Operator:
    """What `backends.keras` writes for a scale of each channel."""
    equation = call.take("equation")
    axes = equation.partition(",")[0] if isinstance(equation, str) else ""
    last = axes[-1:]
    if equation != f"{axes},{last}->{axes}" or len(set(axes)) != len(axes) or len(axes) != len(call.shape):
        raise call.refusal(f"no operator has equation={quoted(equation)}")
    call.take("output_shape")
    call.expect("bias_axes", None)
    call.initializer("bias_initializer", ZEROS)
    call.expect("activation", "linear")
    return ChannelScale(call.initializer("kernel_initializer"))


def _layer_scale(call: Call) -> Operator:
    call.take("projection_dim")
    return ChannelScale(Initializer("constant", float(call.take("init_values"))))


def _batch_norm(call: Call) -> Operator:
    call.last_axis()
    for name, default in (
        ("beta", ZEROS),
        ("gamma", ONES),
        ("moving_mean", ZEROS),
        ("moving_variance", ONES),
    ):
        call.initializer(f"{name}_initializer", default)
    call.in_training("synchronized", False)
    call.expect("renorm", False)
    call.take("renorm_momentum")
    momentum, epsilon = float(call.take("momentum")), float(call.take("epsilon"))
    return BatchNorm(epsilon, momentum, call.take("center"), call.take("scale"))


def _layer_norm(call: Call) -> Operator:
    call.last_axis()
    call.initializer("beta_initializer", ZEROS)
    call.initializer("gamma_initializer", ONES)
    return LayerNorm(float(call.take("epsilon")), call.take("center"), call.take("scale"))


def _normalization(call: Call) -> Operator:
    """The constants that it was given, or those that it took from images."""
    axis = call.take("axis")
    if axis not in (None, (), -1, len(call.shape) - 1, (-1,), (len(call.shape) - 1,)):
        raise call.refusal(f"no operator has axis={quoted(axis)}, only the last one")
    channels = (call.shape[-1],) if call.shape[-1] is not None else ()
    found = []
    for name in ("mean", "variance"):
        value = call.take(name)
        if (
            value is None
        ):  # then the layer computes with what its weights were when they were loaded or adapted
            value = keras.ops.convert_to_numpy(getattr(call.layer, name))
        found.append(tuple(np.broadcast_to(np.squeeze(value), channels).tolist()))
    return Normalization(*found)


def _rescaling(call: Call) -> Operator:
    scale, offset = call.take("scale"), call.take("offset")
    return Rescale(*(x if isinstance(x, tuple) else float(x) for x in (scale, offset)))


def _concatenate(call: Call) -> Operator:
    axis = call.take("axis")
    return Concat(-1 if axis == len(call.shape) - 1 else axis)


def _pool(operator: type[MaxPool | AveragePool]) -> Callable[[Call], Operator]:
    return lambda call: operator(call.take("pool_size"), call.take("strides"), _padding(call))


def _relu(call: Call) -> Operator:
    limit, slope = call.take("max_value"), call.take("negative_slope", 0.0)
    call.expect("threshold", 0.0)
    if slope and limit is not None:
        raise call.refusal("no operator has a limit and a slope at once")
    return LeakyReLU(float(slope)) if slope else ReLU(None if limit is None else float(limit))


def _softmax(call: Call) -> Operator:
    call.last_axis()
    return Activation("softmax")


def _prelu(call: Call) -> Operator:
    return PReLU(call.take("shared_axes") or (), call.initializer("alpha_initializer"))


def _dropout(call: Call) -> Operator:
    call.take("seed")
    return Dropout(float(call.take("rate")), call.take("noise_shape"))


def _spatial_dropout(call: Call) -> Operator:
    call.take("seed")
    call.take("noise_shape")
    return Dropout(float(call.take("rate")), (None, 1, 1, None))


def _upsampling(call: Call) -> Operator:
    interpolation = call.take("interpolation")
    if interpolation not in ("nearest", "bilinear"):
        raise call.refusal(f"no operator has interpolation={quoted(interpolation)}")
    return UpSampling(call.take("size"), interpolation)


LAYERS: dict[type, Callable[[Call], Operator | tuple[Operator, ...]]] = {
    keras.layers.Conv2D: _conv,
    keras.layers.DepthwiseConv2D: _depthwise_conv,
    keras.layers.SeparableConv2D: _separable_conv,
    keras.layers.Conv2DTranspose: _transposed_conv,
    keras.layers.Dense: _dense,
    keras.layers.EinsumDense: _einsum_dense,
    keras.layers.BatchNormalization: _batch_norm,
    keras.layers.LayerNormalization: _layer_norm,
    keras.layers.Normalization: _normalization,
    keras.layers.Rescaling: _rescaling,
    keras.layers.Add: lambda call: Add(),
    keras.layers.Multiply: lambda call: Multiply(),
    keras.layers.Subtract: lambda call: Subtract(),
    keras.layers.Concatenate: _concatenate,
    keras.layers.MaxPooling2D: _pool(MaxPool),
    keras.layers.AveragePooling2D: _pool(AveragePool),
    keras.layers.GlobalAveragePooling2D: lambda call: GlobalPool("avg", call.take("keepdims")),
    keras.layers.GlobalMaxPooling2D: lambda call: GlobalPool("max", call.take("keepdims")),
    keras.layers.Activation: lambda call: call.activation(),
    keras.layers.Identity: lambda call: Activation("linear"),
    keras.layers.ReLU: _relu,
    keras.layers.LeakyReLU: lambda call: LeakyReLU(float(call.take("negative_slope"))),
    keras.layers.ELU: lambda call: ELU(float(call.take("alpha"))),
    keras.layers.PReLU: _prelu,
    keras.layers.Softmax: _softmax,
    keras.layers.Dropout: _dropout,
    keras.layers.SpatialDropout2D: _spatial_dropout,
    keras.layers.ZeroPadding2D: lambda call: ZeroPadding(call.take("padding")),
    keras.layers.Cropping2D: lambda call: Cropping(call.take("cropping")),
    keras.layers.Reshape: lambda call: Reshape(call.take("target_shape")),
    keras.layers.Flatten: lambda call: Flatten(),
    keras.layers.Permute: lambda call: Permute(call.take("dims")),
    keras.layers.UpSampling2D: _upsampling,
}
PRIVATE: dict[str, Callable[[Call], Operator | tuple[Operator, ...]]] = {"LayerScale": _layer_scale}
PASSING = {  # what changes nothing outside training, where no operator does it
    keras.layers.ActivityRegularization,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
}
BY_NAME = {kind.__name__: translate for kind, translate in LAYERS.items()}
PASSING_NAMES = {kind.__name__ for kind in PASSING}
