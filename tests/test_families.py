"""A family of networks is its file and one line of a list: whatever others need to know follows."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import modelzoo
from modelzoo import architectures, registry
from modelzoo.architectures import FAMILIES, Family, Proof, synthetic
from modelzoo.architectures.layers import Layers
from modelzoo.backends import keras as backend
from modelzoo.backends import keras_values
from modelzoo.registry import Architecture
from modelzoo.verification import checks, comparison
from tests.conftest import ROOT
from tests.networks import graph_of

FOLDER = ROOT / "modelzoo" / "architectures"
LAYER_NAMES = ROOT / "tests" / "goldens" / "layer_names"
GRAPHS = list(
    {(e.graph.family, e.graph.variant): e.graph for e in map(modelzoo.info, modelzoo.list_models())}.values()
)
WORDS = [name for name in vars(Layers) if not name.startswith("_")]


def test_the_list_has_every_file_that_states_a_family():
    stating = {path.stem for path in FOLDER.glob("*.py") if re.search("^FAMILY = ", path.read_text(), re.M)}
    assert stating == set(FAMILIES)


def test_every_network_of_the_registry_is_a_variant_of_a_family():
    assert all(graph.variant in architectures.variants(graph.family) for graph in GRAPHS)
    assert {graph.family for graph in GRAPHS} == set(FAMILIES)


def test_unknown_names_are_answered_with_those_that_there_are():
    with pytest.raises(ValueError, match="Unknown family 'alexnet'; there are efficientnet_lite, "):
        architectures.variants("alexnet")
    with pytest.raises(ValueError, match="Family 'vgg' has no variant '11', only 16, 19"):
        architectures.build("vgg", "11", input_shape=(224, 224, 3))


def test_knowing_the_families_needs_no_keras():
    code = (
        "import sys, modelzoo; from modelzoo import architectures; "
        "from modelzoo.architectures import synthetic; "
        "graphs = [modelzoo.info(key).graph for key in modelzoo.list_models()]; "
        "[(architectures.top_layers(graph), synthetic.values_of(graph)) for graph in graphs]; "
        "print({'keras', 'tensorflow', 'h5py'} & sys.modules.keys())"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout == "set()\n"


# Proofs


@pytest.mark.parametrize("name", FAMILIES)
def test_every_pattern_of_a_familys_proof_matches_layers_of_it(name):
    layers = [layer for path in LAYER_NAMES.glob(f"{name}.*.txt") for layer in path.read_text().split()]
    proof = FAMILIES[name].proof
    for pattern in proof.gammas:
        assert any(re.fullmatch(pattern, layer) for layer in layers), pattern
    if proof.depthwise != Proof().depthwise:
        for part in proof.depthwise.split("|"):
            assert any(part in layer for layer in layers), part


@pytest.mark.parametrize("name", FAMILIES)
def test_other_proofs_are_those_of_variants_that_there_are(name):
    assert FAMILIES[name].other_proofs.keys() <= FAMILIES[name].variants.keys()


def test_a_gamma_has_the_range_that_its_family_states():
    small = registry.info("mobilenet_v1_0.25_128.slim").graph
    path, shape = "block1_depthwise_bn/gamma", (1000,)
    assert synthetic.values_of(small)(path, shape).max() > 1.9
    assert synthetic.array(path, shape).max() <= 0.8
    assert synthetic.values_of(registry.info("resnet9_cifar10").graph)(path, shape).max() <= 0.8


def test_a_weight_without_a_rule_is_refused():
    with pytest.raises(ValueError, match="no synthetic rule for a weight called 'seed'"):
        synthetic.array("dropout/seed", (2,))


# The vocabulary


CALLS = [
    ("conv", (8, 3), {}),
    ("conv", (8, (1, 7)), {"stride": 2}),
    ("conv", (8, 3), {"stride": 2, "padding": "same", "bias": True}),
    ("conv", (8, 5), {"stride": 2, "padding": "valid"}),
    ("depthwise_conv", (3,), {"stride": 2, "multiplier": 2}),
    ("norm", (), {"epsilon": 1e-3, "momentum": 0.9}),
    ("layer_norm", (), {"epsilon": 1e-3}),
    ("dense", (5,), {}),
    ("relu", (), {"limit": 6.0}),
    ("leaky_relu", (0.1,), {}),
    ("activation", ("relu",), {}),
    ("activation", ("softmax",), {"output": True}),
    ("scale", (0.5,), {}),
    ("reshape", ((2, 16, 18, 2),), {}),
    ("permute", ((3, 1, 2),), {}),
    ("max_pool", (3,), {"stride": 2}),
    ("max_pool", (2,), {"stride": 2, "padding": "valid"}),
    ("average_pool", (2,), {}),
    ("average_pool", (3,), {"stride": 2, "padding": "valid"}),
    ("shift", (), {}),
    ("global_pool", ("max",), {}),
]


@pytest.mark.parametrize(("word", "arguments", "options"), CALLS)
def test_every_word_has_the_shape_and_the_weights_that_keras_gives_its_layer(word, arguments, options):
    graph = graph_of(
        lambda nn, images: getattr(nn, word)(images, *arguments, name="x_depthwise", **options), (16, 18, 4)
    )
    model = backend.model(graph)
    assert model.output_shape == graph.shape("x_depthwise")
    assert list(keras_values.shapes(model).items()) == list(graph.weight_shapes.items())


@pytest.mark.parametrize("word", ["add", "concat"])
def test_words_for_branches_have_the_shape_that_keras_gives_them(word):
    graph = graph_of(lambda nn, images: getattr(nn, word)([images, images], name="x"), (16, 18, 4))
    assert backend.model(graph).output_shape == graph.shape("x")


def test_every_word_is_compared_with_keras():
    assert {word for word, _, _ in CALLS} | {"add", "concat"} == set(WORDS)


def one_of_each_top() -> list[Architecture]:
    """For each family, the smallest networks with tops of different layers."""
    entries = sorted(map(modelzoo.info, modelzoo.list_models()), key=lambda entry: -entry.parameters)
    return list({(e.graph.family, architectures.top_layers(e.graph)): e.graph for e in entries}.values())


@pytest.mark.parametrize("graph", one_of_each_top(), ids=lambda graph: f"{graph.family}-{graph.variant}")
def test_the_head_is_what_depends_on_the_number_of_classes(graph):
    """Its weights have other shapes with other classes, and no others have."""
    few, more = (
        architectures.build(
            graph.family, graph.variant, input_shape=(224, 224, 3), classes=classes
        ).weight_shapes
        for classes in (4, 9)
    )
    _, head = architectures.top_weights(graph, few)
    assert head == tuple(path for path in few if few[path] != more[path])


# A family of one's own


@pytest.fixture
def toy(monkeypatch) -> registry.Entry:
    """An entry of a family of three layers that is nowhere but in the list."""

    def backbone(nn, images, variant):
        x = nn.conv(images, 4, 3, stride=2, name="stem_conv")
        return {"C1": nn.norm(x, name="stem_bn", epsilon=1e-3, momentum=0.9)}

    monkeypatch.setitem(
        FAMILIES, "toy", Family({"small": None}, backbone, proof=Proof(gammas={"stem_bn": (5, 6)}))
    )
    entry = registry.info("resnet9_cifar10")
    return replace(
        entry, key="toy.test", graph=replace(entry.graph, family="toy", variant="small", classes=3)
    )


def test_a_new_family_needs_nothing_beyond_its_file_and_the_list(toy):
    assert architectures.top_layers(toy.graph).layers == ("logits",)
    outputs = comparison.outputs(toy)
    assert outputs["noise_32x32/logits"].shape == (1, 3)
    assert outputs["noise_97x131/C1"].shape == (1, 49, 66, 4)
    assert synthetic.values_of(toy.graph)("stem_bn/gamma", (4,)).min() >= 5
    assert np.isfinite(outputs["noise_97x131/logits"]).all()
    assert checks._against_the_original(toy).passed is None
