"""Heads of one's own on a network: other ones than its family's, and dropout before the logits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from modelzoo.architectures.layers import Layers
from modelzoo.graph import Graph, Node, Tensor
from modelzoo.graph.elementwise import Dropout

Kind = Literal["mlp", "conv"]
LOGITS, DROPOUT, HIDDEN, RELU = "logits", "head_dropout", "head_hidden", "head_relu"
HEAD_LAYERS = (LOGITS, HIDDEN)  # those with weights


@dataclass(frozen=True)
class NewHead:
    """What comes after the last feature map.

    kind: "mlp" pools the map, and has a hidden layer of as many units as the map has channels before the
        logits; "conv" computes logits at each place of the map, by a convolution of 1x1: (batch, height,
        width, classes).
    dropout: the part of the values before the logits that training drops.
    """

    kind: Kind
    classes: int
    activation: str | None
    dropout: float = 0.0


def with_head(graph: Graph, facts: NewHead) -> Graph:
    """The network whose output is its last feature map, with a head on that; see NewHead."""
    nn = Layers()
    inputs = {name: nn.input(name, shape) for name, shape in graph.inputs.items()}
    values = nn.replay(graph, inputs)
    output = _output(nn, values[graph.output], facts)
    maps = {level: values[value] for level, value in graph.maps.items()}
    return with_dropout(nn.graph(graph.name, {output.name: output}, maps), facts.dropout)


def _output(nn: Layers, x: Tensor, facts: NewHead) -> Tensor:
    if facts.kind == "conv":
        x = nn.conv(x, facts.classes, 1, bias=True, name=LOGITS, output=True)
    else:
        x = nn.global_pool(x, "avg", name="pool")
        x = nn.relu(nn.dense(x, x.channels, name=HIDDEN), name=RELU)
        x = nn.dense(x, facts.classes, name=LOGITS, output=True)
    if facts.activation is None:
        return x
    return nn.activation(x, facts.activation, name="probabilities", output=True)


def with_dropout(graph: Graph, rate: float) -> Graph:
    """With dropout of this rate before the logits, in place of the network's own there; 0 changes nothing.

    Raises ValueError for a network without logits, and for a rate that is not from 0 to below 1.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"dropout must be from 0 to below 1, got {rate!r}.")
    if rate == 0:
        return graph
    if LOGITS not in graph.node:
        raise ValueError(f"dropout comes before logits, which {graph.name} does not have.")
    logits = graph.node[LOGITS]
    (before,) = logits.inputs
    known = graph.node.get(before)
    if known is not None and isinstance(known.operator, Dropout):
        changed = [
            replace(known, operator=replace(known.operator, rate=rate)) if n is known else n
            for n in graph.nodes
        ]
        return replace(graph, nodes=tuple(changed))
    dropout = Node(DROPOUT, Dropout(rate), (before,), graph.shape(before), layer=DROPOUT)
    place = graph.nodes.index(logits)
    after = replace(logits, inputs=(DROPOUT,))
    return replace(graph, nodes=(*graph.nodes[:place], dropout, after, *graph.nodes[place + 1 :]))
