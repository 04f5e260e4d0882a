"""Old Keras models -> Graph: nested ones made flat, shared layers kept, each weight found in the file."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from modelzoo.backends.keras_import_options import refusal
from modelzoo.errors import quoted
from modelzoo.formats.hdf5 import Place
from modelzoo.formats.keras_model import KerasModelFile
from modelzoo.formats.keras_zip import KerasZipFile
from modelzoo.graph import Graph
from modelzoo.graph.operator import Weight
from modelzoo.importers.keras_config import Layer, Model, Ref
from modelzoo.importers.keras_layers import Site, applied
from modelzoo.importers.keras_operations import ARITHMETIC, OPERATIONS, operated
from modelzoo.importers.keras_options import Origin, described, kind_of, options_of
from modelzoo.importers.keras_weights import SUFFIX, Owner, arranged, each_of, located, paired, stored_shape
from modelzoo.importers.values import CHANNELS_FIRST, Array, Reading, Value, clean, plain

INPUT = "InputLayer"
CONSTANTS = ("mean", "variance", "count")  # the weights of Normalization, in Keras' order
SHAPES = ("batch_input_shape", "batch_shape", "build_input_shape")


def graph_of(model: Model, file: KerasModelFile | KerasZipFile) -> tuple[Graph, dict[str, Array]]:
    """The network and its weights, which are read when they are asked for, while the file is open.

    Inputs have their channels last. Raises ValueError, which names the layer and its class, for what
    operators cannot express, and for weights that are missing, left over or of another shape.
    """
    return _Import(model, file).run()


@dataclass
class _Import:
    model: Model
    file: KerasModelFile | KerasZipFile
    reading: Reading = field(default_factory=Reading)
    names: dict[int, str] = field(default_factory=dict)  # of layers in the graph, by their identity

    def run(self) -> tuple[Graph, dict[str, Array]]:
        self.names = _names(self.model)
        self.reading.reserved = set(self.names.values())
        first = _channels_first(self.model)
        self.origin = Origin(
            self.file.version, self.file.backend, "channels_first" if first else "channels_last"
        )
        outputs = self._model(self.model, self._inputs(self.model), top=True)
        tensors = [self._output(value) for value in outputs]
        names: dict[str, Any] = {}
        for tensor in tensors:
            name = tensor.name
            numbered = (f"{name}_{number}" for number in itertools.count(2))
            names[next(n for n in itertools.chain([name], numbered) if n not in names)] = tensor
        if not names:
            raise ValueError("it has no outputs")
        graph = self.reading.builder.graph(clean(self.model.name), names)
        return graph, self._arrays(graph)

    @cached_property
    def located(self) -> dict[int, list[Place]]:
        """Where the weights of each layer of a .keras file lie; asked for when all layers are known."""
        return located(self.model, self.file) if isinstance(self.file, KerasZipFile) else {}

    def _output(self, value: Value) -> Any:
        """Maps keep their channels last where those of the images were moved there."""
        moved = value.order == CHANNELS_FIRST and self.origin.data_format == "channels_first"
        return value.tensor if moved else self.reading.plain(value)

    def _inputs(self, model: Model) -> list[Value]:
        by_name = {layer.name: layer for layer in model.layers}
        if model.sequential:
            layer: Layer | None = model.layers[0] if model.layers else None
            while layer is not None and layer.model is not None:
                layer = layer.model.layers[0] if layer.model.layers else None
            layers = [layer] if layer is not None else []
        else:
            layers = [by_name[ref.layer] for ref in model.inputs if ref.layer in by_name]
        return [self._input(layer) for layer in layers]

    def _input(self, layer: Layer) -> Value:
        shape = next((layer.options[name] for name in SHAPES if layer.options.get(name)), None)
        if not isinstance(shape, list) or not all(s is None or (type(s) is int and s > 0) for s in shape):
            raise refusal(described(layer), f"expected the shape of the model's input, got {quoted(shape)}")
        first = len(shape) == 4 and self.origin.data_format == "channels_first"
        name = layer.name if kind_of(layer) == INPUT else f"{layer.name}_input"
        return self.reading.input(name, shape, CHANNELS_FIRST if first else plain(len(shape)))

    def _model(self, model: Model, inputs: Sequence[Value], *, top: bool = False) -> list[Value]:
        if model.sequential:
            found = list(inputs)
            for layer in model.layers:
                found = self._layer(layer, found)
            return found
        values: dict[Ref, Value] = {}
        if len(model.inputs) != len(inputs):
            raise ValueError(f"{quoted(model.name)} has {len(model.inputs)} inputs, and gets {len(inputs)}")
        for ref, value in zip(model.inputs, inputs, strict=True):
            values[Ref(ref.layer, 0, 0)] = value
        firsts = _first_calls(model)
        pending = [
            (layer, number)
            for layer in model.layers
            if kind_of(layer) != INPUT
            for number in range(len(layer.calls))
        ]
        while pending:
            waiting = []
            for layer, number in pending:
                if all(ref in values for ref in layer.calls[number].refs):
                    found = self._call(layer, number, values)
                    call = number + firsts.get(layer.name, 0)
                    values |= {Ref(layer.name, call, place): value for place, value in enumerate(found)}
                else:
                    waiting.append((layer, number))
            if len(waiting) == len(pending):
                raise refusal(described(waiting[0][0]), "an input of it is missing")
            pending = waiting
        missing = [ref for ref in model.outputs if ref not in values]
        if missing:
            raise ValueError(
                f"{quoted(model.name)} has an output of {quoted(missing[0].layer)} that is missing"
            )
        return [values[ref] for ref in model.outputs]

    def _call(self, layer: Layer, number: int, values: Mapping[Ref, Value]) -> list[Value]:
        call = layer.calls[number]
        filled = [_filled(x, values) for x in call.inputs]
        options = {name: _filled(x, values) for name, x in call.options.items()}
        plain_numbers = layer.kind in ARITHMETIC and not all(isinstance(x, Value) for x in filled)
        if kind_of(layer) in OPERATIONS or plain_numbers:
            return [operated(self._site(layer), filled, options)]
        asked = [n for n, x in options.items() if x not in (None, False) and n != "name"]
        if asked:
            raise refusal(described(layer), f"it is called with {quoted(asked[0])}")
        if not all(isinstance(x, Value) for x in filled):
            raise refusal(described(layer), "it is called with a constant")
        return self._layer(layer, filled)

    def _layer(self, layer: Layer, inputs: Sequence[Value]) -> list[Value]:
        if layer.model is not None:
            return self._model(layer.model, inputs)
        if kind_of(layer) == INPUT:
            return list(inputs)
        return [applied(self._site(layer), inputs)]

    def _site(self, layer: Layer) -> Site:
        return Site(
            self.reading, layer, self.names[id(layer)], self.origin, lambda name: self._constant(layer, name)
        )

    def _constant(self, layer: Layer, name: str) -> np.ndarray | None:
        """The only weight of this name of a layer, wherever it lies."""
        if isinstance(self.file, KerasZipFile):
            places = self.located.get(id(layer), [])
            return self.file.read(places[CONSTANTS.index(name)]) if len(places) == len(CONSTANTS) else None
        for place in itertools.chain(*self.file.groups.values()):
            parts = SUFFIX.sub("", place.weight).split("/")
            owns = layer.name in parts[:-1] or layer.name == place.layer
            if owns and parts[-1] == name:
                return self.file.read(place)
        return None

    def _arrays(self, graph: Graph) -> dict[str, Array]:
        """The array of each weight, as soon as it is asked for."""
        found: dict[str, Array] = {}
        weights: dict[str, tuple[Weight, ...]] = {}
        for node in self.reading.builder.nodes.values():
            if node.layer is not None and node.weights:
                weights.setdefault(node.layer, node.weights)
        for owner, weight, place in self._stored(weights):
            found[f"{owner.name}/{weight.name}"] = self._array(owner, weight, place)
        missing = [path for path in graph.weights if path not in found]
        if missing:
            raise ValueError(f"the weights of {quoted(missing[0])} are missing")
        return found

    def _stored(self, weights: Mapping[str, tuple[Weight, ...]]) -> Iterator[tuple[Owner, Weight, Place]]:
        """Where the weights of the layers lie, those of each layer given by its name in the graph."""
        if isinstance(self.file, KerasZipFile):
            for inner in itertools.chain(*map(_weighted, self.model.layers)):
                name, places = self.names.get(id(inner), ""), self.located.get(id(inner), [])
                if name in weights:
                    owner = Owner(inner, name, weights[name])
                    yield from ((owner, weight, place) for weight, place in each_of(owner, places))
            return
        layers = {layer.name: layer for layer in self.model.layers}
        for name, group in self.file.groups.items():
            owners = [
                Owner(inner, self.names[id(inner)], weights[self.names[id(inner)]])
                for inner in (_weighted(layers[name]) if name in layers else ())
                if self.names.get(id(inner)) in weights
            ]
            places = [place for place in group if not self._is_constant(layers.get(name), place)]
            yield from ((owner, weight, place) for (owner, weight), place in paired(owners, places))

    def _is_constant(self, layer: Layer | None, place: Place) -> bool:
        """Whether a weight became a constant of the graph, or never counts: those of Normalization."""
        if layer is None:
            return False
        owners = {inner.name for inner in _weighted(layer) if kind_of(inner) == "Normalization"}
        parts = SUFFIX.sub("", place.weight).split("/")
        return bool(owners & {*parts[:-1], place.layer}) and parts[-1] in CONSTANTS

    def _array(self, owner: Owner, weight: Weight, place: Place) -> Array:
        expected = stored_shape(owner, weight, self.origin)
        if place.shape != expected:
            raise ValueError(
                f"expected {quoted(place.weight)} of shape {expected} for {quoted(owner.layer.name)}, "
                f"got {place.shape}"
            )
        return lambda: arranged(owner, weight, self.origin, self.file.read(place))


def _names(model: Model) -> dict[int, str]:
    """The names of all layers in the graph: the outer ones keep theirs, then those that are there once."""
    found: list[tuple[Layer, tuple[str, ...]]] = []
    level: list[tuple[Model, tuple[str, ...]]] = [(model, ())]
    while level:
        nested: list[tuple[Model, tuple[str, ...]]] = []
        for outer, path in level:
            for layer in outer.layers:
                if layer.model is not None:
                    nested.append((layer.model, (*path, layer.name)))
                elif kind_of(layer) != INPUT:
                    found.append((layer, path))
        level = nested
    counts = collections.Counter(clean(layer.name) for layer, _ in found)
    names: dict[int, str] = {}
    taken: set[str] = set()
    for layer, path in found:
        own = clean(layer.name)
        name = own if counts[own] == 1 or not path else clean("_".join((*path, layer.name)))
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        names[id(layer)] = next(n for n in itertools.chain([name], numbered) if n not in taken)
        taken.add(names[id(layer)])
    return names


def _weighted(layer: Layer) -> list[Layer]:
    """The layers in a layer that is a model, in order; or itself."""
    if layer.model is None:
        return [layer]
    return [inner for each in layer.model.layers for inner in _weighted(each)]


def _first_calls(model: Model) -> dict[str, int]:
    """The number of the first call of each nested model: some versions of Keras count them from 1."""
    nested = {layer.name for layer in model.layers if layer.model is not None}
    found: dict[str, int] = {}
    refs = [ref for layer in model.layers for call in layer.calls for ref in call.refs]
    for ref in (*refs, *model.outputs):
        if ref.layer in nested:
            found[ref.layer] = min(ref.call, found.get(ref.layer, ref.call))
    return found


def _channels_first(model: Model) -> bool:
    """Whether the layers that say where the channels are have them first."""
    for layer in model.layers:
        if layer.model is not None:
            if _channels_first(layer.model):
                return True
        elif options_of(layer).get("data_format") == "channels_first":
            return True
    return False


def _filled(value: Any, values: Mapping[Ref, Value]) -> Any:
    if isinstance(value, Ref):
        return values[value]
    return [_filled(item, values) for item in value] if isinstance(value, list) else value


def with_backend(origin: Origin, backend: str) -> Origin:
    """The same program with another backend."""
    return replace(origin, backend=backend)
