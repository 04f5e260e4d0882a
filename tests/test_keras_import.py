"""keras.Model -> Graph -> keras.Model: the same network to the bit, or one sentence that names the layer."""

from __future__ import annotations

import gc
import math
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from modelzoo import variables
from modelzoo.architectures import keras_applications
from modelzoo.backends import keras as backend
from modelzoo.backends import keras_values
from modelzoo.backends.keras_import import arrays_of, graph_of, variables_of
from modelzoo.graph import Graph, Initializer
from modelzoo.graph.convolutions import Conv, Dense
from modelzoo.graph.elementwise import Activation, Add, Dropout, Multiply
from modelzoo.graph.normalization import ChannelScale, Normalization, Rescale
from modelzoo.graph.serialization import from_json, to_json
from scripts import graphs

RNG = np.random.default_rng(13)
POOL = RNG.normal(size=2**20).astype(np.float32)
SIDE = 12  # pixels of most models' images


def images(*shape: int | None) -> np.ndarray:
    return RNG.normal(size=tuple(side or SIDE for side in shape)).astype(np.float32)


def value(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values that are quickly there and keep activations of order 1."""
    array = np.resize(POOL, shape)
    if path.endswith("kernel"):
        return array / np.float32(max(math.prod(shape[:-1]), 1) ** 0.5)
    return 1 + abs(array) if path.endswith(("variance", "gamma")) else array * np.float32(0.1)


def randomize(model: keras.Model) -> keras.Model:
    """Other values than those that layers begin with, for norms have none that show there."""
    for weight in model.weights:
        if weight.dtype == "float32":
            weight.assign(value(weight.path, weight.shape))
    return model


def again(model: keras.Model, graph: Graph, dtype: str | None = None) -> keras.Model:
    """The model that the graph makes, with the values of the first one."""
    found = backend.model(graph, dtype=dtype)
    keras_values.assign(found, arrays_of(model).items())
    return found


def assert_same(model: keras.Model, **options: Any) -> Graph:
    """Whether the model, and the one from its graph, give the same to the bit for every output."""
    randomize(model)
    graph = graph_of(model, **options)
    assert from_json(to_json(graph)) == graph
    inputs = {tensor.name: images(2, *tensor.shape[1:]) for tensor in model.inputs}
    given = list(inputs.values()) if len(inputs) > 1 else next(iter(inputs.values()))
    if not isinstance(model, keras.Sequential) and isinstance(model.input, dict):
        given = inputs
    theirs = [np.asarray(x) for x in keras.tree.flatten(model(given, training=False))]
    names = [tensor.name for tensor in model.inputs]
    found = again(model, graph)(
        {name: inputs[name] for name in names} if len(names) > 1 else inputs[names[0]], training=False
    )
    mine = [found[name] for name in graph.outputs] if isinstance(found, dict) else [found]
    assert len(mine) == len(theirs)
    for x, y in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(np.asarray(x), y)
        assert np.isfinite(y).all()
    return graph


def functional(write: Callable[[Any], Any], shape: tuple[int | None, ...] = (SIDE, SIDE, 4)) -> keras.Model:
    x = keras.Input(shape, name="pixels")
    return keras.Model(x, write(x), name="mine")


def refusal(model: Any, **options: Any) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the sentence is what the tests look at)
        graph_of(model, **options)
    return str(caught.value)


# Layers and their options

LAYERS: dict[str, Callable[[], keras.Layer]] = {
    "conv": lambda: layers.Conv2D(6, 3),
    "conv with options": lambda: layers.Conv2D(
        6, (3, 2), (2, 1), "same", groups=2, use_bias=False, kernel_initializer="he_normal"
    ),
    "dilated conv": lambda: layers.Conv2D(3, 3, padding="same", dilation_rate=(2, 3)),
    "depthwise conv": lambda: layers.DepthwiseConv2D((3, 5), 2, "same", depth_multiplier=3),
    "separable conv": lambda: layers.SeparableConv2D(5, 3, 2, "valid", depth_multiplier=2),
    "transposed conv": lambda: layers.Conv2DTranspose(5, 3, 2, "same"),
    "transposed conv, valid": lambda: layers.Conv2DTranspose(5, 3, 2),
    "dense": lambda: layers.Dense(7),
    "batch norm": lambda: layers.BatchNormalization(epsilon=1e-2, momentum=0.8, scale=False),
    "layer norm": lambda: layers.LayerNormalization(epsilon=1e-5, center=False),
    "channel scale": lambda: layers.EinsumDense("abcd,d->abcd", (None, None, 4)),
    "constant normalization": lambda: layers.Normalization(
        mean=(0.1, 0.2, 0.3, 0.4), variance=(1.0, 2.0, 0.3, 4.0)
    ),
    "normalization by numbers": lambda: layers.Normalization(axis=None, mean=0.1, variance=3.0),
    "rescaling": lambda: layers.Rescaling(1 / 127.5, -1),
    "rescaling of channels": lambda: layers.Rescaling([0.1, 0.2, 0.3, 0.4], [1, 2, 3, 4]),
    "max pool": lambda: layers.MaxPooling2D(3, 2, "same"),
    "average pool": lambda: layers.AveragePooling2D((3, 2), (2, 3), "same"),
    "global average": lambda: layers.GlobalAveragePooling2D(),
    "global maximum": lambda: layers.GlobalMaxPooling2D(keepdims=True),
    "relu": lambda: layers.ReLU(),
    "relu6": lambda: layers.ReLU(6),
    "relu with a slope": lambda: layers.ReLU(negative_slope=0.1),
    "leaky relu": lambda: layers.LeakyReLU(0.1),
    "elu": lambda: layers.ELU(0.7),
    "prelu": lambda: layers.PReLU(shared_axes=(1, 2)),
    "prelu of places": lambda: layers.PReLU(alpha_initializer=keras.initializers.Constant(0.25)),
    "softmax": lambda: layers.Softmax(),
    "dropout": lambda: layers.Dropout(0.3, noise_shape=(None, 1, 1, None)),
    "spatial dropout": lambda: layers.SpatialDropout2D(0.3),
    "identity": lambda: layers.Identity(),
    "zero padding": lambda: layers.ZeroPadding2D(((1, 2), (3, 4))),
    "cropping": lambda: layers.Cropping2D(((1, 2), (3, 4))),
    "reshape": lambda: layers.Reshape((-1, 8)),
    "flatten": lambda: layers.Flatten(),
    "permute": lambda: layers.Permute((3, 1, 2)),
    "nearest": lambda: layers.UpSampling2D((2, 3)),
    "bilinear": lambda: layers.UpSampling2D(2, interpolation="bilinear"),
}


def test_every_layer_gives_the_same_again():
    """One model with an output for each layer: tracing is what takes time."""
    model = functional(lambda x: [make()(x) for make in LAYERS.values()])
    assert_same(model)


FUNCTIONS = (
    *("elu", "gelu", "hard_sigmoid", "hard_silu", "hard_swish", "leaky_relu", "linear", "relu", "relu6"),
    *("sigmoid", "silu", "swish", "softmax", "softplus", "softsign", "tanh"),
)


def test_every_activation_gives_the_same_as_a_layer_and_inside_a_layer():
    model = functional(
        lambda x: [y for name in FUNCTIONS for y in (layers.Activation(name)(x), layers.Dense(3, name)(x))]
    )
    graph = assert_same(model)
    inside = [node for node in graph.nodes if isinstance(node.operator, Dense)]
    assert len(inside) == len(FUNCTIONS)


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Conv2D(2, 3, activation="relu", name="first"),
        lambda: layers.DepthwiseConv2D(3, activation="relu", name="first"),
        lambda: layers.SeparableConv2D(2, 3, activation="relu", name="first"),
        lambda: layers.Conv2DTranspose(2, 3, activation="relu", name="first"),
        lambda: layers.Dense(2, activation="relu", name="first"),
    ],
)
def test_an_activation_inside_a_layer_becomes_a_node_after_it(make):
    graph = graph_of(functional(lambda x: make()(x)))
    assert [node.name for node in graph.nodes] == ["first", "first_relu"]
    assert graph.node["first_relu"].operator == Activation("relu")
    assert graph.node["first_relu"].layer == "first_relu"
    assert {path.partition("/")[0] for path in graph.weights} == {"first"}


def test_the_added_layers_name_is_not_another_ones():
    def write(x):
        x = layers.Conv2D(2, 3, activation="relu", name="first")(x)
        return layers.Conv2D(2, 3, name="first_relu")(x)

    graph = assert_same(functional(write))
    assert [node.layer for node in graph.nodes] == ["first", "first_relu_2", "first_relu"]


INITIALIZERS = {
    "glorot_uniform": Initializer("uniform", 1.0, "fan_avg"),
    "he_normal": Initializer("truncated_normal", 2.0, "fan_in"),
    "lecun_uniform": Initializer("uniform", 1.0, "fan_in"),
    "zeros": Initializer("constant", 0.0),
    keras.initializers.Constant(0.5): Initializer("constant", 0.5),
    keras.initializers.RandomNormal(stddev=0.2): Initializer("normal", 0.2),
    keras.initializers.TruncatedNormal(stddev=0.2): Initializer("truncated_normal", 0.2),
    keras.initializers.RandomUniform(-0.1, 0.1): Initializer("uniform", 0.1),
    keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"): Initializer(
        "untruncated_normal", 2.0, "fan_out"
    ),
}


def initializer_name(given) -> str:
    return given if isinstance(given, str) else type(given).__name__


@pytest.mark.parametrize("given", INITIALIZERS, ids=initializer_name)
def test_initializers_are_kept(given):
    graph = graph_of(functional(layers.Dense(3, kernel_initializer=given, name="dense")))
    assert graph.node["dense"].operator == Dense(3, initializer=INITIALIZERS[given])
    made = backend.model(graph).get_layer("dense").kernel_initializer
    assert graph_of(functional(layers.Dense(3, kernel_initializer=made, name="dense"))) == graph


def test_constants_taken_from_images_are_kept():
    layer = layers.Normalization()
    layer.adapt(images(50, 4, 4, 4) * 3 + 1)
    graph = graph_of(functional(layer))
    (operator,) = [node.operator for node in graph.nodes]
    assert isinstance(operator, Normalization)
    x = images(2, SIDE, SIDE, 4)
    np.testing.assert_array_equal(np.asarray(backend.model(graph)(x)), np.asarray(layer(x)))


# Models


def sequential() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(5, activation="softmax"),
        ]
    )


def sequential_without_input() -> keras.Model:
    model = keras.Sequential([layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(2)])
    model.build((None, SIDE, SIDE, 3))
    return model


def block(name: str, channels: int = 4) -> keras.Model:
    x = keras.Input((None, None, channels))
    y = layers.Conv2D(channels, 3, padding="same", name="conv")(x)
    return keras.Model(x, layers.Add(name="sum")([x, layers.ReLU(name="relu")(y)]), name=name)


def nested() -> keras.Model:
    """Functional in functional in functional, Sequential in functional, and functional in Sequential."""
    x = keras.Input((SIDE, SIDE, 4), name="pixels")
    inner = keras.Model(z := keras.Input((SIDE, SIDE, 4)), block("deep")(block("one")(z)), name="outer")
    y = inner(x)
    y = keras.Sequential([layers.Conv2D(4, 1, name="conv"), block("two")], name="chain")(y)
    return keras.Model(x, layers.GlobalMaxPooling2D(name="pool")(y), name="whole")


def shared() -> keras.Model:
    """A tower for two inputs, and a layer used three times."""
    left, right = keras.Input((SIDE, SIDE, 3), name="left"), keras.Input((SIDE, SIDE, 3), name="right")
    tower = keras.Sequential(
        [layers.Conv2D(4, 3, activation="relu", name="conv"), layers.GlobalAveragePooling2D(name="pool")],
        name="tower",
    )
    dense = layers.Dense(4, activation="tanh", name="dense")
    a, b = tower(left), tower(right)
    return keras.Model([left, right], dense(dense(a) - dense(b)), name="siamese")


def several() -> keras.Model:
    a, b = keras.Input((SIDE, SIDE, 3), name="zebra"), keras.Input((5,), name="apple")
    x = layers.Conv2D(5, 3, name="conv")(a)
    y = layers.Concatenate(name="both")([layers.GlobalMaxPooling2D(name="pool")(x), b])
    return keras.Model(
        {"zebra": a, "apple": b}, {"scores": layers.Dense(2, name="dense")(y), "map": x, "again": x}
    )


def nested_several() -> keras.Model:
    """A nested model of several inputs and outputs, called with dicts and lists, used twice."""
    p, q = keras.Input((4,), name="second"), keras.Input((4,), name="first")
    inner = keras.Model({"second": p, "first": q}, [p - q, layers.Dense(4, name="dense")(q)], name="inner")
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    one, two = inner({"first": a, "second": b})
    three, four = inner({"first": one, "second": two})
    return keras.Model([a, b], [four, one, three])


def nested_output() -> keras.Model:
    """Outputs that are a nested model's own, of its second call."""
    inner = block("inner")
    x = keras.Input((SIDE, SIDE, 4), name="pixels")
    return keras.Model(x, [inner(inner(x)), layers.Flatten()(x)])


def part() -> keras.Model:
    """The first layers of another model, which are used elsewhere, too."""
    whole = nested()
    return keras.Model(whole.input, whole.get_layer("chain").output)


def passing() -> keras.Model:
    x = keras.Input((3,), name="x")
    return keras.Model(x, [x, layers.Dense(2)(x)])


MODELS = (
    *(nested, nested_output, nested_several, part, passing),
    *(sequential, sequential_without_input, several, shared),
)


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_a_users_model_gives_the_same_again(make):
    assert_same(make())


def test_nested_layers_keep_their_names_where_these_are_unique():
    graph = graph_of(nested())
    names = [node.name for node in graph.nodes if isinstance(node.operator, Conv)]
    assert names == ["outer_one_conv", "outer_deep_conv", "chain_conv", "chain_two_conv"]
    assert graph_of(functional(block("inner"))).node.keys() == {"conv", "relu", "sum"}


def test_a_shared_layer_is_several_nodes_and_its_weights_are_there_once():
    graph = graph_of(shared())
    uses = [node.name for node in graph.nodes if node.layer == "dense"]
    assert len(uses) == len(set(uses)) == 3
    assert list(graph.weights) == ["conv/kernel", "conv/bias", "dense/kernel", "dense/bias"]
    assert len(backend.model(graph).weights) == 4


def test_outputs_have_the_names_that_the_model_gives_them():
    assert list(graph_of(several()).outputs) == ["again", "map", "scores"]
    graph = graph_of(sequential())
    assert list(graph.outputs) == list(graph.outputs.values()) == [graph.nodes[-1].name]


def test_the_graph_takes_images_of_unknown_size():
    model = functional(lambda x: layers.Conv2D(2, 3, 2, "same")(x), (None, None, 3))
    assert graph_of(model).output_shapes == {"conv2d": (None, None, None, 2)} or graph_of(model).outputs
    assert_same(model)


def test_layers_that_compute_in_float32_in_a_mixed_network_do_so_again():
    x = keras.Input((SIDE, SIDE, 3))
    y = layers.Flatten(dtype="mixed_bfloat16")(layers.Conv2D(2, 3, dtype="mixed_bfloat16")(x))
    model = keras.Model(x, layers.Dense(2, dtype="float32", name="logits")(y))
    graph = graph_of(model)
    assert [node.precise for node in graph.nodes] == [False, False, True]
    value = images(2, SIDE, SIDE, 3)
    found = again(model, graph, "mixed_bfloat16")(value, training=False)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(model(value, training=False)))


