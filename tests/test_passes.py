"""Passes: a network gives the same values after them, by the float64 reference; each does what it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelzoo import architectures
from modelzoo.architectures import FAMILIES, synthetic
from modelzoo.backends import numpy as reference
from modelzoo.graph import Builder, Graph, Operator, Tensor
from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.elementwise import Activation, Add, Dropout, LeakyReLU, ReLU
from modelzoo.graph.normalization import BatchNorm
from modelzoo.graph.passes import drop_training_only, fold_batch_norms, fold_padding, replace_head
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.shaping import Concat, Reshape, SamePadding, ZeroPadding
from tests.operators import arrays_of, keras_outputs, noise, relative

PASSES = {
    "fold_batch_norms": fold_batch_norms,
    "fold_padding": fold_padding,
    "drop_training_only": drop_training_only,
}
EXACT = 1e-9  # of the relative L2 error in float64
ONE = ((1, 1), (1, 1))  # a pixel around a map
OPERATORS: list[Operator] = [
    Conv(4, (3, 3), padding="same", bias=False),
    Conv(4, (3, 3), (2, 2), "same"),
    Conv(4, (3, 3), (2, 2), bias=False),
    Conv(4, (3, 3), padding=((1, 0), (0, 1)), groups=2),
    DepthwiseConv((3, 3), padding="same", multiplier=2, bias=False),
    SeparableConv(4, (3, 3), bias=False),
    TransposedConv(4, (3, 2), (2, 2), "same"),
    Dense(4),
    *(BatchNorm(), BatchNorm(1e-5, scale=False), BatchNorm(center=False)) * 3,
    *(ZeroPadding(ONE), ZeroPadding(((0, 1), (2, 0))), SamePadding((3, 3), (2, 2))) * 2,
    *(MaxPool((3, 3), (2, 2)), MaxPool((3, 3), (2, 2), "same"), AveragePool((2, 2), (1, 1), "same")),
    *(ReLU(), ReLU(6.0), LeakyReLU(0.1), Activation("softplus"), Activation("linear"), Dropout(0.5)),
]


@st.composite
def networks(draw) -> Graph:
    """A random network: mostly chains, sometimes a branch, a sum, or a layer that is used twice."""
    builder = Builder()
    values = [builder.input("images", (None, 17, 19, 4))]
    for number in range(draw(st.integers(4, 14))):
        x = values[-1] if draw(st.integers(0, 4)) else draw(st.sampled_from(values))
        values.append(_grown(draw, builder, x, values, f"node{number}"))
    names = st.lists(st.sampled_from(values[1:]), max_size=2)
    outputs = {f"output{number}": x for number, x in enumerate([values[-1], *draw(names)])}
    return builder.graph("random", outputs, {f"C{number}": x for number, x in enumerate(draw(names))})


def _grown(draw, builder: Builder, x: Tensor, values: list[Tensor], name: str) -> Tensor:
    """One node more."""
    if draw(st.integers(0, 4)) == 0:
        like = [other for other in values if other.shape == x.shape]
        kind = draw(st.sampled_from([Add(), Concat()]))
        return builder.add_node(kind, x, draw(st.sampled_from(like)), name=name, layer=name)
    shared = [n for n in builder.nodes.values() if n.weights and builder.nodes.get(n.inputs[0]) is not None]
    same = [n for n in shared if builder.nodes[n.inputs[0]].shape == x.shape]
    if same and draw(st.integers(0, 9)) == 0:
        twin = draw(st.sampled_from(same))
        return builder.add_node(twin.operator, x, name=name, layer=twin.layer)
    try:
        return builder.add_node(draw(st.sampled_from(OPERATORS)), x, name=name, layer=name)
    except ValueError:  # too small a map, or channels that groups do not divide
        return builder.add_node(ReLU(), x, name=name, layer=name)


def float64(graph: Graph) -> dict[str, np.ndarray]:
    return {path: array.astype(np.float64) for path, array in arrays_of(graph).items()}


def inputs_of(graph: Graph) -> dict[str, np.ndarray]:
    return {name: noise(name, (2, *shape[1:])) for name, shape in graph.inputs.items()}


def assert_gives_the_same(graph: Graph, arrays, other: Graph, others, inputs=None) -> None:
    """Outputs and feature maps; and the other graph's arrays are its weights, in its order."""
    inputs = inputs or inputs_of(graph)
    assert list(others) == list(other.weights)
    assert other.maps.keys() == graph.maps.keys()
    assert other.output_shapes == graph.output_shapes
    expected = reference.run(graph, arrays, inputs, values=graph.maps)
    found = reference.run(other, others, inputs, values=other.maps)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert relative(found[name], value) < EXACT, name


