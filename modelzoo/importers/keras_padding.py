""" "same" of Keras' Theano backend, which was not TensorFlow's where windows are even or have a stride."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from modelzoo.graph import Operator, Shape
from modelzoo.graph.convolutions import Conv, DepthwiseConv, SeparableConv
from modelzoo.graph.pooling import AveragePool, MaxPool
from modelzoo.graph.windows import Pair, extent, same_margin


def theanos_padding(at: Any, operator: Operator, shape: Shape) -> Operator:
    """The operator with the margins by which Theano's backend padded; raises ValueError for unknown sides.

    A convolution got half of its kernel before each side, and what lies beyond the last window was dropped;
    a pooling one pixel less. Where that is TensorFlow's, it is called "same".
    """
    if isinstance(operator, (Conv, DepthwiseConv, SeparableConv)):
        size = extent(operator.kernel, operator.dilation)
        before = (size[0] // 2, size[1] // 2)
    elif isinstance(operator, (MaxPool, AveragePool)):
        size = operator.size
        before = tuple(side - 2 if side % 2 else side - 1 for side in size)
    else:
        raise at.refusal("no operator pads as Theano does here")
    sides = shape[1:3]
    if None in sides:
        raise at.refusal("how Theano padded it depends on the images' size, which is open")
    found, same = [], []
    for side, window, stride, first in zip(sides, size, operator.stride, before, strict=True):
        found.append(_margin(side or 1, window, stride, first))
        same.append(same_margin(side or 1, window, stride))
    margins: tuple[Pair, Pair] = (found[0], found[1])
    return replace(operator, padding="same" if found == same else margins)


def _margin(side: int, window: int, stride: int, before: int) -> Pair:
    """What is padded before and after a side for ceil(side / stride) windows."""
    after = (-(-side // stride) - 1) * stride + window - side - before
    return before, max(after, 0)
