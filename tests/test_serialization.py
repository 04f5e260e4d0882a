"""Graphs as JSON: an equal graph comes back, and everything that was not written so is refused."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelzoo import architectures
from modelzoo.architectures import FAMILIES
from modelzoo.graph import Builder, Graph
from modelzoo.graph.convolutions import Conv, Dense, TransposedConv
from modelzoo.graph.elementwise import Activation, Add, Dropout, PReLU
from modelzoo.graph.normalization import BatchNorm, ChannelScale, Normalization, Rescale
from modelzoo.graph.operator import Initializer
from modelzoo.graph.pooling import GlobalPool, MaxPool
from modelzoo.graph.serialization import from_json, to_json
from modelzoo.graph.shaping import Concat, ZeroPadding


def small() -> Graph:
    """Every kind of attribute, and of a node's facts."""
    builder = Builder()
    x = builder.input("images", (None, None, 8, 3))
    other = builder.input("more", (None, 4))
    x = builder.add_node(Normalization((0.1, 0.2, 0.3), (1.0, 2.0, 1e-3)), x, name="norm", layer="norm")
    x = builder.add_node(Rescale(1 / 127.5, (-1.0, 0.5, 3.0)), x, name="rescaled", layer="rescaled")
    x = builder.add_node(ZeroPadding(((0, 1), (2, 3))), x, name="pad", layer="pad")
    initializer = Initializer("truncated_normal", 2.0, "fan_out")
    conv = Conv(4, (3, 2), (2, 1), ((1, 0), (0, 1)), groups=1, bias=False, initializer=initializer)
    x = builder.add_node(conv, x, name="conv", layer="conv", container="stem")
    x = builder.add_node(BatchNorm(1e-5, 0.9, scale=False), x, name="bn", layer="bn", container="stem")
    x = builder.add_node(TransposedConv(4, (2, 2), padding="same"), x, name="up", layer="up")
    x = builder.add_node(PReLU((1, 2), Initializer("constant", 0.25)), x, name="prelu", layer="prelu")
    x = builder.add_node(Dropout(0.5, (None, 1, 1, 4)), x, name="drop", layer="drop")
    c1 = x = builder.add_node(MaxPool((2, 2), (1, 1), "same"), x, name="pool", layer="pool")
    x = builder.add_node(Concat(2), x, c1, name="rows", layer="rows")
    x = builder.add_node(ChannelScale(), x, name="scale", layer="scale")
    x = builder.add_node(GlobalPool("max"), x, name="global", layer="global")
    x = builder.add_node(Add(), x, other, name="sum")
    for name in ("first", "second"):
        x = builder.add_node(Dense(4), x, name=name, layer="shared")
    x = builder.add_node(Activation("softmax"), x, name="probabilities", layer="p", precise=True)
    return builder.graph("small", {"answer": x, "map": c1}, {"C1": c1})


def test_a_graph_comes_back_equal():
    graph = small()
    found = from_json(json.loads(json.dumps(to_json(graph))))
    assert found == graph
    assert list(found.weights) == list(graph.weights)
    assert list(found.inputs) == list(graph.inputs)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_familys_graphs_come_back_equal(family):
    for variant in list(FAMILIES[family].variants)[:: 8 if family == "keras_applications" else 1]:
        graph = architectures.build(family, variant, input_shape=(224, 224, 3), classes=10)
        assert from_json(json.loads(json.dumps(to_json(graph)))) == graph


def test_what_is_the_default_is_left_out():
    builder = Builder()
    x = builder.input("images", (None, None, None, 3))
    x = builder.add_node(Conv(8, (3, 3)), x, name="conv", layer="conv")
    x = builder.add_node(Activation("relu"), x, name="relu")
    assert to_json(builder.graph("g", {"relu": x}))["nodes"] == [
        {"name": "conv", "operator": "Conv", "inputs": ["images"], "filters": 8, "kernel": [3, 3]},
        {"name": "relu", "operator": "Activation", "inputs": ["conv"], "layer": None, "function": "relu"},
    ]


def changed(*path: Any, value: Any) -> Any:
    """The small graph's JSON with one other value; of `nodes` the name may stand for the place."""
    found = copy.deepcopy(to_json(small()))
    target: Any = found
    for key in path[:-1]:
        if isinstance(target, list) and isinstance(key, str):
            key = next(place for place, node in enumerate(target) if node["name"] == key)
        target = target[key]
    if value is None:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return found


