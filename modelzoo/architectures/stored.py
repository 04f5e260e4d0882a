"""Networks whose graph a model folder brings along: checked once, and then the parts that are asked for.

The graph is one of images to (batch, classes), as modelzoo.save writes it. Its feature maps and its head are
not written down twice: the maps stand in the graph, the head is what its structure says.
"""

from __future__ import annotations

import bisect
import functools
import math
from dataclasses import replace
from typing import cast

from modelzoo.architectures.build import IMAGES, POOLINGS
from modelzoo.architectures.layers import OTHER_NAMES
from modelzoo.architectures.sizes import LARGEST
from modelzoo.architectures.top import Top
from modelzoo.errors import RegistryError, readable
from modelzoo.graph import Builder, Graph, Operator, serialization
from modelzoo.graph.elementwise import Activation, Function
from modelzoo.graph.maps import head_of
from modelzoo.graph.pooling import GlobalPool, Reduction
from modelzoo.registry.folders import StoredArchitecture

MOST_VALUES = 2**28  # of one node for one image; VGG's largest has 2**22
InputShape = tuple[int | None, int | None, int]


@functools.cache
def graph_of(facts: StoredArchitecture) -> Graph:
    """The whole graph as it was saved. Raises RegistryError, with the folder's path, if it is not sound."""
    try:
        graph = serialization.from_json(facts.graph())
        _check(graph, facts)
    except (ValueError, RecursionError, OverflowError) as error:
        raise RegistryError(f"The graph of the model folder {readable(facts.place)}: {error}") from error
    return graph


def _check(graph: Graph, facts: StoredArchitecture) -> None:
    """Raises ValueError unless this is a network of such images to so many classes."""
    image, outputs = (None, *facts.input_shape), list(graph.output_shapes.values())
    if graph.inputs != {IMAGES: image}:
        raise ValueError(f"Expected one input {IMAGES!r} of the shape {image}, got {dict(graph.inputs)}.")
    if outputs != [(None, facts.classes)]:
        raise ValueError(f"Expected one output of the shape {(None, facts.classes)}, got {outputs}.")
    if activation_of(graph) != facts.activation:
        raise ValueError(f"Expected the activation {facts.activation}, got {activation_of(graph)}.")
    if graph.parameters != facts.parameters:
        raise ValueError(f"Expected {facts.parameters:,} parameters, got {graph.parameters:,}.")
    for node in graph.nodes:
        if math.prod(side or 1 for side in node.shape) > MOST_VALUES:
            raise ValueError(f"Expected at most {MOST_VALUES:,} values of one node, got {node.shape}.")
    levels = [level[1:] for level in graph.maps]
    if not all(level.isdecimal() and len(level) <= 2 for level in levels):
        raise ValueError(f"Expected maps C1, C2 and so on, got {', '.join(map(readable, graph.maps))}.")


