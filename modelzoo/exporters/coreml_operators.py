"""The graph's operators in MIL. Feature maps have channels first there; what has another rank is as it is.

Attributes are written as https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html
says: padding is (top, bottom, left, right), a window's padding is never averaged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from modelzoo.exporters import coreml_windows as windows
from modelzoo.exporters.coreml_ranks import MOST_RANK
from modelzoo.exporters.coreml_values import AXES, Site, Value, arranged, mb, padded, rearranged
from modelzoo.graph import Operator
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

SMALLEST_DEVIATION = 1e-7  # that Keras divides by


# Values, each by itself or with those at its place


def _affine(at: Site, x: Value, scale: Any, shift: Any) -> Value:
    """scale * x + shift, each of one value or one a channel; None for one that is not there."""
    if scale is not None:
        name = at.name if shift is None else f"{at.name}_scaled"
        x = mb.mul(x=x, y=at.each_channel(scale), name=name)
    return x if shift is None else mb.add(x=x, y=at.each_channel(shift), name=at.name)


def _batch_norm(at: Site, op: BatchNorm, x: Value) -> Value:
    """On a map Core ML's own; elsewhere a product and a sum."""
    weights = {name: at.weight(name) for name in at.node.paths}
    if len(x.shape) == 4:
        given = at.options(
            mean=weights["moving_mean"],
            variance=weights["moving_variance"],
            gamma=weights.get("gamma"),
            beta=weights.get("beta"),
        )
        return mb.batch_norm(x=x, **given, epsilon=at.dtype(op.epsilon), name=at.name)
    wide = {name: array.astype(np.float64) for name, array in weights.items()}
    scale = wide.get("gamma", 1.0) / np.sqrt(wide["moving_variance"] + op.epsilon)
    return _affine(at, x, scale, wide.get("beta", 0.0) - wide["moving_mean"] * scale)


def _layer_norm(at: Site, op: LayerNorm, x: Value) -> Value:
    given = {name: at.weight(name) for name in at.node.paths}
    if op.center and not op.scale:  # coremltools asks for both or none
        given["gamma"] = np.ones_like(given["beta"])
    epsilon = at.dtype(op.epsilon)
    return arranged(
        mb.layer_norm(x=rearranged(x), axes=(-1,), **at.options(**given), epsilon=epsilon, name=at.name)
    )


def _normalization(at: Site, op: Normalization, x: Value) -> Value:
    deviation = np.maximum(np.sqrt(np.asarray(op.variance, np.float64)), SMALLEST_DEVIATION)
    centered = mb.sub(x=x, y=at.each_channel(op.mean), name=f"{at.name}_centered")
    return mb.real_div(x=centered, y=at.each_channel(deviation), name=at.name)


def _rescale(at: Site, op: Rescale, x: Value) -> Value:
    return _affine(at, x, None if op.scale == 1 else op.scale, None if op.offset == 0 else op.offset)


def _combined(combine: Callable[..., Value]) -> Callable[..., Value]:
    def combined(at: Site, op: Operator, x: Value, *others: Value) -> Value:
        for number, other in enumerate(others, start=1):
            x = combine(x=x, y=other, name=at.name if number == len(others) else f"{at.name}_{number}")
        return x

    return combined


def _relu(at: Site, op: ReLU, x: Value) -> Value:
    if op.limit is None:
        return mb.relu(x=x, name=at.name)
    return mb.clip(x=x, alpha=at.dtype(0), beta=at.dtype(op.limit), name=at.name)


def _prelu(at: Site, op: PReLU, x: Value) -> Value:
    """alpha may be of any shape, and Core ML's own operator takes one value a channel."""
    alpha = at.weight("alpha")
    alpha = alpha.transpose(2, 0, 1) if alpha.ndim == 3 else alpha
    above = mb.relu(x=x, name=f"{at.name}_above")
    below = mb.minimum(x=x, y=at.dtype(0), name=f"{at.name}_below")
    scaled = mb.mul(x=below, y=at.constant(alpha[None]), name=f"{at.name}_scaled")
    return mb.add(x=above, y=scaled, name=at.name)


def _activation(at: Site, op: Activation, x: Value) -> Value:
    return x if op.function == "linear" else ACTIVATIONS[op.function](at, x)


def _hard(at: Site, x: Value, name: str) -> Value:
    return mb.sigmoid_hard(x=x, alpha=at.dtype(1 / 6), beta=at.dtype(0.5), name=name)


def _softmax(at: Site, x: Value) -> Value:
    return mb.softmax(x=x, axis=1 if len(x.shape) == 4 else -1, name=at.name)


