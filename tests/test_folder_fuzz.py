"""A stranger's model.json: whatever it says is read, or refused in one sentence, and takes no memory."""

from __future__ import annotations

import copy
import json
import random
import tracemalloc
from typing import Any

import pytest

from modelzoo import architectures, labels
from modelzoo.errors import LabelsError, RegistryError
from modelzoo.registry.folders import parse
from modelzoo.store import probes, saving
from tests.folders import BASE, NAMES, small_model

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 10**18, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", "x", "../x", "/etc/passwd", "\x00", "é" * 2000, "__class__", "softmax", "images"),
    *([], {}, [[]], [None], {"a": 1}, [0] * 5, ["x"] * 4, [[1, 1], [1, 1]]),
)
MUTATIONS = 1500
MOST_BYTES = 2**26  # of memory, for one


@pytest.fixture(scope="module")
def document(tmp_path_factory) -> dict[str, Any]:
    entry = saving.save(small_model(), tmp_path_factory.mktemp("a") / "clothes", base=BASE, labels=NAMES)
    return json.loads((entry.weights_path.parent / "model.json").read_text("utf-8"))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to all values."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in items for place in places(inner, (*path, key)))]


def mutated(document: dict[str, Any], dice: random.Random) -> Any:
    """A copy with another value in one to three places, or with one left out."""
    found = copy.deepcopy(document)
    for _ in range(dice.randint(1, 3)):
        *way, last = dice.choice(places(found)[1:])
        holder = found
        for key in way:
            holder = holder[key]
        if dice.random() < 0.2:
            del holder[last]
        else:
            holder[last] = copy.deepcopy(dice.choice(ODD))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_no_mutation_is_anything_but_read_or_refused(document, seed):
    dice, refused = random.Random(seed), 0
    tracemalloc.start()
    try:
        for _ in range(MUTATIONS // 4):
            value = mutated(document, dice)
            tracemalloc.reset_peak()
            try:
                entry = parse(json.dumps(value), "/anywhere")
                labels.of(entry)
                architectures.network(entry.graph, classes=entry.graph.classes)
                architectures.top_layers(entry.graph)
                probes.inputs(entry.preprocessing)
            except (RegistryError, LabelsError) as error:
                refused += str(error).isprintable()
            assert tracemalloc.get_traced_memory()[1] < MOST_BYTES, value
    finally:
        tracemalloc.stop()
    assert refused > MUTATIONS // 8