def test_a_cast_among_floats_is_left_to_the_layers():
    assert_same(functional(lambda x: layers.Conv2D(2, 3)(ops.cast(x, "float32"))))
    message = "no operator casts to 'int32'"
    assert message in refusal(functional(lambda x: ops.cast(x, "int32")))


def test_a_cast_before_an_operation_of_a_mixed_network_is_refused():
    def write(x):
        y = layers.Conv2D(4, 1, dtype="mixed_bfloat16")(x)
        return layers.Flatten()(ops.cast(y, "float32") + x)

    said = refusal(functional(write))  # Keras numbers the operations of a process
    assert re.search(r"'add(_\d+)?' \(Add\): it computes in a dtype of its own", said)


def test_the_model_that_a_graph_gives_gives_the_graph_again():
    graph = graph_of(nested())
    assert graph_of(backend.model(graph)) == graph


# Operations in a call

CHANNELS = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "x + x": lambda x: x + x,
    "x - relu": lambda x: x - ops.relu(x),
    "x * relu": lambda x: x * ops.relu(x),
    "ops.add": lambda x: ops.add(x, 2.0),
    "x * 0.3": lambda x: x * 0.3,
    "0.3 * x": lambda x: 0.3 * x,
    "1 - x": lambda x: 1 - x,
    "x - 0.7": lambda x: x - 0.7,
    "-x": lambda x: -x,
    "x / 4": lambda x: x / 4,
    "x / 255": lambda x: x / 255.0,
    "x / 0.7": lambda x: x / 0.7,
    "channels": lambda x: x * CHANNELS + CHANNELS[None, None],
    "less the channels": lambda x: x - CHANNELS,
    "channels less it": lambda x: ops.subtract(CHANNELS, x),
    "divided by channels": lambda x: x / np.array([1, 2, 4, 8], np.float32),
    "mean": lambda x: ops.mean(x, axis=[1, 2]),
    "mean, sides kept": lambda x: ops.mean(x, axis=(-3, -2), keepdims=True),
    "max": lambda x: ops.max(x, axis=(1, 2)),
    "concatenate": lambda x: ops.concatenate([x, x], axis=-1),
    "concatenate rows": lambda x: ops.concatenate([x, x], axis=1),
    "reshape": lambda x: ops.reshape(x, (-1, SIDE * SIDE, 4)),
    "transpose": lambda x: ops.transpose(x, (0, 3, 1, 2)),
    "gelu": lambda x: ops.gelu(x, approximate=False),
    "gelu_tanh": lambda x: ops.gelu(x),
    "relu6": ops.relu6,
    "sigmoid": ops.sigmoid,
    "silu": ops.silu,
    "softmax": ops.softmax,
    "leaky_relu": lambda x: ops.leaky_relu(x, 0.3),
    "elu": lambda x: ops.elu(x, 0.5),
    "tanh": ops.tanh,
    "hard_sigmoid": ops.hard_sigmoid,
    "hard_silu": ops.hard_silu,
    "softplus": ops.softplus,
    "softsign": ops.softsign,
}


