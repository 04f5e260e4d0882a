"""Every operator, with random attributes: its definition, the reference and the frameworks agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from modelzoo.backends import numpy as reference
from modelzoo.graph import OPERATORS, Builder, Graph
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.elementwise import Activation, Add, Multiply, PReLU, Subtract
from modelzoo.graph.normalization import BatchNorm, ChannelScale, Normalization, Rescale
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.shaping import (
    Concat,
    Cropping,
    Permute,
    Reshape,
    SamePadding,
    UpSampling,
    ZeroPadding,
)
from tests import operators
from tests.operators import BACKENDS, CASES, NODE, arrays_of, graph_of, inputs_of, relative

ROUNDING = 1e-6  # of the relative L2 error of a float32 framework
EXACT = 1e-12  # of two ways to compute in float64
BY_DEFINITION = (
    "Conv",
    "DepthwiseConv",
    "SeparableConv",
    "TransposedConv",
    "Dense",
    "MaxPool",
    "AveragePool",
)
OPTIONS = {"phases": (Phase.generate, Phase.shrink), "deadline": None, "derandomize": True, "database": None}
few = settings(max_examples=8, suppress_health_check=list(HealthCheck), **OPTIONS)
many = settings(max_examples=12, suppress_health_check=list(HealthCheck), **OPTIONS)


def test_every_operator_is_tested():
    assert CASES.keys() == OPERATORS.keys()


def flexible(case) -> Graph | None:
    """The network for images of any size; None if the operator needs to know."""
    try:
        return graph_of(case, known=False)
    except ValueError:
        assert isinstance(case[0], PReLU)
        return None


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CASES)
def test_a_framework_computes_what_the_reference_does(name, backend):
    """For images of a size that is known beforehand, and of one that is not."""
    run, takes = BACKENDS[backend]

    @many
    @given(CASES[name], st.sampled_from([1, 3]), st.booleans())
    def check(case, batch, known):
        assume(takes(case[0]))
        graph = graph_of(case)
        built = graph if known or isinstance(case[0], SamePadding) else flexible(case) or graph
        arrays, inputs = arrays_of(graph), inputs_of(case, batch)
        expected = reference.run(graph, arrays, inputs)["y"]
        found = run(built, arrays, inputs)["y"]
        assert found.shape == expected.shape
        assert relative(found, expected) < ROUNDING, case

    check()


@pytest.mark.parametrize("name", CASES)
def test_a_shape_is_that_of_the_value(name):
    """Of known sides all of it, and of unknown ones what is known."""

    @many
    @given(CASES[name], st.sampled_from([1, 3]))
    def check(case, batch):
        graph, whole = graph_of(case), flexible(case)
        value = reference.run(graph, arrays_of(graph), inputs_of(case, batch))["y"]
        assert graph.shape(NODE) == (None, *value.shape[1:])
        assert graph_of(case, batch=batch).shape(NODE) == value.shape
        if whole is not None:
            assert len(whole.shape(NODE)) == value.ndim
            sides = zip(whole.shape(NODE), value.shape, strict=True)
            assert all(side in (None, found) for side, found in sides)

    check()


@pytest.mark.parametrize("name", CASES)
def test_shapes_and_weights_are_those_of_keras_layer(name):
    """The weights by name, shape, order, and whether they are trained."""

    @few
    @given(CASES[name], st.booleans())
    def check(case, known):
        assume(operators.keras_takes(case[0]))
        graph = (
            graph_of(case) if known or isinstance(case[0], SamePadding) else flexible(case) or graph_of(case)
        )
        model = operators.keras_model(graph, arrays_of(graph))
        expected = graph.shape(NODE)
        for ours, theirs in zip(expected, model.output["y"].shape, strict=True):
            # Keras takes an unknown side beside a known one for unknown, where it can only be that one or 1.
            assert ours == theirs or (theirs is None and name in ("Add", "Multiply", "Subtract"))
        if case[0] == Activation("gelu_tanh"):  # an operation, no layer
            return
        variables = model.get_layer(NODE).weights
        found = [(variable.name, tuple(variable.shape), variable.trainable) for variable in variables]
        assert found == [(w.name, w.shape, w.trainable) for w in graph.node[NODE].weights]
        assert graph.parameters == model.count_params()

    check()


@pytest.mark.parametrize("name", BY_DEFINITION)
def test_the_reference_computes_the_definition_with_as_many_products(name):
    """Also what no framework takes: stride and dilation at once, poolings with explicit margins."""

    @few
    @given(CASES[name])
    def check(case):
        graph = graph_of(case)
        arrays, inputs = arrays_of(graph), inputs_of(case, 1)
        by_name = {weight: arrays[path].astype(np.float64) for weight, path in graph.node[NODE].paths.items()}
        expected, products = operators.directly(case[0], by_name, inputs["x0"])
        assert relative(reference.run(graph, arrays, inputs)["y"], expected) < EXACT, case
        assert graph.multiply_adds == products, case

    check()


@pytest.mark.parametrize("name", sorted(CASES.keys() - set(BY_DEFINITION)))
def test_operators_without_products_cost_no_multiply_adds(name):
    @few
    @given(CASES[name])
    def check(case):
        assert graph_of(case).multiply_adds == 0

    check()


@pytest.mark.parametrize("name", BY_DEFINITION[:5])
def test_multiply_adds_of_unknown_sides_are_unknown(name):
    @few
    @given(CASES[name])
    def check(case):
        assert (flexible(case).multiply_adds is None) == (len(case[1][0]) > 1)

    check()


IMAGE, VECTOR = (None, 8, 8, 4), (None, 4)
REFUSED = {
    "vector to a convolution": (Conv(8, (3, 3)), [VECTOR], "(batch, height, width, channels)"),
    "vector to a transposed convolution": (TransposedConv(8, (3, 3)), [VECTOR], "(batch, height, width"),
    "vector to a pooling": (MaxPool((2, 2), (2, 2)), [VECTOR], "(batch, height, width, channels)"),
    "vector to a global pooling": (GlobalPool(), [VECTOR], "(batch, height, width, channels)"),
    "vector to a padding": (ZeroPadding(((1, 1), (1, 1))), [VECTOR], "(batch, height, width, channels)"),
    "vector to TensorFlow's padding": (SamePadding((3, 3), (2, 2)), [VECTOR], "(batch, height, width"),
    "vector to an up-sampling": (UpSampling((2, 2)), [VECTOR], "(batch, height, width, channels)"),
    "unknown channels": (Conv(8, (3, 3)), [(None, 8, 8, None)], "known number of channels"),
    "unknown channels of a dense layer": (Dense(8), [(None, None)], "known number of channels"),
    "unknown channels of a norm": (BatchNorm(), [(None, 8, 8, None)], "known number of channels"),
    "unknown channels of a scale": (ChannelScale(), [(None, None)], "known number of channels"),
    "groups": (Conv(8, (3, 3), groups=3), [IMAGE], "3 groups divide, got 4 and 8"),
    "small image": (Conv(8, (9, 9)), [IMAGE], "Expected at least 9 pixels under a window, got a side of 8"),
    "small image, depthwise": (DepthwiseConv((9, 3)), [IMAGE], "Expected at least 9 pixels"),
    "small image, separable": (SeparableConv(8, (3, 9)), [IMAGE], "Expected at least 9 pixels"),
    "small image, dilated": (Conv(8, (5, 5), dilation=(2, 2)), [IMAGE], "Expected at least 9 pixels"),
    "small image, pooled": (AveragePool((9, 9), (1, 1)), [IMAGE], "Expected at least 9 pixels"),
    "margins beyond a transposed convolution": (
        TransposedConv(8, (1, 1), padding=((4, 4), (0, 0))),
        [IMAGE],
        "margins smaller than the map",
    ),
    "all cropped": (Cropping(((4, 4), (0, 0))), [IMAGE], "larger than what is cropped"),
    "two shapes": (Add(), [IMAGE, (None, 7, 8, 4)], "maps of one shape"),
    "two ranks": (Multiply(), [IMAGE, VECTOR], "maps of one rank"),
    "one input to add": (Add(), [IMAGE], "Expected 2 inputs or more, got 1"),
    "three inputs to subtract": (Subtract(), [IMAGE] * 3, "Expected 2 inputs, got 3"),
    "two inputs to a convolution": (Conv(8, (3, 3)), [IMAGE] * 2, "Expected 1 input, got 2"),
    "no input to concatenate": (Concat(), [], "Expected 1 input or more, got 0"),
    "two shapes to concatenate": (Concat(), [IMAGE, (None, 7, 8, 4)], "differ along axis 3"),
    "two ranks to concatenate": (Concat(), [IMAGE, VECTOR], "differ along axis 3"),
    "axis that there is not": (Concat(7), [IMAGE, IMAGE], "one of 4 axes, got 7"),
    "reshape to more": (Reshape((5, 5, 4)), [IMAGE], "Expected 100 values"),
    "reshape to no multiple": (Reshape((-1, 7)), [IMAGE], "Expected"),
    "reshape to two unknown sides": (Reshape((-1, -1)), [IMAGE], "at most one side of -1"),
    "permute other axes": (Permute((1, 2)), [IMAGE], "an order of 3 axes, got (1, 2)"),
    "means of other channels": (Normalization((0.0,), (1.0,)), [IMAGE], "4 means and variances, got 1 and 1"),
    "scales of other channels": (Rescale((1.0, 2.0)), [IMAGE], "each of 4 channels, got 2"),
    "offsets of other channels": (Rescale(1.0, (1.0, 2.0)), [IMAGE], "each of 4 channels, got 2"),
    "PReLU of unknown sides": (PReLU(), [(None, None, 8, 4)], "known side along axis 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_inputs_that_an_operator_cannot_take_are_refused_in_one_sentence(case):
    """It names the operator and the node."""
    operator, shapes, sentence = REFUSED[case]
    builder = Builder()
    inputs = [builder.input(f"x{number}", shape) for number, shape in enumerate(shapes)]
    with pytest.raises(ValueError, match="Expected") as error:
        builder.add_node(operator, *inputs, name="head")
    message = str(error.value)
    assert message.startswith(f"{type(operator).__name__} 'head': Expected")
    assert sentence in message
    assert message.endswith(".")
    assert "\n" not in message


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match=r"Expected an activation among elu, .*, got 'swishy'\."):
        Activation("swishy")  # pyright: ignore


@pytest.mark.parametrize("attribute", ["MaxPool", "AveragePool", "TransposedConv"])
def test_keras_refuses_explicit_margins_by_the_node_where_it_has_none(attribute):
    padding = ((1, 1), (1, 1))
    kinds = {"TransposedConv": TransposedConv(2, (3, 3), (2, 2), padding)}
    operator = kinds.get(attribute) or OPERATORS[attribute]((3, 3), (2, 2), padding)
    graph = graph_of((operator, [(8, 8, 2)]))
    with pytest.raises(ValueError, match=f"{attribute} 'operator': Expected the padding 'valid' or 'same'"):
        operators.keras_outputs(graph, arrays_of(graph), inputs_of((operator, [(8, 8, 2)]), 1))


def test_keras_refuses_padding_that_depends_on_an_unknown_side():
    graph = graph_of((SamePadding((3, 3), (2, 2)), [(8, 8, 2)]), known=False)
    with pytest.raises(ValueError, match="'operator' depends"):
        operators.keras_outputs(graph, {}, {"x0": np.zeros((1, 8, 8, 2), np.float32)})


def test_opset_9_refuses_padding_that_depends_on_an_unknown_side():
    graph = graph_of((SamePadding((3, 3), (2, 2)), [(8, 8, 2)]), known=False)
    with pytest.raises(ValueError, match="'operator' depends on the size of images, which opset 9 cannot"):
        operators.onnx_outputs(graph, {}, {"x0": np.zeros((1, 8, 8, 2), np.float32)}, opset=9)


@pytest.mark.parametrize("backend", sorted(BACKENDS.keys() - {"keras", "onnx opset 9"}))
def test_padding_that_depends_on_an_unknown_side_is_computed(backend):
    """Of odd and of even sides, and of windows smaller than their stride."""
    run, _ = BACKENDS[backend]
    for size, stride in (((3, 3), (2, 2)), ((5, 2), (2, 3)), ((1, 7), (3, 2))):
        case = (SamePadding(size, stride), [(9, 8, 2)])
        graph = graph_of(case, known=False)
        for sides in ((9, 8), (7, 11), (10, 12)):
            inputs = inputs_of((case[0], [(*sides, 2)]), 2)
            found, expected = run(graph, {}, inputs)["y"], reference.run(graph, {}, inputs)["y"]
            assert found.shape == expected.shape
            assert relative(found, expected) < ROUNDING, (size, stride, sides)


def dense() -> tuple[Graph, dict[str, np.ndarray], dict[str, np.ndarray]]:
    case = (Dense(3), [(4,)])
    graph = graph_of(case)
    return graph, arrays_of(graph), inputs_of(case, 2)


def test_the_reference_names_the_weights_that_are_missing():
    graph, arrays, inputs = dense()
    del arrays["operator/bias"]
    with pytest.raises(ValueError, match=r"each of 2 weights of one, found 1; missing: operator/bias\."):
        reference.run(graph, arrays, inputs)


def test_the_reference_names_a_weight_of_another_shape():
    graph, arrays, inputs = dense()
    arrays["operator/bias"] = arrays["operator/bias"][:1]
    with pytest.raises(ValueError, match=r"operator/bias of shape \(3,\) for one, got \(1,\)"):
        reference.run(graph, arrays, inputs)


def test_the_reference_names_the_inputs():
    graph, arrays, inputs = dense()
    with pytest.raises(ValueError, match=r"Expected the inputs x0 of one, got images\."):
        reference.run(graph, arrays, {"images": inputs["x0"]})
    with pytest.raises(ValueError, match=r"Expected x0 of shape \(None, 4\) for one, got \(2, 3\)\."):
        reference.run(graph, arrays, {"x0": inputs["x0"][:, :3]})


def test_the_reference_gives_further_values_by_name():
    graph, arrays, inputs = dense()
    found = reference.run(graph, arrays, inputs, values=["x0", NODE])
    assert found.keys() == {"x0", NODE, "y"}
    assert np.array_equal(found[NODE], found["y"])
    assert found["y"].dtype == np.float64
    with pytest.raises(ValueError, match="a node or a feature map of one, got 'C9'"):
        reference.run(graph, arrays, inputs, values=["C9"])


def test_the_reference_rounds_values_to_float32_where_asked():
    graph, arrays, inputs = dense()
    exact, rounded = (reference.run(graph, arrays, inputs, rounded=given)["y"] for given in (False, True))
    assert np.array_equal(rounded, exact.astype(np.float32))
    assert not np.array_equal(rounded, exact)
