"""Checkpoints with moving averages: which copy is taken, who chooses, and where it is said."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib import import_module

import numpy as np
import pytest

import modelzoo
from modelzoo import conversion, registry, weights
from modelzoo.cli import main
from modelzoo.conversion import CONVERTERS, averages
from modelzoo.conversion.averages import SUFFIX
from modelzoo.errors import ConversionError
from modelzoo.formats import write_tensorflow_checkpoint

SOURCES = {  # an entry of each converter of checkpoints
    source.converter: entry
    for entry in map(registry.info, modelzoo.list_models(sort="parameters")[::-1])
    for source in entry.sources
    if CONVERTERS[source.converter].takes_averages is not None and source.format == "tensorflow"
}
MOBILENET = SOURCES["slim.mobilenet"]
COPIES = {True: "moving average", False: "raw"}
AVERAGED = 1000.0  # what the averages are larger by
# Beside the network: the step, an optimizer's slots, and where there is an auxiliary head, its averages.
BESIDE = {
    "slim.inception": ["InceptionV1/AuxLogits/Conv2d_2a_5x5/weights"],
    "slim.nasnet": ["aux_7/aux_logits/FC/biases"],
}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The networks keep their names, but no side of a weight is longer than 2."""
    module = import_module("modelzoo.conversion.convert")
    monkeypatch.setattr(module, "weight_shapes", small_shapes)


def small_shapes(entry) -> dict[str, tuple[int, ...]]:
    return {
        path: tuple(min(side, 2) for side in shape) for path, shape in conversion.weight_shapes(entry).items()
    }


def values(entry) -> dict[str, np.ndarray]:
    """Another value at every place of every weight, by our path."""
    found, start = {}, 1
    for path, shape in small_shapes(entry).items():
        found[path] = np.arange(start, start + math.prod(shape), dtype=np.float32).reshape(shape) / 1024
        start += math.prod(shape)
    return found


