"""keras.Model -> Graph: functional and Sequential models, those nested in them made flat.

Only what Keras documents is read: `operations`, `get_config()` with its inbound nodes, and layers' weights.
What a graph does not hold are states of a model, and no facts of its network: values (see `arrays_of`),
dtypes, seeds, and which layers are frozen.
"""

from __future__ import annotations

import collections
import inspect
import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from modelzoo.backends.keras_import_config import Ref, decoded, filled, ordered, refs, tensors_in
from modelzoo.backends.keras_import_layers import operators_of
from modelzoo.backends.keras_import_operations import operator_of
from modelzoo.backends.keras_import_options import is_kerass_own, refusal, training_refusal
from modelzoo.errors import quoted
from modelzoo.graph import Builder, Graph, Operator, Tensor
from modelzoo.graph.elementwise import Activation, Add
from modelzoo.graph.normalization import Normalization, Rescale

LOW = ("bfloat16", "float16")  # precisions that networks compute in, where some layers need float32
FLOATS = (*LOW, "float32", "float64")
WEIGHTLESS = (keras.layers.Normalization,)  # their weights are constants of the graph
UNNAMED = {"LayerScale": "kernel"}  # layers of keras.applications that give their only weight no name


def graph_of(model: keras.Model, *, inference: bool = False) -> Graph:
    """The network of a functional or Sequential model.

    Layers keep their names; those of a nested model do where no other layer has the same, and else have the
    nested model's before theirs. A layer that is used again gives a node for every use. What matters in
    training only, and no operator keeps (regularizers, constraints, other initializers of a bias), is
    refused, or left out for `inference`. Raises ValueError, which names the layer and its class, for what
    operators cannot express.
    """
    return _Import(model, inference).graph()


def arrays_of(model: keras.Model) -> dict[str, np.ndarray]:
    """The values of the weights by the graph's paths, "layer/weight", in the graph's order.

    Raises ValueError as `graph_of` does.
    """
    return {path: keras.ops.convert_to_numpy(variable) for path, variable in variables_of(model).items()}


def variables_of(model: keras.Model) -> dict[str, keras.Variable]:
    """The model's own variables by the graph's paths, in the graph's order; for errors see `graph_of`."""
    imported = _Import(model, inference=True)
    paths = imported.graph().weights
    found = {
        f"{name}/{_weight_name(layer, weight)}": weight
        for layer, name in imported.named_layers()
        for weight in layer.weights
    }
    different = sorted(found.keys() ^ paths.keys())
    if different:
        raise ValueError(f"Expected the weights that the operators have; {quoted(different[0])} differs.")
    return {path: found[path] for path in paths}


class _Cast(Tensor):
    """A value in another dtype, which operations take as it is and layers do not."""


