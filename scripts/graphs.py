"""Writes modelzoo/architectures/graphs/: the networks of keras.applications, read off Keras' own models.

    python -m scripts.graphs [VARIANT ...]

What was read once stays as it is, whatever Keras is installed; a test says where another Keras differs. Five
things are other than in Keras' models, so that one graph serves images of every size and number of channels,
and a saved model can be read: see `_Changes`.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import keras

from modelzoo import variables
from modelzoo.architectures.keras_applications import GRAPHS, IMAGENET_MEAN, IMAGENET_STD, VARIANTS, Variant
from modelzoo.backends.keras_import import graph_of
from modelzoo.graph import Builder, Graph, Node, Operator, Shape, Tensor
from modelzoo.graph.normalization import Normalization
from modelzoo.graph.serialization import to_bytes
from modelzoo.graph.shaping import SamePadding, ZeroPadding
from modelzoo.graph.windows import Pair
from scripts.registry.build import ROOT

FOLDER = ROOT / "modelzoo" / "architectures" / GRAPHS
SIDE = 224  # of the images for which a network of one size is read
ANY_SIZE: Shape = (None, None, None, 3)
INPUT = "images"
UNKNOWN = (0.0,) * 3  # the mean of a normalization that Keras reads from a file of weights


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("variants", nargs="*", help="default: all, in two minutes")
    names = parser.parse_args(arguments).variants or VARIANTS
    FOLDER.mkdir(exist_ok=True)
    for name in names:
        (FOLDER / f"{name}.json.gz").write_bytes(to_bytes(graph_in_keras(name)))


def graph_in_keras(variant: str) -> Graph:
    """The graph of a variant without its head, as the installed Keras builds it, with our changes."""
    return with_changes(keras_model(variant), variant)


def keras_model(variant: str) -> keras.Model:
    """Keras' model without its head; its outputs are the feature maps by name, its weights have no values."""
    facts = VARIANTS[variant]
    side = SIDE if facts.fixed_size else None
    function: Callable[..., keras.Model] = getattr(keras.applications, facts.model)

    def construct() -> keras.Model:
        model = function(include_top=False, weights=None, input_shape=(side, side, 3), **facts.options)
        operations = {operation.name: operation for operation in model.operations}
        maps = {name: operations[layer].output for name, layer in facts.maps.items()}
        return keras.Model(model.inputs[0], maps, name=model.name)

    model = variables.without_values(construct)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            variables.initialize(layer)
            layer.finalize_state()
    return model


def with_changes(model: keras.Model, variant: str) -> Graph:
    """The graph of such a model, with our changes."""
    return _Changes(model, graph_of(model), VARIANTS[variant]).graph(variant)


@dataclass(frozen=True)
class _Changes:
    """A graph of Keras, which is written again with our changes."""

    model: keras.Model
    read: Graph
    facts: Variant

    def graph(self, name: str) -> Graph:
        """The graph for images of every size."""
        builder = Builder()
        values = {next(iter(self.read.inputs)): builder.input(INPUT, ANY_SIZE)}
        for node in self.read.nodes:
            inputs = [values[source] for source in node.inputs]
            values[node.name] = inputs[0] if self._skipped(node) else self._written(builder, node, inputs)
        maps = {level: values[node] for level, node in self.read.outputs.items()}
        return builder.graph(name, {max(maps): maps[max(maps)]}, maps)

    def _written(self, builder: Builder, node: Node, inputs: Sequence[Tensor]) -> Tensor:
        operator, container = self._operator(node), self._container(node)
        return builder.add_node(
            operator, *inputs, name=node.name, layer=node.layer, container=container, precise=node.precise
        )

    def _skipped(self, node: Node) -> bool:
        """A padding by the size of the image: "same" in the next layer does it for every one."""
        return self.facts.pads is not None and re.fullmatch(self.facts.pads, node.name) is not None

    def _operator(self, node: Node) -> Operator:
        operator = node.operator
        if isinstance(operator, Normalization) and operator.mean == UNKNOWN:
            return Normalization(IMAGENET_MEAN, tuple(std**2 for std in IMAGENET_STD))
        if isinstance(operator, ZeroPadding) and self.facts.fixed_size:
            return self._same_padding(node, operator)
        before = self.read.node.get(node.inputs[0])
        if before is not None and self._skipped(before):
            return replace(operator, padding="same")  # type: ignore[call-arg] (all of them have one)
        return operator

    def _same_padding(self, node: Node, operator: ZeroPadding) -> Operator:
        """The padding by the rule that gave these margins, if it is one for the windows that come next."""
        windows = {_window(user.operator) for user in self.read.nodes if node.name in user.inputs}
        if len(windows) == 1 and None not in windows:
            rule = SamePadding(*windows.pop())
            if rule.stride != (1, 1) and rule.margins(self.read.shape(node.inputs[0])) == operator.margins:
                return rule
        return operator

    def _container(self, node: Node) -> str | None:
        """The nested model that the layer lies in; its weights carry that one's name."""
        return next((outer for outer, layers in self._nested.items() if node.layer in layers), None)

    @property
    def _nested(self) -> Mapping[str, set[str]]:
        found = [layer for layer in self.model.layers if isinstance(layer, keras.Sequential)]
        return {outer.name: {layer.name for layer in outer.layers} for outer in found}


def _window(operator: Operator) -> tuple[Pair, Pair] | None:
    """The size and stride of the operator's windows."""
    size = getattr(operator, "kernel", None) or getattr(operator, "size", None)
    stride = getattr(operator, "stride", None)
    return (size, stride) if isinstance(size, tuple) and isinstance(stride, tuple) else None


if __name__ == "__main__":
    main()