def upstream(entry, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return conversion.converter_of(entry.sources[0]).upstream_arrays(entry.graph.variant, arrays)


def raw_and_averaged(entry) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    raw = upstream(entry, values(entry))
    return raw, {name + SUFFIX: array + np.float32(AVERAGED) for name, array in raw.items()}


def beside(entry) -> dict[str, np.ndarray]:
    raw, _ = raw_and_averaged(entry)
    first = next(iter(raw))
    names = BESIDE.get(entry.sources[0].converter, [])
    others = [f"{first}/Momentum", *names, *(name + SUFFIX for name in names)]
    return {"global_step": np.array(7), **{name: np.zeros(3, np.float32) for name in others}}


def save(folder, *parts: Mapping[str, np.ndarray]):
    write_tensorflow_checkpoint(
        folder / "model.ckpt", {name: a for part in parts for name, a in part.items()}
    )
    return folder / "model.ckpt"


def copies(entry, path) -> set[str]:
    """Which copies the file's weights are: each is one as a whole."""
    raw, found = values(entry), dict(weights.read(path))
    assert list(found) == list(raw)
    copies = set()
    for name, array in found.items():
        averaged = bool(array.ravel()[0] >= AVERAGED)
        assert np.array_equal(array, raw[name] + np.float32(AVERAGED * averaged))
        copies.add(COPIES[averaged])
    return copies


@pytest.mark.parametrize("average", [None, True, False])
@pytest.mark.parametrize("name", SOURCES)
def test_of_a_checkpoint_with_both_copies_the_authors_or_the_users_is_taken(name, average, tmp_path, caplog):
    entry, default = SOURCES[name], CONVERTERS[name].takes_averages
    checkpoint = save(tmp_path, *raw_and_averaged(entry), beside(entry))
    provenance = conversion.convert(entry, checkpoint, tmp_path / "out.h5", average=average)
    expected = COPIES[default if average is None else average]
    assert copies(entry, tmp_path / "out.h5") == {expected}
    assert provenance["weights"] == weights.provenance(tmp_path / "out.h5")["weights"] == expected
    taken = {"raw": "the raw weights", "moving average": "the moving averages"}[expected]
    assert caplog.messages == [
        f"{entry.key}: the checkpoint holds raw weights and their moving averages; converted: {taken}. "
        "modelzoo convert --average or --raw chooses."
    ]


def test_the_defaults_are_those_by_which_the_published_accuracy_was_measured():
    assert {name for name in SOURCES if CONVERTERS[name].takes_averages} == {
        "efficientnet_lite",
        "slim.mobilenet",
    }
    of_checkpoints = {name for name in CONVERTERS if name.startswith(("slim.", "tencent"))}
    assert of_checkpoints | {"efficientnet_lite"} == SOURCES.keys()


@pytest.mark.parametrize("averaged", [True, False])
@pytest.mark.parametrize("name", SOURCES)
def test_a_checkpoint_with_one_copy_gives_that_one_and_says_which(name, averaged, tmp_path, caplog):
    entry = SOURCES[name]
    checkpoint = save(tmp_path, raw_and_averaged(entry)[averaged], beside(entry))
    provenance = conversion.convert(entry, checkpoint, tmp_path / "out.h5")
    assert copies(entry, tmp_path / "out.h5") == {COPIES[averaged]}
    assert provenance["weights"] == COPIES[averaged]
    assert caplog.messages == []
    asked = conversion.convert(entry, checkpoint, tmp_path / "asked.h5", average=averaged)
    assert asked == provenance
    with pytest.raises(ConversionError, match=r"Expected (moving averages|raw weights), found .* only"):
        conversion.convert(entry, checkpoint, tmp_path / "other.h5", average=not averaged)
    assert not (tmp_path / "other.h5").exists()


@pytest.mark.parametrize("name", SOURCES)
def test_statistics_without_averages_are_taken_raw(name, tmp_path):
    entry = SOURCES[name]
    raw, averaged = raw_and_averaged(entry)
    trained = {name: array for name, array in averaged.items() if "moving_" not in name}
    statistics = any("moving_" in name for name in raw)
    provenance = conversion.convert(entry, save(tmp_path, raw, trained), tmp_path / "out.h5", average=True)
    assert copies(entry, tmp_path / "out.h5") == {"moving average"} | ({"raw"} if statistics else set())
    assert provenance["weights"] == "moving average"


@pytest.mark.parametrize("name", SOURCES)
def test_the_average_of_a_variable_that_the_network_does_not_have_is_refused(name, tmp_path):
    entry = SOURCES[name]
    scope = next(iter(raw_and_averaged(entry)[0])).partition("/")[0]
    stranger = {f"{scope}/stranger/weights{SUFFIX}": np.zeros(1, np.float32)}
    checkpoint = save(tmp_path, *raw_and_averaged(entry), stranger)
    with pytest.raises(ConversionError, match=f"unexpected: {scope}/stranger/weights{SUFFIX}"):
        conversion.convert(entry, checkpoint, tmp_path / "out.h5")


def test_other_sources_have_no_averages_to_ask_for(tmp_path):
    entry = registry.info("resnet18_v1b.gluon")
    converter = conversion.converter_of(entry.sources[0])
    shapes = small_shapes(entry)
    with pytest.raises(ConversionError, match="There are no moving averages in files of gluoncv"):
        converter.pair(entry.graph.variant, shapes, {}, average=True)


def test_the_command_chooses_the_copy_and_says_so(tmp_path, capsys):
    checkpoint = save(tmp_path, *raw_and_averaged(MOBILENET))
    out = tmp_path / "out.h5"
    for option, copy in ([], "moving average"), (["--raw"], "raw"), (["--average"], "moving average"):
        command = ["convert", MOBILENET.key, str(checkpoint), "-o", str(out), "--json", *option]
        assert main(command) == 0
        printed = capsys.readouterr()
        assert json.loads(printed.out)["weights"] == copy
        assert copies(MOBILENET, out) == {copy}
        assert f"modelzoo: {MOBILENET.key}: the checkpoint holds raw weights and their moving" in printed.err
    assert main(["convert", MOBILENET.key, str(checkpoint), "-o", str(out), "--raw", "--average"]) == 2


def test_a_file_is_added_with_the_copy_that_is_asked_for(tmp_path, capsys):
    checkpoint = save(tmp_path, *raw_and_averaged(MOBILENET))
    assert main(["add", MOBILENET.key, str(checkpoint), "--raw"]) == 0
    place = capsys.readouterr().out.strip()
    assert copies(MOBILENET, place) == {"raw"}
    with pytest.raises(ConversionError, match="is a modelzoo weight file, which holds one copy"):
        modelzoo.add(MOBILENET.key, place, average=True)


def test_the_names_of_a_checkpoint_without_the_network_are_missing_raw():
    names = averages.names_of(str.upper, ["a/kernel"], ["b"], average=None, default=True)
    assert names == {"a/kernel": "A/KERNEL"}
