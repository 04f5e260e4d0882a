"""Graph and arrays -> torch.nn.Module: an interpreter over the nodes, which torch.export makes a program of.

Images and maps are (batch, channels, height, width), as PyTorch's own networks take them; values of any other
rank have their axes in the graph's order.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from modelzoo.backends.kernels import halved
from modelzoo.backends.torch_import import Tensor, torch
from modelzoo.backends.torch_layout import NAMES, arranged
from modelzoo.backends.torch_operations import OPERATIONS, constants
from modelzoo.graph import Graph, Node
from modelzoo.graph.arrays import checked_array
from modelzoo.graph.operator import Weight

HALVED = 2  # dimensions from which on a weight is kept in float16, where that is asked for


class Network(torch.nn.Module):
    """The network of a graph in float32, for batches of any size. It takes the graph's inputs in their order.

    It gives the output, or all by their names where there are several. Of each weight there is one parameter,
    layer.weight, in PyTorch's layout; what training does not change, and constants, are buffers.

    half: whether kernels and matrices are kept in float16; they are computed with in float32. Raises
    ValueError for an array that is missing or has another shape.
    """

    def __init__(self, graph: Graph, arrays: Mapping[str, np.ndarray], *, half: bool = False):
        super().__init__()
        self._graph = graph
        self._layers: dict[str, str] = {}  # the names of modules by those of layers
        self._names: dict[str, dict[str, tuple[str, str]]] = {}  # module and weight there, by node and weight
        for node in graph.nodes:
            self._names[node.name] = {
                weight.name: self._added(node, weight, arrays, half) for weight in node.weights
            }
            for name, array in constants(node).items():
                place = self._module(node.name), name
                self.get_submodule(place[0]).register_buffer(name, torch.from_numpy(array))
                self._names[node.name][name] = place

    def _added(
        self, node: Node, weight: Weight, arrays: Mapping[str, np.ndarray], half: bool
    ) -> tuple[str, str]:
        """The module and the name of a weight, which may be another node's, too."""
        module, name = self._module(node.layer or node.name), NAMES.get(weight.name, weight.name)
        owner = self.get_submodule(module)
        if not hasattr(owner, name):
            path = node.paths[weight.name]
            array = checked_array(arrays, path, weight.shape)
            found = np.array(arranged(node, weight.name, array), np.float32, order="C")
            values = torch.from_numpy(halved(path, found) if half and found.ndim >= HALVED else found)
            if weight.trainable:
                owner.register_parameter(name, torch.nn.Parameter(values, requires_grad=False))
            else:
                owner.register_buffer(name, values)
        return module, name

    def _module(self, layer: str) -> str:
        """The name of a layer's module, which is an identifier of Python's."""
        if layer not in self._layers:
            plain = "".join(letter if letter.isalnum() else "_" for letter in layer)
            while hasattr(self, plain):
                plain += "_"
            self.add_module(plain, torch.nn.Module())
            self._layers[layer] = plain
        return self._layers[layer]

    def forward(self, *inputs: Tensor) -> Tensor | dict[str, Tensor]:
        graph = self._graph
        values = dict(zip(graph.inputs, inputs, strict=True))
        for node in graph.nodes:
            weights = {name: self._weight(*place) for name, place in self._names[node.name].items()}
            given = (values[name] for name in node.inputs)
            values[node.name] = OPERATIONS[type(node.operator)](node.operator, weights, *given)
        found = {name: values[value] for name, value in graph.outputs.items()}
        return found if len(found) > 1 else found[next(iter(found))]

    def _weight(self, module: str, name: str) -> Tensor:
        return getattr(self.get_submodule(module), name).float()
