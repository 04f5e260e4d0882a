"""Another number of input channels, for a network whose weights are for images of three."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelzoo.graph.builder import Builder, Tensor
from modelzoo.graph.convolutions import Conv
from modelzoo.graph.elementwise import Dropout
from modelzoo.graph.graph import Graph, Node
from modelzoo.graph.normalization import Normalization, Rescale
from modelzoo.graph.operator import Operator
from modelzoo.graph.shaping import Concat, SamePadding, ZeroPadding

REPEATED = "images_repeated"  # the name of the layer that makes three channels of one


def with_channels(graph: Graph, channels: int) -> Graph:
    """The network for images of as many channels; `adapted` gives it the weights that it needs.

    Of one channel, a network that treats each of the three in its own way before it adds them up (constants
    for each, or a depthwise convolution) gets the channel three times: no sum of weights would be the same.
    """
    ((name, shape),) = graph.inputs.items()
    builder = Builder()
    images = builder.input(name, (*shape[:-1], channels))
    if channels == 1 and not _adds_at_once(graph, name):
        images = builder.add_node(Concat(), *[images] * 3, name=REPEATED, layer=REPEATED)
    else:
        nodes = (replace(node, operator=_repeated(node.operator, channels)) for node in graph.nodes)
        graph = replace(graph, nodes=tuple(nodes))
    values: dict[str, Tensor] = builder.replay(graph, {name: images})
    outputs = {output: values[value] for output, value in graph.outputs.items()}
    return builder.graph(graph.name, outputs, {level: values[value] for level, value in graph.maps.items()})


def adapted(node: Node, array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """A weight of three channels in a node that sees others, by timm's rule (adapt_input_conv).

    One channel gets the sum over the three. More get them in turn, red, green, blue, red ..., times 3 over
    their number, so that sums stay as large; a depthwise kernel, which adds nothing up, is repeated only.
    """
    if array.shape == shape:
        return array
    before, after = array.shape[-2], shape[-2]
    if isinstance(node.operator, Conv) and after == 1:
        return array.sum(axis=-2, keepdims=True)
    kept = np.take(array, np.arange(after) % before, axis=-2)
    return kept * array.dtype.type(before / after) if isinstance(node.operator, Conv) else kept


def _adds_at_once(graph: Graph, images: str) -> bool:
    """Whether the first layer that tells channels apart is a convolution over all of them."""
    reached = {images}
    for node in graph.nodes:
        if reached.isdisjoint(node.inputs):
            continue
        if isinstance(node.operator, Conv) and node.operator.groups == 1:
            continue
        alike = isinstance(node.operator, Rescale) and not isinstance(node.operator.scale, tuple)
        if not (alike or isinstance(node.operator, (ZeroPadding, SamePadding, Dropout))):
            return False
        reached.add(node.name)
    return True


def _repeated(operator: Operator, channels: int) -> Operator:
    """An operator whose constants are of three channels, for others."""
    if isinstance(operator, Normalization) and len(operator.mean) == 3:
        mean, variance = (_turns(values, channels) for values in (operator.mean, operator.variance))
        return replace(operator, mean=mean, variance=variance)
    if isinstance(operator, Rescale) and isinstance(operator.scale, tuple) and len(operator.scale) == 3:
        return replace(operator, scale=_turns(operator.scale, channels))
    return operator


def _turns(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return tuple(values[channel % 3] for channel in range(channels))
