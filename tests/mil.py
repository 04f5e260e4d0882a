"""An interpreter of MIL in NumPy, float64: what Core ML's documentation says that each operator computes.

It reads packages back by coremltools, and shares no code with what writes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]


def outputs(path: Path, inputs: Arrays) -> dict[str, np.ndarray]:
    """The outputs of a package by name."""
    from modelzoo.exporters.coreml_check import read_back

    found = {name: np.asarray(array, np.float64) for name, array in inputs.items()}
    for name, operation in read_back(path).items():
        given = {key: _given(value, found) for key, value in operation.inputs.items()}
        found[name] = np.asarray(OPERATIONS[operation.op_type](**given))
    return found


def _given(value: Any, found: Arrays) -> Any:
    if isinstance(value, (tuple, list)):
        return [_given(part, found) for part in value]
    if value is None:
        return None
    return found[value.name] if value.val is None else value.val


def _windows(x, size, strides, pad, dilations=(1, 1), outside=0.0) -> np.ndarray:
    """What lies under a window at each step: (batch, channels, rows, columns, height, width)."""
    top, bottom, left, right = pad
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=outside)
    covered = [(side - 1) * step + 1 for side, step in zip(size, dilations, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(x, covered, axis=(2, 3))
    return view[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]


def _conv(x, weight, pad_type, bias=None, strides=(1, 1), pad=None, dilations=(1, 1), groups=1):
    pad = (0, 0, 0, 0) if pad_type == "valid" else pad
    parts = zip(np.split(x, groups, 1), np.split(weight.astype(np.float64), groups), strict=True)
    found = [
        np.einsum(
            "bcrshw,ochw->bors",
            _windows(part, kernel.shape[2:], strides, pad, dilations),
            kernel,
            optimize=True,
        )
        for part, kernel in parts
    ]
    return np.concatenate(found, 1) + (0 if bias is None else bias[:, None, None])


def _conv_transpose(x, weight, pad_type, strides, pad, **others):
    """Each pixel adds its kernel; `pad` is cut off."""
    (batch, _, rows, columns), (_, filters, height, width) = x.shape, weight.shape
    sides = [(n - 1) * step + k for n, step, k in zip((rows, columns), strides, (height, width), strict=True)]
    larger = np.zeros((batch, filters, *sides))
    for row, column in np.ndindex(rows, columns):
        top, left = row * strides[0], column * strides[1]
        added = np.einsum("bc,cfhw->bfhw", x[:, :, row, column], weight)
        larger[:, :, top : top + height, left : left + width] += added
    top, bottom, left, right = pad
    return larger[:, :, top : sides[0] - bottom, left : sides[1] - right]


def _max_pool(x, kernel_sizes, strides, pad_type, pad, **others):
    return _windows(x, kernel_sizes, strides, pad, outside=-math.inf).max((4, 5))


def _avg_pool(x, kernel_sizes, strides, pad_type, pad, exclude_padding_from_average, **others):
    assert exclude_padding_from_average
    return np.nanmean(_windows(x, kernel_sizes, strides, pad, outside=math.nan), axis=(4, 5))


def _batch_norm(x, mean, variance, epsilon, gamma=1.0, beta=0.0):
    mean, variance, gamma, beta = (
        np.reshape(np.float64(v), (-1, 1, 1)) for v in (mean, variance, gamma, beta)
    )
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def _layer_norm(x, axes, epsilon, gamma=1.0, beta=0.0):
    axes = tuple(axes)
    centered = x - x.mean(axes, keepdims=True)
    return centered / np.sqrt((centered**2).mean(axes, keepdims=True) + epsilon) * gamma + beta


def _gelu(x, mode):
    if mode == "EXACT":
        return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _softmax(x, axis):
    powers = np.exp(x - x.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def _pad(x, pad, mode, constant_val):
    assert mode == "constant"
    pairs = np.reshape(pad, (-1, 2))
    return np.pad(
        x, [(0, 0)] * (x.ndim - len(pairs)) + [tuple(p) for p in pairs], constant_values=constant_val
    )


def _slice(x, begin, end, begin_mask, end_mask, **others):
    bounds = zip(begin, end, begin_mask, end_mask, strict=True)
    return x[tuple(slice(None if b else a, None if e else z) for a, z, b, e in bounds)]


def _nearest(x, scale_factor_height, scale_factor_width):
    return x.repeat(int(scale_factor_height), 2).repeat(int(scale_factor_width), 3)


def _bilinear(x, scale_factor_height, scale_factor_width, align_corners, **others):
    assert not align_corners
    for axis, factor in ((2, scale_factor_height), (3, scale_factor_width)):
        last = x.shape[axis] - 1
        places = ((np.arange(round(x.shape[axis] * factor)) + 0.5) / factor - 0.5).clip(0, last)
        before = np.floor(places).astype(int)
        share = (places - before).reshape(-1, *(1,) * (3 - axis))
        x = x.take(before, axis) * (1 - share) + x.take(np.minimum(before + 1, last), axis) * share
    return x


OPERATIONS = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "linear": lambda x, weight, bias=0.0: x @ np.float64(weight).T + bias,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "gelu": _gelu,
    "softmax": _softmax,
    "pad": _pad,
    "slice_by_index": _slice,
    "upsample_nearest_neighbor": _nearest,
    "upsample_bilinear": _bilinear,
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "real_div": lambda x, y: x / y,
    "minimum": lambda x, y: np.minimum(x, y),
    "cast": lambda x, dtype: x,
    "transpose": lambda x, perm: x.transpose(perm),
    "reshape": lambda x, shape: x.reshape(shape),
    "concat": lambda values, axis, **others: np.concatenate(values, axis),
    "reduce_mean": lambda x, axes, keep_dims: x.mean(tuple(axes), keepdims=bool(keep_dims)),
    "reduce_max": lambda x, axes, keep_dims: x.max(tuple(axes), keepdims=bool(keep_dims)),
    "relu": lambda x: x.clip(0),
    "relu6": lambda x: x.clip(0, 6),
    "clip": lambda x, alpha, beta: x.clip(alpha, beta),
    "leaky_relu": lambda x, alpha: np.where(x > 0, x, alpha * x),
    "elu": lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "sigmoid_hard": lambda x, alpha, beta: (alpha * x + beta).clip(0, 1),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softplus": lambda x: np.logaddexp(x, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "tanh": lambda x: np.tanh(x),
}