class _Import:
    """The state of reading one model."""

    def __init__(self, model: keras.Model, inference: bool) -> None:
        self.model, self.inference = model, inference
        self.builder = Builder()
        _check_model(model)
        self.layers, self.names = _named(model)  # by the identity of the layer
        self.reserved = set(self.names.values())
        self.added: dict[str, str] = {}  # names of layers that the model does not have, by those wished for
        dtypes = {_dtype(op) for op in self.layers.values()} - {None}
        self.mixed = bool(dtypes & set(LOW))
        if len(dtypes) > 1 and not (len(dtypes) == 2 and self.mixed and "float32" in dtypes):
            raise ValueError(f"Expected layers of one dtype, got {', '.join(sorted(map(str, dtypes)))}.")

    def graph(self) -> Graph:
        tensors = self._inputs()
        found = self._model(self.model, tensors)
        outputs: dict[str, Tensor] = {}
        for name, tensor in zip(_output_names(self.model), found, strict=True):
            outputs[_unused(name or tensor.name, outputs)] = tensor
        self._check_whole_numbers()
        return self.builder.graph(self.model.name, outputs)

    def named_layers(self) -> Iterator[tuple[keras.Layer, str]]:
        """The layers whose weights are the graph's, each once, with their names there."""
        for identity, operation in self.layers.items():
            if isinstance(operation, keras.Layer) and not isinstance(operation, WEIGHTLESS):
                yield operation, self.names[identity]

    def _inputs(self) -> list[Tensor]:
        tensors = []
        for tensor in self.model.inputs:
            name = _input_name(tensor)
            if tensor.sparse or getattr(tensor, "ragged", False):
                raise ValueError(f"Expected dense inputs, got {quoted(name)}, which is sparse or ragged.")
            tensors.append(self.builder.input(name, (None, *tensor.shape[1:])))
        return tensors

    def _model(self, model: keras.Model, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The outputs of a model, which may be nested, on these inputs."""
        if isinstance(model, keras.Sequential):
            value = list(inputs)
            for layer in model.layers:
                value = self._layer(layer, value)
            return value
        return self._functional(model, inputs)

    def _functional(self, model: keras.Model, inputs: Sequence[Tensor]) -> list[Tensor]:
        config = model.get_config()
        by_name = {operation.name: operation for operation in model.operations}
        values: dict[Ref, Tensor] = {}
        for ref, tensor in zip(refs(config["input_layers"]), inputs, strict=True):
            values[ref] = tensor
        pending = [
            (by_name[each["name"]], number, decoded(node["args"]), decoded(node["kwargs"]))
            for each in config["layers"]
            for number, node in enumerate(each["inbound_nodes"])
        ]
        while pending:
            waiting = []
            for operation, number, arguments, options in pending:
                if all(ref in values for ref in refs([arguments, options])):
                    found = self._call(operation, filled(arguments, values), filled(options, values))
                    values |= {Ref(operation.name, number, place): x for place, x in enumerate(found)}
                else:
                    waiting.append((operation, number, arguments, options))
            if len(waiting) == len(pending):
                raise refusal(waiting[0][0], "an input of it comes from outside the model")
            pending = waiting
        return [values[self._counted(ref, by_name)] for ref in refs(config["output_layers"])]

    @staticmethod
    def _counted(ref: Ref, by_name: dict[str, Any]) -> Ref:
        """Among the outputs Keras counts calls of a nested functional model from 1, elsewhere from 0."""
        operation = by_name[ref.layer]
        nested = isinstance(operation, keras.Model) and not isinstance(operation, keras.Sequential)
        return Ref(ref.layer, ref.call - nested, ref.output)

    def _call(self, operation: Any, arguments: Any, options: Any) -> list[Tensor]:
        """The outputs of a layer or operation for the arguments of one call."""
        if type(operation).__name__ == "Cast" and is_kerass_own(operation):
            return [self._cast(operation, arguments)]
        if not isinstance(operation, keras.Layer):
            return [self._operation(operation, arguments, options)]
        self._check_training(operation, options.pop("training", None))
        masks = tensors_in(options.pop("mask", None))
        if any(mask is not None for mask in masks) or options or len(arguments) != 1:
            raise refusal(operation, "it is called with more than its inputs")
        given = arguments[0]
        if isinstance(operation, keras.Model):
            return self._model(operation, ordered(operation, given))
        return self._layer(operation, tensors_in(given))

    def _check_training(self, layer: Any, training: object) -> None:
        """Raises ValueError for a call that asks for training, or, where that matters, for none."""
        if training:
            raise refusal(layer, "it is called with training=True")
        default = inspect.signature(type(layer).call).parameters.get("training")
        if training is not None and default is not None and default.default is None and not self.inference:
            raise training_refusal(layer, "training=False")

    def _layer(self, layer: Any, inputs: list[Any]) -> list[Tensor]:
        if isinstance(layer, keras.Model):
            return self._model(layer, inputs)
        if not all(isinstance(x, Tensor) for x in inputs):
            raise refusal(layer, "it is called with a constant")
        precise = self.mixed and _dtype(layer) == "float32"
        name = self.names[id(layer)]
        if type(layer).__name__ == "CustomScaleLayer" and is_kerass_own(layer):
            factor = Rescale(float(layer.get_config()["scale"]))
            scaled = self._node(factor, inputs[1:], self._added(f"{name}_scale"))
            return [self._node(Add(), [inputs[0], scaled], name)]
        first, *others = operators_of(layer, inputs[0].shape, inference=self.inference)
        x = self._node(first, inputs, name, precise=precise)
        for operator in others:
            word = operator.function if isinstance(operator, Activation) else type(operator).__name__.lower()
            x = self._node(operator, [x], self._added(f"{name}_{word}"), precise=precise)
        return [x]

    def _cast(self, operation: Any, arguments: Any) -> Tensor:
        """The value itself: layers make floats of their own dtype of it, as Keras before 3.9 writes out."""
        dtype = operation.get_config()["dtype"]
        if dtype not in FLOATS or not isinstance(arguments[0], Tensor):
            raise refusal(operation, f"no operator casts to {quoted(dtype)}")
        return _Cast(arguments[0].name, arguments[0].shape)

    def _operation(self, operation: Any, arguments: Any, options: Any) -> Tensor:
        if any(isinstance(x, Tensor) for x in tensors_in(options)):
            raise refusal(operation, "it is called with a value by name; give it in its place")
        inputs = tensors_in(arguments[0]) if len(arguments) == 1 else arguments
        if self.mixed and any(isinstance(x, _Cast) for x in inputs):
            raise refusal(operation, "it computes in a dtype of its own")
        found = [x if isinstance(x, Tensor) else np.asarray(x) for x in inputs]
        operator, tensors, arithmetic = operator_of(operation, found, options)
        name = self.names[id(operation)]
        if operator == Activation("gelu"):  # of this name is the operation that its approximation is in Keras
            name = self._added(f"{name}_exact")
        return self._node(operator, tensors, name, arithmetic=arithmetic)

    def _node(
        self,
        operator: Operator,
        inputs: Sequence[Tensor],
        layer: str,
        *,
        precise: bool = False,
        arithmetic: bool = False,
    ) -> Tensor:
        """A new node, called as its layer, or, if that has been used before, by a name of its own."""
        taken = self.builder.nodes.keys() | self.builder.inputs.keys()
        name = layer if layer not in taken else _unused(layer, taken | self.reserved)
        owner = None if arithmetic else layer
        return self.builder.add_node(operator, *inputs, name=name, layer=owner, precise=precise)

    def _added(self, name: str) -> str:
        """The name of a layer that the model does not have, always the same for the same wish."""
        if name not in self.added:
            self.added[name] = _unused(name, self.reserved)
            self.reserved.add(self.added[name])
        return self.added[name]

    def _check_whole_numbers(self) -> None:
        """Raises ValueError if whole numbers go anywhere but where Keras' layers make floats of them."""
        for tensor in self.model.inputs:
            if str(tensor.dtype) not in FLOATS:
                users = [node for node in self.builder.nodes.values() if _input_name(tensor) in node.inputs]
                wrong = [
                    n for n in users if not (n.layer and isinstance(n.operator, (Rescale, Normalization)))
                ]
                if wrong:
                    raise ValueError(
                        f"Cannot express the input {quoted(_input_name(tensor))} of {tensor.dtype}: expected "
                        f"floats, or only Rescaling and Normalization after it, got {quoted(wrong[0].name)}."
                    )


def _check_model(model: Any) -> None:
    """Raises ValueError unless this is a functional or Sequential model that is built, with Keras' call."""
    if not isinstance(model, keras.Model):
        raise ValueError(f"Expected a keras.Model, got {type(model).__name__}.")
    kind = f"the model {quoted(model.name)} ({type(model).__name__})"
    definer = next(each for each in type(model).__mro__ if "call" in vars(each))
    functional = isinstance(model, keras.Sequential) or hasattr(model, "operations")
    if not functional or definer.__module__.partition(".")[0] != "keras":
        raise ValueError(
            f"Cannot express {kind}: only functional and Sequential models say what they compute."
        )
    if not model.built or not model.inputs:
        raise ValueError(
            f"Cannot express {kind}: it is not built yet; call it on images once, or give it an Input."
        )


def _members(model: keras.Model) -> list[Any]:
    """The layers and operations of a model but for its inputs."""
    found = model.layers if isinstance(model, keras.Sequential) else model.operations
    return [operation for operation in found if not isinstance(operation, keras.layers.InputLayer)]


def _named(model: keras.Model) -> tuple[dict[int, Any], dict[int, str]]:
    """All layers and operations, those of nested models too, and their names, both by their identity.

    The outer ones come first, and so keep their names; then names that there are once.
    """
    found: dict[int, Any] = {}
    paths: dict[int, tuple[str, ...]] = {}
    level: list[tuple[keras.Model, tuple[str, ...]]] = [(model, ())]
    while level:
        nested = []
        for outer, path in level:
            _check_model(outer)
            for operation in _members(outer):
                if isinstance(operation, keras.Model):
                    nested.append((operation, (*path, operation.name)))
                elif id(operation) not in found:
                    found[id(operation)], paths[id(operation)] = operation, path
        level = nested
    counts = collections.Counter(operation.name for operation in found.values())
    names: dict[int, str] = {}
    taken = {_input_name(tensor) for tensor in model.inputs}
    for identity, operation in found.items():
        unique = counts[operation.name] == 1 or not paths[identity]
        name = operation.name if unique else "_".join((*paths[identity], operation.name))
        names[identity] = _unused(name, taken)
        taken.add(names[identity])
    return found, names


def _input_name(tensor: Any) -> str:
    return tensor.name


def _output_names(model: keras.Model) -> list[str | None]:
    """The names that the model gives its outputs."""
    struct = None if isinstance(model, keras.Sequential) else model.get_config()["output_layers"]
    return sorted(struct) if isinstance(struct, dict) else [None] * len(model.outputs)


def _unused(name: str, taken: Collection[str]) -> str:
    """The name, or the first one with a number behind that is not taken."""
    numbered = (f"{name}_{number}" for number in itertools.count(2))
    return next(each for each in itertools.chain([name], numbered) if each not in taken)


def _dtype(operation: Any) -> str | None:
    return operation.compute_dtype if isinstance(operation, keras.Layer) else None


def _weight_name(layer: keras.Layer, weight: Any) -> Any:
    """Its name in our paths."""
    return UNNAMED.get(type(layer).__name__, weight.name) if is_kerass_own(layer) else weight.name