CONV = ("nodes", "conv")
REFUSED = {
    "a list": ([], "Expected a graph as an object, got list of 0."),
    "version": (changed("version", value=2), "Expected a graph of version 1, got 2."),
    "no version": (changed("version", value=None), "'version' differs"),
    "more": (changed("code", value="x"), "'code' differs"),
    "operator": (changed(*CONV, "operator", value="Exec"), "Expected an operator among Conv, "),
    "operator's kind": (changed(*CONV, "operator", value=["Conv"]), "Expected an operator among Conv, "),
    "attribute": (
        changed(*CONV, "__class__", value=1),
        "Expected attributes of Conv in the node 'conv', got",
    ),
    "missing": (changed(*CONV, "filters", value=None), "Expected the attribute 'filters' of Conv"),
    "string": (
        changed(*CONV, "filters", value="4"),
        "filters of the node 'conv' to be as an operator has it",
    ),
    "truth": (changed(*CONV, "filters", value=True), "filters of the node 'conv'"),
    "fraction": (changed(*CONV, "filters", value=4.5), "filters of the node 'conv'"),
    "zero": (changed(*CONV, "stride", value=[0, 1]), "stride of the node 'conv' to be 1 or more, got (0, 1)"),
    "huge": (changed(*CONV, "filters", value=10**30), "filters of the node 'conv'"),
    "not finite": (changed("nodes", "norm", "mean", value=[float("nan")] * 3), "mean of the node 'norm'"),
    "length": (changed(*CONV, "kernel", value=[3, 2, 1]), "kernel of the node 'conv'"),
    "literal": (changed(*CONV, "padding", value="full"), "padding of the node 'conv'"),
    "negative": (changed(*CONV, "padding", value=[[-1, 0], [0, 0]]), "padding of the node 'conv' to be 0 or"),
    "initializer": (
        changed(*CONV, "initializer", value={"distribution": "cauchy"}),
        "distribution of initializer of the node 'conv'",
    ),
    "initializer's more": (
        changed(*CONV, "initializer", value={"seed": 1}),
        "Expected attributes of Initializer",
    ),
    "function": (changed("nodes", "probabilities", "function", value="eval"), "function of the node"),
    "input": (
        changed(*CONV, "inputs", value=["later"]),
        "Expected inputs of the node 'conv' that come before",
    ),
    "later input": (changed(*CONV, "inputs", value=["bn"]), "Expected inputs of the node 'conv' that come"),
    "inputs' kind": (
        changed(*CONV, "inputs", value="pad"),
        "Expected the inputs of the node 'conv' as a list",
    ),
    "inputs' items": (
        changed(*CONV, "inputs", value=[["pad"]]),
        "Expected inputs of the node 'conv' that come",
    ),
    "arity": (changed(*CONV, "inputs", value=["pad", "pad"]), "Conv 'conv': Expected 1 input, got 2."),
    "shapes": (changed("nodes", "sum", "inputs", value=["global", "images"]), "Expected maps of one rank"),
    "name": (changed(*CONV, "name", value="pad"), "Expected a new name for a node, got 'pad'"),
    "name's kind": (changed("name", value=7), "Expected a name of a graph, got 7."),
    "long name": (changed("name", value="x" * 5000), "Expected a name of a graph, got 'xxx"),
    "layer": (changed(*CONV, "layer", value=3), "Expected a name of a layer, got 3."),
    "precise": (changed(*CONV, "precise", value="yes"), "Expected precise to be true or false"),
    "side": (changed("inputs", "images", value=[-1, 2, 3]), "sides of the input 'images' to be positive"),
    "no sides": (changed("inputs", "images", value=[]), "sides of the input 'images' to be positive"),
    "output": (
        changed("outputs", "answer", value="nothing"),
        "Expected nodes among the outputs, got 'nothing'",
    ),
    "map": (changed("maps", "C1", value="nothing"), "Expected nodes among the maps, got 'nothing'"),
    "unused": (changed("outputs", value={"map": "pool"}), "Expected only nodes that the outputs"),
    "nodes": (changed("nodes", value={}), "Expected the nodes as a list"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_graph_is_refused_in_one_sentence(name):
    value, message = REFUSED[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is compared below)
        from_json(value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_other_value_anywhere_is_read_or_refused_and_nothing_else(data):
    """Nothing but ValueError: no attribute may reach arithmetic that it breaks."""
    whole = to_json(small())
    target: Any = whole
    while isinstance(target, (dict, list)) and target:
        keys = sorted(target) if isinstance(target, dict) else range(len(target))
        key = data.draw(st.sampled_from(list(keys)))
        inner = target[key]
        if not isinstance(inner, (dict, list)) or data.draw(st.integers(0, 3)) == 0:
            target[key] = data.draw(JSON)
            break
        target = inner
    try:
        graph = from_json(whole)
    except ValueError:
        return
    assert from_json(to_json(graph)) == graph