ACTIVATIONS: dict[str, Callable[[Site, Value], Value]] = {
    "elu": lambda at, x: mb.elu(x=x, alpha=at.dtype(1), name=at.name),
    "gelu": lambda at, x: mb.gelu(x=x, mode="EXACT", name=at.name),
    "gelu_tanh": lambda at, x: mb.gelu(x=x, mode="TANH_APPROXIMATION", name=at.name),
    "hard_sigmoid": lambda at, x: _hard(at, x, at.name),
    "hard_silu": lambda at, x: mb.mul(x=x, y=_hard(at, x, f"{at.name}_gate"), name=at.name),
    "relu": lambda at, x: mb.relu(x=x, name=at.name),
    "relu6": lambda at, x: mb.relu6(x=x, name=at.name),
    "sigmoid": lambda at, x: mb.sigmoid(x=x, name=at.name),
    "silu": lambda at, x: mb.silu(x=x, name=at.name),
    "softmax": _softmax,
    "softplus": lambda at, x: mb.softplus(x=x, name=at.name),
    "softsign": lambda at, x: mb.softsign(x=x, name=at.name),
    "tanh": lambda at, x: mb.tanh(x=x, name=at.name),
}


# Shapes


def _same_padding(at: Site, op: SamePadding, x: Value) -> Value:
    found = op.margins(at.shapes[0])
    if found is None:
        raise ValueError("its padding depends on a side that is not known")
    return padded(at, x, found, at.name)


def _cropping(at: Site, op: Cropping, x: Value) -> Value:
    (top, bottom), (left, right) = op.margins
    _, _, height, width = x.shape
    mask = (True, True, False, False)
    return mb.slice_by_index(
        x=x,
        begin=(0, 0, top, left),
        end=(0, 0, height - bottom, width - right),
        begin_mask=mask,
        end_mask=mask,
        name=at.name,
    )


def _concat(at: Site, op: Concat, *inputs: Value) -> Value:
    rank = len(inputs[0].shape)
    axis = op.axis % rank
    return mb.concat(values=inputs, axis=AXES[axis] if rank == 4 else axis, name=at.name)


def _reshaped(at: Site, x: Value) -> Value:
    sides = at.graph.shape(at.node.name)[1:]
    if len(sides) >= MOST_RANK:
        raise ValueError(f"Core ML's tensors have up to {MOST_RANK} dimensions, this one {len(sides) + 1}")
    return arranged(mb.reshape(x=rearranged(x), shape=(-1, *sides), name=at.name))


def _permute(at: Site, op: Permute, x: Value) -> Value:
    return arranged(mb.transpose(x=rearranged(x), perm=(0, *op.axes), name=at.name))


def _upsampling(at: Site, op: UpSampling, x: Value) -> Value:
    height, width = (np.float32(factor) for factor in op.size)
    scales = {"scale_factor_height": height, "scale_factor_width": width}
    if op.interpolation == "nearest":
        return mb.upsample_nearest_neighbor(x=x, **scales, name=at.name)
    return mb.upsample_bilinear(x=x, **scales, align_corners=False, name=at.name)


OPERATIONS: dict[type[Operator], Callable[..., Value]] = {
    Conv: windows.conv,
    DepthwiseConv: windows.depthwise_conv,
    SeparableConv: windows.separable_conv,
    TransposedConv: windows.transposed_conv,
    Dense: windows.dense,
    BatchNorm: _batch_norm,
    LayerNorm: _layer_norm,
    ChannelScale: lambda at, op, x: _affine(at, x, at.weight("kernel"), None),
    Normalization: _normalization,
    Rescale: _rescale,
    Add: _combined(mb.add),
    Multiply: _combined(mb.mul),
    Subtract: _combined(mb.sub),
    Concat: _concat,
    MaxPool: windows.max_pool,
    AveragePool: windows.average_pool,
    GlobalPool: windows.global_pool,
    Activation: _activation,
    ReLU: _relu,
    LeakyReLU: lambda at, op, x: mb.leaky_relu(x=x, alpha=at.dtype(op.slope), name=at.name),
    ELU: lambda at, op, x: mb.elu(x=x, alpha=at.dtype(op.alpha), name=at.name),
    PReLU: _prelu,
    Dropout: lambda at, op, x: x,
    ZeroPadding: lambda at, op, x: padded(at, x, op.margins, at.name),
    SamePadding: _same_padding,
    Cropping: _cropping,
    Reshape: lambda at, op, x: _reshaped(at, x),
    Flatten: lambda at, op, x: _reshaped(at, x),
    Permute: _permute,
    UpSampling: _upsampling,
}