def build(
    facts: StoredArchitecture,
    *,
    input_shape: InputShape | None = None,
    classes: int | None = None,
    pooling: str | None = None,
    classifier_activation: str | None = None,
    name: str | None = None,
) -> Graph:
    """A part of the network, as architectures.build gives it of a family's.

    Raises ValueError for images that it does not take, and for what it does not have: feature maps, or a head
    that another number of classes could have.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be None, 'avg' or 'max', not {pooling!r}.")
    whole = graph_of(facts)
    graph = _resized(whole, facts, input_shape or facts.input_shape)
    graph = replace(graph, name=name or whole.name)
    if classes is None:
        return _without_top(graph, pooling)
    if classes != facts.classes:
        graph = _with_classes(graph, classes)
    return _activated(graph, classifier_activation)


def top_layers(facts: StoredArchitecture) -> Top:
    """The layers with weights that only the output needs, not the last feature map; and the head."""
    graph = graph_of(facts)
    body = graph.with_outputs({"last": graph.maps[_last(graph)]}) if graph.maps else None
    kept = {node.owner for node in body.nodes} if body is not None else set[str | None]()
    layers = [node.owner for node in graph.nodes if node.weights and node.owner not in kept]
    head = head_of(graph)
    return Top(
        tuple(dict.fromkeys(layer for layer in layers if layer is not None)),
        (head.owner,) if head is not None and head.owner is not None else (),
    )


@functools.cache
def smallest_side(facts: StoredArchitecture, *, top: bool) -> int:
    """The side in pixels of the smallest square image that the network takes, with its top or without."""
    return 1 + bisect.bisect_left(range(1, LARGEST), True, key=lambda side: _fits(facts, side, top))


def _fits(facts: StoredArchitecture, side: int, top: bool) -> bool:
    try:
        build(facts, input_shape=(side, side, facts.input_shape[2]), classes=facts.classes if top else None)
    except ValueError:
        return False
    return True


def _resized(graph: Graph, facts: StoredArchitecture, shape: InputShape) -> Graph:
    """The graph for images of another shape; raises ValueError if it is built for its own."""
    if shape == facts.input_shape:
        return graph
    builder = Builder()
    try:
        values = builder.replay(graph, {IMAGES: builder.input(IMAGES, (None, *shape))})
    except ValueError as error:
        raise ValueError(f"The network cannot take images of {_sides(shape)} pixels: {error}") from error
    outputs = {name: values[value] for name, value in graph.outputs.items()}
    maps = {name: values[value] for name, value in graph.maps.items()}
    found = builder.graph(graph.name, outputs, maps)
    if shape[2] == facts.input_shape[2] and found.weight_shapes != graph.weight_shapes:
        raise ValueError(
            f"The network is built for images of {_sides(facts.input_shape)} pixels, got {_sides(shape)}."
        )
    return found


def _sides(shape: InputShape) -> str:
    return " x ".join("any" if side is None else str(side) for side in shape[:2])


def _last(graph: Graph) -> str:
    """The last feature map; raises ValueError for a network that has none."""
    if not graph.maps:
        raise ValueError(f"{graph.name} has no feature map before its output: it has a top only.")
    return max(graph.maps, key=lambda level: int(level[1:]))


def _without_top(graph: Graph, pooling: str | None) -> Graph:
    """The last feature map, or with a pooling its values over all places."""
    last = _last(graph)
    graph = graph.with_outputs({last: graph.maps[last]})
    if pooling is None:
        return graph
    return _followed(graph, GlobalPool(cast(Reduction, pooling)), "pool")


def _with_classes(graph: Graph, classes: int) -> Graph:
    from modelzoo.graph.passes.replace_head import replace_head  # with NumPy

    head = head_of(graph)
    if head is None or head.layer is None:
        raise ValueError(
            f"{graph.name} ends with no dense layer or convolution that another number of classes could have."
        )
    return replace_head(graph, {}, classes, name=head.layer)[0]


def activation_of(graph: Graph) -> str | None:
    """The function that makes the output of the logits; None where the output is the logits."""
    node = graph.node.get(graph.output)
    return node.operator.function if node is not None and isinstance(node.operator, Activation) else None


def _activated(graph: Graph, activation: str | None) -> Graph:
    """The logits, or what an activation makes of them."""
    found = activation_of(graph)
    if activation == found:
        return graph
    if found is not None:
        (logits,) = graph.node[graph.output].inputs
        graph = graph.with_outputs({"logits": logits})
    if activation is None:
        return graph
    operator = Activation(cast(Function, OTHER_NAMES.get(activation, activation)))
    return _followed(graph, operator, "probabilities")


def _followed(graph: Graph, operator: Operator, name: str) -> Graph:
    """The graph with one more node, which gives the output, with a name like this one."""
    builder = Builder()
    inputs = {given: builder.input(given, shape) for given, shape in graph.inputs.items()}
    values = builder.replay(graph, inputs)
    while name in values:
        name += "_"
    output = builder.add_node(operator, values[graph.output], name=name, layer=name, precise=True)
    return builder.graph(graph.name, {name: output}, {m: values[v] for m, v in graph.maps.items()})