@pytest.mark.parametrize("name", PASSES)
def test_a_pass_keeps_the_values_of_any_network(name):
    @settings(
        max_examples=60,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(networks())
    def check(graph):
        arrays = float64(graph)
        assert_gives_the_same(graph, arrays, *PASSES[name](graph, arrays))

    check()


def family_network(
    family: str, variant: str | None = None
) -> tuple[Graph, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The family's first network, or another, for small images; without its top if that needs larger ones."""
    variant, size = variant or next(iter(FAMILIES[family].variants)), (64, 96)
    if family.startswith("inception"):
        size = (75, 107)
    try:
        graph = architectures.build(family, variant, input_shape=(*size, 3), classes=10)
    except ValueError:
        graph = architectures.build(family, variant, input_shape=(*size, 3), pooling="avg")
    proof = FAMILIES[family].proof_of(variant)
    arrays = {path: synthetic.array(path, shape, proof) for path, shape in graph.weight_shapes.items()}
    return graph, arrays, {"images": synthetic.images(*size)}


def optimized(graph: Graph, arrays) -> tuple[Graph, dict[str, np.ndarray]]:
    """By all passes that change no value."""
    for fold in (drop_training_only, fold_batch_norms, fold_padding):
        graph, arrays = fold(graph, arrays)
    return graph, dict(arrays)


NETWORKS = [(family, None) for family in FAMILIES] + [
    ("keras_applications", variant)
    for variant in ("convnext_tiny", "efficientnet_b0", "mobilenet_v3_small_1.0")
]


@pytest.mark.parametrize(("family", "variant"), NETWORKS)
def test_all_passes_keep_the_values_of_a_familys_network(family, variant):
    graph, arrays, inputs = family_network(family, variant)
    arrays = {path: array.astype(np.float64) for path, array in arrays.items()}
    other, others = optimized(graph, arrays)
    assert_gives_the_same(graph, arrays, other, others, inputs)
    if any(isinstance(node.operator, BatchNorm) for node in graph.nodes):
        assert len(other.nodes) < len(graph.nodes)
        assert other.parameters < graph.parameters


def test_keras_builds_what_the_passes_leave():
    graph, arrays, inputs = family_network("mobilenet")
    expected = keras_outputs(graph, arrays, inputs)["logits"]
    other, others = optimized(graph, arrays)
    assert not any(isinstance(node.operator, (BatchNorm, Dropout)) for node in other.nodes)
    assert relative(keras_outputs(other, others, inputs)["logits"], expected) < 1e-5


def chain(*operators: Operator, channels: int = 4, maps: tuple[int, ...] = ()) -> Graph:
    """A network of these operators, one after the other, named n0, n1, ...; some are feature maps."""
    builder = Builder()
    values = [builder.input("images", (None, 9, 9, channels))]
    for number, operator in enumerate(operators):
        values.append(builder.add_node(operator, values[-1], name=f"n{number}", layer=f"n{number}"))
    return builder.graph("chain", {"y": values[-1]}, {f"C{number}": values[number + 1] for number in maps})


def kinds(graph: Graph) -> list[str]:
    return [type(node.operator).__name__ for node in graph.nodes]


KERNELS = [
    Conv(4, (3, 3), bias=False),
    Conv(4, (3, 3), groups=2),
    DepthwiseConv((3, 3), multiplier=3),
    SeparableConv(6, (3, 3), multiplier=2, bias=False),
    TransposedConv(6, (2, 3), (3, 3), bias=False),
    Dense(6, bias=False),
]


@pytest.mark.parametrize("operator", KERNELS, ids=lambda operator: type(operator).__name__)
def test_a_norm_folds_into_every_kind_of_kernel(operator):
    """Two of them, one after the other, too."""
    graph = chain(operator, BatchNorm(), BatchNorm(scale=False), ReLU())
    other, arrays = fold_batch_norms(graph, float64(graph))
    assert kinds(other) == [type(operator).__name__, "ReLU"]
    assert "n0/bias" in arrays
    assert_gives_the_same(graph, float64(graph), other, arrays)


@pytest.mark.parametrize(("given", "folded"), [("float16", "float32"), ("float32", "float32")])
def test_folded_weights_have_float32_or_more(given, folded):
    """In float16 they would be rounded once more: 1e-4 of the bundled model's logits."""
    graph = chain(Conv(4, (3, 3), bias=False), BatchNorm())
    arrays = {path: array.astype(given) for path, array in arrays_of(graph).items()}
    _, others = fold_batch_norms(graph, arrays)
    assert {array.dtype for array in others.values()} == {np.dtype(folded)}


def test_no_array_that_was_given_is_changed():
    graph = chain(Conv(4, (3, 3)), BatchNorm())
    arrays = arrays_of(graph)
    before = {path: array.copy() for path, array in arrays.items()}
    fold_batch_norms(graph, arrays)
    assert all(np.array_equal(arrays[path], array) for path, array in before.items())


def test_a_norm_stays_where_a_feature_map_shows_its_input():
    graph = chain(Conv(4, (3, 3)), BatchNorm(), maps=(0,))
    assert kinds(fold_batch_norms(graph, arrays_of(graph))[0]) == ["Conv", "BatchNorm"]


def test_a_norm_that_is_a_feature_map_folds_and_the_map_shows_the_layer_before():
    graph = chain(Conv(4, (3, 3)), BatchNorm(), ReLU(), maps=(1,))
    assert fold_batch_norms(graph, arrays_of(graph))[0].maps == {"C1": "n0"}


def test_norms_stay_where_they_share_an_input():
    builder = Builder()
    x = builder.add_node(Conv(4, (3, 3)), builder.input("images", (None, 9, 9, 4)), name="conv", layer="conv")
    norms = [builder.add_node(BatchNorm(), x, name=name, layer=name) for name in ("bn1", "bn2")]
    graph = builder.graph("two", {"y": builder.add_node(Add(), *norms, name="add", layer="add")})
    other, arrays = fold_batch_norms(graph, arrays_of(graph))
    assert kinds(other) == kinds(graph)
    assert arrays.keys() == graph.weights.keys()


def twice(*before: Operator, after: Operator) -> Graph:
    """A convolution that is applied to two inputs with the same weights; once with operators around it."""
    builder = Builder()
    images, others = (builder.input(name, (None, 9, 9, 4)) for name in ("images", "others"))
    x = images
    for operator in before:
        x = builder.add_node(operator, x, name="before", layer="before")
    x = builder.add_node(Conv(4, (3, 3)), x, name="conv1", layer="conv")
    x = builder.add_node(after, x, name="after", layer="after")
    other = builder.add_node(Conv(4, (3, 3)), others, name="conv2", layer="conv")
    return builder.graph("twice", {"x": x, "other": other})


def test_a_norm_stays_after_a_layer_that_another_place_uses_too():
    graph = twice(after=BatchNorm())
    other, arrays = fold_batch_norms(graph, float64(graph))
    assert "BatchNorm" in kinds(other)
    assert_gives_the_same(graph, float64(graph), other, arrays)


def test_a_padding_stays_before_a_layer_that_another_place_uses_without():
    """A framework's layer has one padding."""
    graph = twice(ZeroPadding(ONE), after=ReLU())
    assert "ZeroPadding" in kinds(fold_padding(graph, arrays_of(graph))[0])


def test_missing_arrays_are_named():
    graph = chain(Conv(4, (3, 3)), BatchNorm())
    with pytest.raises(ValueError, match="found 0; missing: n0/kernel, n0/bias, n1/gamma, "):
        fold_batch_norms(graph, {})


@pytest.mark.parametrize("padding", [ZeroPadding(((2, 1), (0, 1))), SamePadding((3, 3), (2, 2))], ids=str)
@pytest.mark.parametrize("own", ["valid", "same", ((1, 0), (0, 2))])
@pytest.mark.parametrize("kind", [Conv, DepthwiseConv, SeparableConv])
def test_a_padding_folds_into_a_convolution(padding, own, kind):
    facts = {"kernel": (3, 3), "stride": (2, 2), "padding": own} | (
        {} if kind is DepthwiseConv else {"filters": 2}
    )
    graph = chain(padding, kind(**facts))
    other, arrays = fold_padding(graph, float64(graph))
    assert kinds(other) == [kind.__name__]
    assert_gives_the_same(graph, float64(graph), other, arrays)


@pytest.mark.parametrize(
    ("operators", "folds"),
    [
        ((ReLU(), ZeroPadding(ONE), MaxPool((3, 3), (2, 2))), True),
        ((ReLU(), AveragePool((2, 2), (1, 1)), ZeroPadding(ONE), MaxPool((3, 3), (2, 2))), True),
        ((Activation("softplus"), Dropout(0.5), ZeroPadding(ONE), MaxPool((2, 2), (2, 2))), True),
        ((LeakyReLU(), ZeroPadding(ONE), MaxPool((3, 3), (2, 2))), False),
        ((ZeroPadding(ONE), MaxPool((3, 3), (2, 2))), False),
        ((ReLU(), BatchNorm(), ZeroPadding(ONE), MaxPool((3, 3), (2, 2))), False),
        ((ReLU(), ZeroPadding(((2, 0), (0, 0))), MaxPool((2, 2), (1, 1))), False),  # a window of padding
        ((ReLU(), ZeroPadding(ONE), AveragePool((3, 3), (2, 2))), False),
        ((ZeroPadding(ONE), ReLU(), Conv(2, (3, 3))), False),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_padding_folds_into_a_pooling_only_where_zeros_are_never_more_than_a_pixel(operators, folds):
    graph = chain(*operators)
    other, arrays = fold_padding(graph, float64(graph))
    assert ("ZeroPadding" not in kinds(other)) == folds
    assert_gives_the_same(graph, float64(graph), other, arrays)


def test_a_padding_stays_for_a_consumer_that_cannot_pad():
    builder = Builder()
    x = builder.input("images", (None, 9, 9, 4))
    x = builder.add_node(ZeroPadding(ONE), x, name="pad", layer="pad")
    conv = builder.add_node(Conv(4, (3, 3)), x, name="conv", layer="conv")
    pool = builder.add_node(AveragePool((3, 3), (1, 1)), x, name="pool", layer="pool")
    graph = builder.graph("both", {"conv": conv, "pool": pool})
    assert "ZeroPadding" in kinds(fold_padding(graph, arrays_of(graph))[0])


def test_a_padding_stays_where_it_depends_on_an_unknown_side():
    builder = Builder()
    x = builder.input("images", (None, None, None, 4))
    x = builder.add_node(SamePadding((3, 3), (2, 2)), x, name="pad", layer="pad")
    x = builder.add_node(Conv(4, (3, 3), (2, 2)), x, name="conv", layer="conv")
    graph = builder.graph("any", {"y": x})
    assert kinds(fold_padding(graph, arrays_of(graph))[0]) == ["SamePadding", "Conv"]


def test_a_padding_that_is_a_feature_map_stays():
    graph = chain(ZeroPadding(ONE), Conv(4, (3, 3)), maps=(0,))
    assert kinds(fold_padding(graph, arrays_of(graph))[0]) == ["ZeroPadding", "Conv"]


def test_what_only_training_needs_is_dropped():
    """From the outputs and maps, too: they show the values before."""
    graph = chain(ReLU(), Dropout(0.5), Activation("linear"), maps=(1,))
    other, _ = drop_training_only(graph, {})
    assert kinds(other) == ["ReLU"]
    assert (other.outputs, other.maps) == ({"y": "n0"}, {"C1": "n0"})


def test_a_linear_activation_stays_where_it_alone_makes_the_output_precise():
    builder = Builder()
    x = builder.add_node(Dense(3), builder.input("x", (None, 4)), name="dense", layer="dense")
    y = builder.add_node(Activation("linear"), x, name="y", layer="y", precise=True)
    graph = builder.graph("half", {"y": y})
    assert kinds(drop_training_only(graph, arrays_of(graph))[0]) == ["Dense", "Activation"]


@pytest.mark.parametrize("family", ["mobilenet", "nasnet", "resnet"])
def test_another_head_has_so_many_classes_and_no_arrays(family):
    variant = next(iter(FAMILIES[family].variants))
    facts = {"input_shape": (64, 64, 3), "classifier_activation": "softmax"}
    graph = architectures.build(family, variant, classes=10, **facts)
    arrays = {path: np.zeros(shape, np.float32) for path, shape in graph.weight_shapes.items()}
    other, others = replace_head(graph, arrays, 7)
    assert other == architectures.build(family, variant, classes=7, **facts)
    assert arrays.keys() - others.keys() == {"logits/kernel", "logits/bias"}
    assert all(others[path] is arrays[path] for path in others)


def test_a_reshape_after_the_head_changes_with_it():
    """As in Keras' MobileNet."""
    graph = chain(GlobalPool(keep_sides=True), Conv(10, (1, 1)), Reshape((10,)), Activation("softmax"))
    other, arrays = replace_head(graph, arrays_of(graph), 7, name="n1")
    assert other.output_shapes == {"y": (None, 7)}
    assert arrays == {}


def test_a_head_that_there_is_not_is_named():
    graph = chain(Conv(4, (3, 3)), ReLU())
    for name in ("logits", "n1"):
        with pytest.raises(ValueError, match=f"Expected a dense layer or a convolution '{name}' in chain"):
            replace_head(graph, arrays_of(graph), 7, name=name)
    with pytest.raises(ValueError, match="at least one class, got 0"):
        replace_head(graph, arrays_of(graph), 0, name="n0")
