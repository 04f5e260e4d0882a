"""Every network of the registry builds, under its public layer names: with and without top, as feature maps,
and at another size.
"""

from __future__ import annotations

import gc

import keras
import pytest

import modelzoo
from modelzoo import architectures, conversion
from modelzoo.backends import keras as backend
from modelzoo.backends import keras_values
from tests.conftest import ROOT
from tests.test_conversion import assert_round_trip

LOADED = (
    6_000_000  # parameters; larger networks are built once, at the other size, and share that for all forms
)
STRIDES = {f"C{n}": 2**n for n in range(1, 6)}
OTHER_SIZE = 256  # height and width of images that are not the entry's


def of_each_graph() -> list[modelzoo.registry.Entry]:
    """An entry for each network: some differ only in weights and size."""
    entries = map(modelzoo.info, modelzoo.list_models())
    return list({(entry.graph.family, entry.graph.variant): entry for entry in entries}.values())


ENTRIES = of_each_graph()
SHARING = {  # the entries with the same network, whose files may come from elsewhere
    entry.key: [
        other
        for other in map(modelzoo.info, modelzoo.list_models())
        if (other.graph.family, other.graph.variant) == (entry.graph.family, entry.graph.variant)
    ]
    for entry in ENTRIES
}


@pytest.fixture(autouse=True)
def _free_memory():
    yield
    keras.backend.clear_session()
    gc.collect()


def check(entry, model: keras.Model, backbone: keras.Model, maps: dict) -> None:
    assert model.count_params() == entry.parameters
    if entry.task == "classification":
        assert model.output_shape == (None, entry.graph.classes)
    names = ROOT / "tests" / "goldens" / "layer_names" / f"{entry.graph.family}.{entry.graph.variant}.txt"
    assert [layer.name for layer in model.layers if layer.weights] == names.read_text().split()
    everything, without_top = keras_values.shapes(model), keras_values.shapes(backbone)
    assert list(everything.items()) == list(conversion.weight_shapes(entry).items())
    assert without_top.items() <= everything.items()
    top, _ = architectures.top_weights(entry.graph, everything)
    assert top == tuple(path for path in everything if path not in without_top)
    for name in sorted({source.converter for other in SHARING[entry.key] for source in other.sources}):
        assert_round_trip(conversion.CONVERTERS[name], entry.graph.variant, everything)
    assert list(maps) == ["C2", "C3", "C4", "C5"][: len(maps)]
    for name, (_, height, width, _) in maps.items():
        # Windows that end at the edge lose some pixels there.
        assert OTHER_SIZE / STRIDES[name] - 4 <= height == width <= OTHER_SIZE / STRIDES[name] + 1, name


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.parameters <= LOADED], ids=lambda entry: entry.key)
def test_a_small_network_loads_in_every_form(entry):
    model = modelzoo.load(entry.key, weights="synthetic")
    assert model.layers[-1].name == "probabilities"
    backbone = modelzoo.load(entry.key, weights="synthetic", include_top=False, pooling="avg")
    assert len(backbone.output_shape) == 2
    shape = (OTHER_SIZE, OTHER_SIZE, 3)
    features = modelzoo.load(entry.key, weights="synthetic", features=True, input_shape=shape)
    check(entry, model, backbone, {name: x.shape for name, x in features.output.items()})


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.parameters > LOADED], ids=lambda entry: entry.key)
def test_a_large_network_builds_in_every_form(entry):
    graph = architectures.build(
        entry.graph.family,
        entry.graph.variant,
        input_shape=(OTHER_SIZE, OTHER_SIZE, 3),
        classes=entry.graph.classes,
    )
    features = graph.features()
    maps = {name: features.shape(node) for name, node in features.outputs.items()}
    check(entry, backend.model(graph), backend.model(graph.features([max(graph.maps)])), maps)


def test_no_file_is_the_source_of_two_models():
    seen: dict[str, str] = {}
    for entry in map(modelzoo.info, modelzoo.list_models()):
        for url in (url for source in entry.sources for url in source.urls):
            assert seen.setdefault(url, entry.key) == entry.key