def test_every_operation_gives_the_same_again():
    assert_same(functional(lambda x: [call(x) for call in OPERATIONS.values()]))


def test_sums_and_constants_are_plain_arithmetic():
    graph = graph_of(functional(lambda x: (x + x * 0.3) * ops.relu(x)))
    found = [(node.operator, node.layer) for node in graph.nodes]
    assert (Rescale(0.3), None) in found
    assert (Add(), None) in found
    assert (Multiply(), None) in found


# What is refused


@keras.saving.register_keras_serializable("tests")
class Mine(keras.layers.Layer):
    def call(self, x):
        return x


@keras.saving.register_keras_serializable("tests")
class MyConv(keras.layers.Conv2D):
    def call(self, x):
        return 2 * super().call(x)


@keras.saving.register_keras_serializable("tests")
class LayerScale(keras.layers.Layer):
    """Called as one of Keras' own."""

    def call(self, x):
        return -x


class Subclassed(keras.Model):
    def call(self, x):
        return x


class Overriding(keras.Model):
    """Functional, but for its call."""

    def call(self, *arguments, **options):
        return 2 * super().call(*arguments, **options)


def relu(x):
    return -x


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "unknown layer": (Mine(name="it"), "'it' (Mine): no operator does what this class does"),
    "subclass": (MyConv(2, 3, name="it"), "'it' (MyConv): no operator does what this class does"),
    "namesake": (LayerScale(name="it"), "'it' (LayerScale): no operator does what this class does"),
    "lambda": (layers.Lambda(lambda x: x, name="it"), "'it' (Lambda): no operator does"),
    "group norm": (layers.GroupNormalization(2, name="it"), "'it' (GroupNormalization): no operator does"),
    "operation": (lambda x: ops.exp(x), "'exp' (Exp): no operator does what this operation does"),
    "slice": (lambda x: x[..., ::-1], "(GetItem): no operator does what this operation does"),
    "own function": (layers.Activation(relu, name="it"), "'it' (Activation): "),
    "own function in a layer": (layers.Conv2D(2, 3, activation=relu, name="it"), "'it' (Conv2D): "),
    "unknown function": (layers.Activation("mish", name="it"), "no operator has activation='mish'"),
    "channels first": (
        layers.AveragePooling2D(2, data_format="channels_first", name="it"),
        "'it' (AveragePooling2D): no operator has data_format='channels_first'",
    ),
    "axis": (
        layers.BatchNormalization(axis=1, name="it"),
        "'it' (BatchNormalization): no operator has axis=1",
    ),
    "threshold": (layers.ReLU(threshold=1.0, name="it"), "'it' (ReLU): no operator has threshold=1.0"),
    "limit and slope": (layers.ReLU(6.0, 0.1, name="it"), "'it' (ReLU): no operator has a limit and a slope"),
    "output padding": (
        layers.Conv2DTranspose(2, 3, 2, output_padding=1, name="it"),
        "'it' (Conv2DTranspose): no operator has output_padding=(1, 1)",
    ),
    "bicubic": (
        layers.UpSampling2D(2, interpolation="bicubic", name="it"),
        "'it' (UpSampling2D): no operator has interpolation='bicubic'",
    ),
    "einsum": (layers.EinsumDense("abcd,de->abce", (None, None, 4), name="it"), "'it' (EinsumDense): "),
    "inverted": (
        layers.Normalization(mean=[0.0] * 4, variance=[1.0] * 4, invert=True, name="it"),
        "'it' (Normalization): no operator has invert=True",
    ),
    "training": (
        lambda x: layers.BatchNormalization(name="it")(x, training=True),
        "'it' (BatchNormalization): it is called with training=True",
    ),
    "other constants": (lambda x: x * np.ones((SIDE, 1), np.float32), "no operator has a constant of shape"),
    "division": (lambda x: x / -0.7, "multiply by its inverse instead"),
    "division of a constant": (lambda x: 1 / x, "no operator divides by a value"),
    "mean of channels": (lambda x: ops.mean(x, axis=-1), "no operator has axis=-1, only height and width"),
    "softmax of rows": (lambda x: ops.softmax(x, axis=1), "no operator has axis=1, only the last one"),
    "reshape of the batch": (lambda x: ops.reshape(x, (-1, 4)), "Expected 4 values to reshape"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_operator_does_is_refused_in_one_sentence_that_names_the_layer(name):
    call, message = REFUSED[name]
    found = refusal(functional(call), inference=True)
    assert message in found
    assert "\n" not in found


ONLY_IN_TRAINING: dict[str, tuple[Callable[[Any], Any], str]] = {
    "regularizer": (layers.Conv2D(2, 3, kernel_regularizer="l2", name="it"), "kernel_regularizer='L2'"),
    "constraint": (layers.Dense(2, bias_constraint="non_neg", name="it"), "bias_constraint='NonNeg'"),
    "activity": (layers.Dense(2, activity_regularizer="l1", name="it"), "activity_regularizer='L1'"),
    "bias": (layers.Dense(2, bias_initializer="ones", name="it"), "bias_initializer='Ones'"),
    "gamma": (layers.BatchNormalization(gamma_initializer="zeros", name="it"), "gamma_initializer='Zeros'"),
    "orthogonal": (
        layers.Dense(2, kernel_initializer="orthogonal", name="it"),
        "kernel_initializer='Orthogonal'",
    ),
    "frozen statistics": (
        lambda x: layers.BatchNormalization(name="it")(x, training=False),
        "training=False",
    ),
    "noise": (layers.GaussianNoise(0.1, name="it"), "no operator does what this class does"),
}


@pytest.mark.parametrize("name", ONLY_IN_TRAINING)
def test_what_matters_in_training_only_is_left_out_when_asked_for_and_else_refused(name):
    call, message = ONLY_IN_TRAINING[name]
    model = functional(call)
    found = refusal(model)
    assert "'it'" in found
    assert message in found
    assert_same(model, inference=True)


def test_models_that_do_not_say_what_they_compute_are_refused():
    x = keras.Input((4,))
    assert "'subclassed' (Subclassed): only functional and Sequential" in refusal(
        Subclassed(name="subclassed")
    )
    assert "(Overriding): only functional and Sequential" in refusal(Overriding(x, layers.Dense(2)(x)))
    assert "it is not built yet" in refusal(keras.Sequential([layers.Dense(2)], name="mine"))
    assert refusal(layers.Dense(2)) == "Expected a keras.Model, got Dense."
    nested = keras.Model(x, Overriding(x, layers.Dense(2)(x), name="inner")(x))
    assert "'inner' (Overriding)" in refusal(nested)


def test_whole_numbers_may_only_go_where_keras_makes_floats_of_them():
    x = keras.Input((SIDE, SIDE, 3), dtype="uint8", name="bytes")
    assert "'bytes' of uint8: expected floats" in refusal(keras.Model(x, layers.MaxPooling2D(name="pool")(x)))
    model = keras.Model(x, layers.Rescaling(1 / 255)(x))
    value = RNG.integers(0, 255, (1, SIDE, SIDE, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(backend.model(graph_of(model))(value)), np.asarray(model(value)))


# keras.applications

VARIANTS = keras_applications.VARIANTS


SHALLOW, LIGHT = 320, 100_000_000  # nodes and parameters of the networks that the tests always run


@pytest.fixture(scope="module", params=VARIANTS)
def network(request) -> Iterator[tuple[str, keras.Model]]:
    """A variant's name and Keras' model of it: both tests of one variant come before the next is built."""
    yield request.param, graphs.keras_model(request.param)
    gc.collect()


def test_the_stored_graph_is_what_the_installed_keras_builds(network):
    """If this fails after an update of Keras: its network has changed there, and ours has not."""
    variant, model = network
    stored, found = keras_applications.stored_graph(variant), graphs.with_changes(model, variant)
    pairs = zip(stored.nodes, found.nodes, strict=False)
    assert not [f"{ours} is {theirs} there" for ours, theirs in pairs if ours != theirs][:3]
    assert stored == found


def is_run_by_default(variant: str) -> bool:
    """Whether it is small, or the smallest that the same file of Keras writes."""
    if "ALL_VARIANTS" in os.environ:
        return True
    size = {name: len(keras_applications.stored_graph(name).nodes) for name in VARIANTS}
    written = {name: getattr(keras.applications, facts.model).__module__ for name, facts in VARIANTS.items()}
    smallest = min((name for name in VARIANTS if written[name] == written[variant]), key=size.__getitem__)
    light = keras_applications.stored_graph(variant).parameters < LIGHT
    return variant == smallest or (size[variant] <= SHALLOW and light)


def test_a_network_of_keras_gives_the_same_again(network):
    variant, model = network
    if not is_run_by_default(variant):
        pytest.skip("a smaller network of the same kind is run; ALL_VARIANTS=1 runs all, in two minutes")
    graph = graph_of(model)
    mine = backend.model(graph)
    theirs = variables_of(model)
    for path, ours in keras_values.by_path(mine):
        array = value(path, ours.shape)
        for variable in (ours, theirs[path]):
            variables.set_value(variable, array)
    side = 224 if VARIANTS[variant].fixed_size else 75
    x = images(1, side, side, 3)
    expected, found = (each(x, training=False) for each in (model, mine))
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(np.asarray(found[name]), np.asarray(array))
        assert 0 < np.std(array) < np.inf


@pytest.mark.parametrize("name", ["MobileNet", "MobileNetV3Small", "EfficientNetB0", "VGG16"])
def test_a_network_of_keras_with_its_head_gives_the_same_again(name):
    model = getattr(keras.applications, name)(weights=None, input_shape=(32, 32, 3), classes=5)
    graph = assert_same(model)
    assert list(graph.output_shapes.values()) == [(None, 5)]
    assert any(node.operator == Activation("softmax") for node in graph.nodes)


def test_layers_of_keras_own_networks_are_what_they_are_in_operators():
    graph = keras_applications.stored_graph("convnext_tiny")
    scale = graph.node["convnext_tiny_stage_0_block_0_layer_scale"]
    assert scale.operator == ChannelScale(Initializer("constant", 1e-6))
    assert scale.paths == {"kernel": "convnext_tiny_stage_0_block_0_layer_scale/kernel"}
    containers = {node.container for node in graph.nodes} - {None}
    assert "convnext_tiny_stem" in containers
    drop = keras_applications.stored_graph("efficientnet_b0").node["block2b_drop"].operator
    assert isinstance(drop, Dropout)
    assert drop.shape_of_noise == (None, 1, 1, 1)
    graph = keras_applications.stored_graph("inception_resnet_v2")
    scaled = [node for node in graph.nodes if node.name.startswith("custom_scale_layer")]
    assert [type(node.operator) for node in scaled[:2]] == [Rescale, Add]
