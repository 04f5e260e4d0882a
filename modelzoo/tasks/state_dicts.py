"""The part of a network that classes of torchvision and timm compute: from its first layer to its logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from modelzoo.conversion.torch_classes import torch_class
from modelzoo.errors import ExportError
from modelzoo.exporters.network import Network
from modelzoo.exporters.options import StateDict
from modelzoo.exporters.samples import Samples
from modelzoo.graph import Graph, Node
from modelzoo.graph.elementwise import Activation
from modelzoo.graph.normalization import Normalization, Rescale
from modelzoo.graph.passes.rewriting import rewritten
from modelzoo.registry import Entry

LOGITS = "logits"
CLASSES = 1000  # that the packages' functions give unless told otherwise
Affine = tuple[np.ndarray, np.ndarray]  # a factor and a summand, one value a channel or one of all


def state_dict_of(entry: Entry | None, network: Network) -> tuple[Network, StateDict]:
    """The part of a network that a class computes, and that class. Raises ExportError if there is none."""
    found = None if entry is None else torch_class(entry.graph.family, entry.graph.variant)
    if found is None:
        raise ExportError(
            f"No class of torchvision or timm is known to compute what {network.graph.name} does: export it "
            "as a PyTorch program (.pt2) or as ONNX (.onnx) instead."
        )
    graph, (factor, summand) = _core(network.graph)
    classes = graph.output_shapes[LOGITS][-1]
    arguments: Mapping[str, Any] = {} if classes == CLASSES else {"num_classes": classes}
    photograph = (network.samples.photograph * factor + summand).astype(np.float32)
    metadata = replace(
        network.metadata, preprocessing=_with_affine(network.metadata.preprocessing, factor, summand)
    )
    samples = Samples(photograph, network.samples.size, other_sizes=found.any_size)
    core = Network(graph, network.arrays, metadata, samples)
    arguments = {**found.arguments, **arguments}
    return core, StateDict(found.package, found.name, found.name_of, arguments, found.axes, found.epsilon)


def _core(graph: Graph) -> tuple[Graph, Affine]:
    """The graph from its first layer with weights to its logits, and what was done to images before."""
    output = graph.node[graph.output]
    logits = output.inputs[0] if output.operator == Activation("softmax") else output.name
    (value,) = graph.inputs
    instead, affine = dict[str, str](), (np.ones(1), np.zeros(1))
    for node in graph.nodes:
        if node.inputs == (value,) and isinstance(node.operator, Normalization | Rescale):
            instead[node.name], value = value, node.name
            scale, offset = _affine(node)
            affine = affine[0] * scale, affine[1] * scale + offset
    return rewritten(graph.with_outputs({LOGITS: logits}), {}, instead), affine


def _affine(node: Node) -> Affine:
    operator = node.operator
    if isinstance(operator, Normalization):
        deviation = np.sqrt(np.array(operator.variance))
        return 1 / deviation, -np.array(operator.mean) / deviation
    rescale = cast(Rescale, operator)
    return np.array(rescale.scale, np.float64), np.array(rescale.offset, np.float64)


def _with_affine(
    facts: Mapping[str, Any] | None, factor: np.ndarray, summand: np.ndarray
) -> Mapping[str, Any] | None:
    """The preprocessing with what followed it: (p - mean) / std * factor + summand, by one mean and std."""
    if facts is None or (np.all(factor == 1) and np.all(summand == 0)):
        return facts
    turned = -1 if facts["channels"] == "BGR" else 1  # mean and std are of red, green, blue
    factor, summand = (np.broadcast_to(values, 3)[::turned] for values in (factor, summand))
    mean, std = np.array(facts["mean"]), np.array(facts["std"])
    return {
        **facts,
        "mean": tuple(map(float, mean - summand * std / factor)),
        "std": tuple(map(float, std / factor)),
    }
