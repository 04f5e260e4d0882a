"""diff names the first node in which two networks differ, and which of the known mistakes explains it."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest

import modelzoo
from modelzoo import exporters
from modelzoo.exporters import FORMATS, Metadata
from modelzoo.exporters.diff import CAUSES, FileSide, GraphSide, causes, comparison, matching, sides
from modelzoo.exporters.options import Options
from modelzoo.graph import Builder
from modelzoo.graph.convolutions import Conv
from modelzoo.graph.elementwise import Activation
from modelzoo.graph.normalization import BatchNorm
from modelzoo.graph.passes import fold_padding
from tests.conftest import CAT
from tests.operators import arrays_of
from tests.planted import FAULTS, REAL, SMALL, Network, images_of, kernel, network_of, small, with_operators

FILES = {  # every format whose tensors can be read
    f.name: pytest.param(
        f.name,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(f.package) is None, reason=f"{f.package} is not installed"
        ),
    )
    for f in FORMATS.values()
    if f.runtime in sides.READERS
}


IN_FILES = [pytest.param(SMALL, *param.values, marks=param.marks) for param in FILES.values()] + [
    pytest.param(REAL[1], *param.values, marks=param.marks)
    for name, param in FILES.items()
    if FORMATS[name].package != "tensorflow"  # which takes half a minute
]


def exported(network: Network, format: str, folder: Path) -> Path:
    """A file of a network, whatever its values are."""
    graph, arrays = network
    path = folder / f"network{FORMATS[format].suffix}"
    texts = Metadata(graph.name, modelzoo="0").texts()
    FORMATS[format].writer().write(path, graph, arrays, texts, Options())
    return path


def compared(ours: Network, theirs: Network | Path) -> comparison.Difference:
    side = GraphSide("ours", *ours)
    if isinstance(theirs, Path):
        other = FileSide("theirs", theirs, exporters.format_of(theirs))
    else:
        other = GraphSide("theirs", *theirs)
    return comparison.compare(side, other, images_of(ours[0]))


def test_every_cause_has_a_fault():
    assert set(FAULTS) == set(CAUSES)


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("name", [SMALL, *REAL])
def test_a_planted_fault_is_found_and_named(name, cause):
    ours = network_of(name)
    theirs, node = FAULTS[cause](*ours)
    found = compared(ours, theirs)
    assert not found.equal
    assert found.first is not None
    assert (found.first.node, found.first.cause) == (node, cause)
    assert found.first.before < 1e-12
    assert found.first.after > 1e-5
    assert found.first.remaining < 1e-12
    assert [output.name for output in found.outputs] == list(ours[0].outputs)


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize(("name", "format"), IN_FILES)
def test_a_planted_fault_is_found_in_a_file(name, format, cause, tmp_path):
    """What pads before a kernel and the kernel are one there."""
    ours = network_of(name)
    theirs, node = FAULTS[cause](*ours)
    found = compared(ours, exported(theirs, format, tmp_path))
    assert found.first is not None
    assert found.first.cause == cause
    assert found.nodes >= (7 if name == SMALL else 28)  # not the output alone
    assert found.first.before < 1e-5
    assert found.first.remaining < 1e-5
    assert found.first.node in (node, *ours[0].node[node].inputs)


@pytest.mark.parametrize("format", FILES.values())
@pytest.mark.parametrize("name", [SMALL, *REAL])
def test_an_untouched_file_is_equal(name, format, tmp_path):
    ours = network_of(name)
    found = compared(ours, exported(ours, format, tmp_path))
    assert found.equal
    assert found.first is None
    assert found.nodes > 0.3 * found.all_nodes
    assert all(output.relative_l2 < 1e-5 for output in found.outputs)
    assert all(output.label == output.other_label for output in found.outputs)


def keras_model(network: Network):
    from modelzoo.exporters.keras import model_of

    return model_of(*network, as_dict=False)


@pytest.mark.parametrize("cause", CAUSES)
def test_a_planted_fault_is_found_in_a_live_keras_model(cause):
    ours = network_of(SMALL)
    theirs, node = FAULTS[cause](*ours)
    found = modelzoo.diff(keras_model(ours), keras_model(theirs), CAT)
    assert (found.first.node, found.first.cause) == (node, cause)


def renamed(network: Network) -> Network:
    """The same network, all of whose nodes and layers have other names, as another program calls them."""
    graph, arrays = network
    nn = Builder()
    values = {name: nn.input(name, shape) for name, shape in graph.inputs.items()}
    names = {}
    for number, node in enumerate(graph.nodes):
        inputs = [values[name] for name in node.inputs]
        layer = f"layer_{number}"
        values[node.name] = nn.add_node(node.operator, *inputs, name=layer, layer=layer)
        names |= {path: f"{layer}/{weight}" for weight, path in node.paths.items()}
    output = {"predictions": values[graph.output]}
    return nn.graph("renamed", output), {names[path]: array for path, array in arrays.items()}


@pytest.mark.parametrize("name", [SMALL, *REAL])
def test_networks_with_other_names_are_compared_in_their_order(name):
    ours = network_of(name)
    found = compared(ours, renamed(ours))
    assert found.equal
    assert found.nodes == found.all_nodes
    theirs, node = kernel(*ours)
    found = compared(ours, renamed(theirs))
    assert (found.first.node, found.first.cause) == (node, causes.KERNEL)


def test_padding_that_is_a_layer_on_one_side_only_is_no_difference():
    graph, arrays = small()
    folded, _ = fold_padding(graph, {})
    assert len(folded.nodes) < len(graph.nodes)
    for ours, theirs in ((graph, folded), (folded, graph)):
        assert compared((ours, arrays), (theirs, arrays)).equal


def test_what_no_cause_explains_is_said_to_be_unexplained():
    graph, arrays = small()
    path = graph.node["stage1_block1_conv1"].paths["kernel"]
    found = compared((graph, arrays), (graph, arrays | {path: arrays[path] * np.float32(1.01)}))
    assert (found.first.node, found.first.cause) == ("stage1_block1_conv1", "")
    assert found.first.after == pytest.approx(0.01, rel=0.1)
    assert found.stated == ("stage1_block1_conv1: kernel differs by 1.0e-02",)


def test_attributes_that_change_no_value_are_stated_all_the_same():
    graph, arrays = small()
    batch_norm = dataclasses.replace(graph.node["bn1"].operator, epsilon=1.0000001e-3)
    found = compared((graph, arrays), (with_operators(graph, {"bn1": batch_norm}), arrays))
    assert found.equal
    assert found.stated == ("bn1: epsilon 0.001 and 0.0010000001",)


def test_the_error_of_inputs_is_no_difference_of_what_follows():
    """A node that makes much of its input's rounding would be blamed for it."""
    nn = Builder()
    x = nn.input("images", (None, 8, 8, 3))
    x = nn.add_node(Conv(4, (3, 3)), x, name="conv", layer="conv")
    x = nn.add_node(BatchNorm(1e-3), x, name="bn", layer="bn")
    graph = nn.graph("large", {"bn": nn.add_node(Activation("tanh"), x, name="last", layer="last")})
    arrays = arrays_of(graph)
    arrays["conv/bias"] = np.full(4, 1e4, np.float32)  # which the mean takes away
    arrays["bn/moving_mean"] = np.full(4, 1e4, np.float32)
    side = GraphSide("ours", graph, arrays)
    values = comparison._all_values(side, images_of(graph))
    exact = {name: values[name] for name in graph.node}
    rounded = exact | {"conv": exact["conv"].astype(np.float32)}
    scale = arrays["bn/gamma"] / np.sqrt(arrays["bn/moving_variance"] + np.float32(1e-3))
    rounded["bn"] = exact["bn"] + (rounded["conv"] - exact["conv"]) * scale
    rounded["last"] = np.tanh(rounded["bn"])
    assert matching.relative(rounded["bn"], exact["bn"]) > 1e-5
    assert comparison._Comparison(side, values, rounded, 1e-5).first() is None
    wrong = rounded | {"last": np.tanh(rounded["bn"] * 1.01)}
    assert comparison._Comparison(side, values, wrong, 1e-5).first().node == "last"
