"""Feature maps and heads that are found by a graph's structure, as those of own models are."""

from __future__ import annotations

import pytest

from modelzoo import architectures, registry
from modelzoo.architectures import canonical, stored
from modelzoo.graph.maps import feature_maps, head_of
from tests.networks import graph_of

ENTRIES = [registry.info(key) for key in registry.list_models()]
NETWORKS = {
    (entry.graph.family, entry.graph.variant): entry.graph
    for entry in ENTRIES
    if entry.task == "classification"
}


@pytest.mark.parametrize("facts", NETWORKS.values(), ids=lambda facts: f"{facts.family} {facts.variant}")
def test_the_structure_tells_the_last_feature_map_and_the_head(facts):
    graph = architectures.network(facts, classes=facts.classes, classifier_activation=facts.activation)
    found, last = feature_maps(graph), max(graph.maps)
    assert found[max(found)] == graph.maps[last]
    assert head_of(graph).owner in architectures.top_layers(facts).head


def test_maps_of_a_known_network_are_kept_in_what_was_made_from_it():
    facts = registry.info("mobilenet_v2_0.35_128.keras").graph
    whole = architectures.network(facts, classes=7, classifier_activation="softmax")
    graph = canonical.graph_of(whole, maps=canonical.maps_of(facts), side=None)
    assert graph.maps == whole.maps
    assert stored.activation_of(graph) == "softmax"


def test_a_branch_goes_round_what_is_no_map():
    def write(nn, x):
        x = nn.conv(x, 4, 3, stride=2, name="stem")
        y = nn.conv(x, 4, 1, name="inside")
        x = nn.add([x, y], name="sum")
        y = nn.conv(x, 4, 1, name="narrow")
        y = nn.conv(y, 8, 3, stride=2, name="down")
        z = nn.conv(x, 8, 1, stride=2, name="shortcut")
        x = nn.add([y, z], name="sum2")
        return nn.dense(nn.global_pool(x, "avg", name="pool"), 3, name="logits")

    assert feature_maps(graph_of(write, (32, 32, 3))) == {"C1": "sum", "C2": "sum2"}
