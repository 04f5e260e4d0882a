"""The registry: what it holds is consistent, and what is malformed is refused by name."""

from __future__ import annotations

import copy
import json
import math
import operator
import random
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest

import modelzoo
from modelzoo import labels, registry
from modelzoo.errors import RegistryError, UnknownModel

TEXT = (resources.files("modelzoo") / "registry.json").read_text("utf-8")
KEYS = modelzoo.list_models()


def broken(change) -> str:
    document = json.loads(TEXT)
    change(document["models"]["resnet50_v1d.gluon"], document)
    return json.dumps(document)


@pytest.mark.parametrize("key", KEYS)
def test_an_entry_has_as_many_classes_as_its_labels(key):
    entry = modelzoo.info(key)
    assert entry.graph.classes == len(labels.read(entry.labels))


@pytest.mark.parametrize("key", KEYS)
def test_images_come_at_the_size_of_the_input(key):
    entry = modelzoo.info(key)
    assert (entry.preprocessing.crop_size, entry.preprocessing.crop_size, 3) == entry.graph.input_shape


@pytest.mark.parametrize("key", KEYS)
def test_every_metric_says_who_measured_it_and_on_what(key):
    assert all(metric.measured_by and metric.dataset for metric in modelzoo.info(key).metrics)


@pytest.mark.parametrize("key", KEYS)
def test_percentages_are_percentages(key):
    assert all(1 < metric.value <= 100 for metric in modelzoo.info(key).metrics)


def test_a_bare_name_means_its_only_tag():
    assert modelzoo.info("resnet50_v1d").key == "resnet50_v1d.gluon"


def test_an_unknown_name_brings_the_three_nearest():
    with pytest.raises(
        UnknownModel, match=r"no model 'resnet50_v1x'; the nearest names are .*resnet50_v1"
    ) as caught:
        modelzoo.info("resnet50_v1x")
    assert str(caught.value).partition("are ")[2].partition(".")[0].count(",") == 2


def two_tags(defaults) -> registry.Registry:
    document = json.loads(TEXT)
    document["models"]["resnet50_v1d.other"] = copy.deepcopy(document["models"]["resnet50_v1d.gluon"])
    return registry.parse(json.dumps(document | {"defaults": defaults}))


def test_a_bare_name_with_two_tags_and_no_default_is_ambiguous():
    with pytest.raises(
        UnknownModel, match=r"ambiguous: choose one of resnet50_v1d\.gluon, resnet50_v1d\.other"
    ):
        two_tags({}).find("resnet50_v1d")


def test_a_bare_name_with_two_tags_means_the_default():
    assert two_tags({"resnet50_v1d": "other"}).find("resnet50_v1d").tag == "other"


@pytest.mark.parametrize("part", ["resnet", "v1d", ".gluon", "50_v1d.g", ""])
def test_a_word_without_a_wildcard_finds_all_keys_that_it_is_part_of(part):
    assert modelzoo.list_models(part) == sorted(key for key in KEYS if part in key)
    assert modelzoo.list_models(part)


@pytest.mark.parametrize("pattern", ["resnet?", "v1d*", "[r]esnet"])
def test_a_pattern_with_a_wildcard_is_of_the_whole_name_or_key(pattern):
    assert modelzoo.list_models(pattern) == []


@pytest.mark.parametrize("key", KEYS)
def test_an_entry_is_shown_as_one_short_line(key):
    shown = repr(modelzoo.info(key))
    assert shown.startswith(f"<Entry {key}: ")
    assert len(shown) <= 120
    assert "\n" not in shown


def test_list_models_filters_by_pattern_tag_labels_and_size():
    assert modelzoo.list_models("resnet50_v1?") == [f"resnet50_v1{x}.gluon" for x in "bcds"]
    assert modelzoo.list_models(tag="modelzoo") == ["resnet9_cifar10.modelzoo"]
    assert modelzoo.list_models(labels="mlimages", max_parameters=50_000_000) == ["resnet50_mlimages.tencent"]


BREAKAGES = {
    "a missing field": (lambda e, _: e.pop("labels"), "field 'labels' is missing"),
    "a typo": (lambda e, _: e.update(paperr=1), r"no field 'paperr'. Is it 'paper'\?"),
    "a typo within": (lambda e, _: e["graph"].update(varient="x"), r"graph: there is no field 'varient'"),
    "a wrong type": (lambda e, _: e.update(parameters="many"), "parameters: expected int, got 'many'"),
    "a bool for a count": (lambda e, _: e.update(parameters=True), "parameters: expected int, got True"),
    "no parameters": (
        lambda e, _: e.update(parameters=0),
        "expected parameters to be a positive count, got 0",
    ),
    "a short shape": (lambda e, _: e["graph"].update(input_shape=[224, 224]), r"input_shape: expected tuple"),
    "a shape that is no square": (
        lambda e, _: e["graph"].update(input_shape=[224, 192, 3]),
        r"expected graph.input_shape to be a square .*, got \(224, 192, 3\)",
    ),
    "an input beyond its resize_size": (
        lambda e, _: e["graph"].update(input_shape=[299, 299, 3]),
        r"expected graph.input_shape to be at most 256, the resize_size .*, got \(299, 299, 3\)",
    ),
    "an unknown preprocessing": (
        lambda e, _: e.update(preprocessing="mine"),
        "expected preprocessing to be one of .*gluoncv_eval.*, got 'mine'",
    ),
    "a preprocessing without a name": (lambda e, _: e.update(preprocessing=["mine"]), r"got \['mine'\]"),
    "a key within": (lambda e, _: e.update(key="resnet50_v1d.gluon"), "there is no field 'key'"),
    "an insecure url": (
        lambda e, _: e["sources"][0].update(urls=["http://x/y"]),
        "expected url to be an https address, got 'http://x/y'",
    ),
    "a truncated checksum": (
        lambda e, _: e["sources"][0]["checksums"][0].update(value="117a"),
        "expected sha1 to be 40 lower-case hexadecimal digits, got '117a'",
    ),
    "an unknown checksum": (
        lambda e, _: e["sources"][0]["checksums"][0].update(algorithm="crc"),
        r"sources\[0\]: checksums\[0\]: algorithm: expected Literal",
    ),
    "an unknown format": (lambda e, _: e["sources"][0].update(format="pickle"), "format: expected Literal"),
    "a converter outside": (
        lambda e, _: e["sources"][0].update(converter="..cli"),
        r"expected converter to be a converter's name, like gluoncv, got '\.\.cli'",
    ),
    "a member at the root": (
        lambda e, _: e["sources"][0].update(member="/etc/passwd"),
        "expected member to be a path inside the archive, got '/etc/passwd'",
    ),
    "a member above": (
        lambda e, _: e["sources"][0].update(member="a/../../b"),
        "expected member to be a path inside",
    ),
    "a member on a drive": (
        lambda e, _: e["sources"][0].update(member="C:b"),
        "expected member to be a path inside",
    ),
    "a member with backslashes": (
        lambda e, _: e["sources"][0].update(member="..\\b"),
        "expected member to be a path inside",
    ),
    "an entry that is no object": (
        lambda _, d: d["models"].update({"resnet50_v1d.gluon": 3}),
        "expected an object",
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_malformed_entry_is_refused_with_its_name_and_the_field(name):
    change, message = BREAKAGES[name]
    with pytest.raises(RegistryError, match=rf"Entry 'resnet50_v1d\.gluon'.*{message}"):
        registry.parse(broken(change))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("crop", 224, "there is no field 'crop'"),
        ("crop_size", 224, "there is no field 'crop_size'; it is each entry's input size"),
        ("resize_size", 0, "expected resize_size to be a positive number of pixels, or null, got 0"),
        ("central_fraction", 0, "expected central_fraction to be a number above 0, at most 1, got 0.0"),
        ("central_fraction", 87.5, "expected central_fraction to be a number above 0, at most 1, got 87.5"),
        ("max_value", 0, r"expected max_value to be a number from 1e-06 to 1e\+06, got 0.0"),
        ("std", [1.0, 0.0, 1.0], r"expected std to be numbers from 1e-06 to 1e\+06, got \(1.0, 0.0, 1.0\)"),
        ("mean", [0.5], "mean: expected tuple"),
        ("interpolation", "nearest", "interpolation: expected Literal"),
        ("channels", "GBR", "channels: expected Literal"),
        ("pad_value", 127.5, "expected pad_value to be null beside a resize_size, got 127.5"),
        ("crop_padding", -1, "expected crop_padding to be a number of pixels, or null, got -1"),
        ("crop_padding", 32, "expected crop_padding to be null beside another crop"),
    ],
)
def test_a_malformed_preprocessing_is_refused_with_its_name_and_the_field(field, value, message):
    text = broken(lambda _, document: document["preprocessing"]["gluoncv_eval"].update({field: value}))
    with pytest.raises(RegistryError, match=f"^preprocessing 'gluoncv_eval': {message}"):
        registry.parse(text)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400])
@pytest.mark.parametrize(
    ("place", "field"),
    [
        (lambda e, d: d["preprocessing"]["gluoncv_eval"], "max_value"),
        (lambda e, d: d["preprocessing"]["gluoncv_eval"], "central_fraction"),
        (lambda e, d: d["preprocessing"]["keras_raw"], "pad_value"),
        (lambda e, d: d["preprocessing"]["gluoncv_eval"]["mean"], 1),
        (lambda e, d: d["preprocessing"]["gluoncv_eval"]["std"], 2),
        (lambda e, d: e["metrics"][0], "value"),
    ],
    ids=["max_value", "central_fraction", "pad_value", "mean", "std", "metric"],
)
def test_a_number_that_is_not_finite_is_refused(place, field, number):
    def change(entry, document):
        place(entry, document)[field] = "a number"

    text = broken(change).replace('"a number"', number)
    with pytest.raises(RegistryError, match=r"(gluoncv_eval|keras_raw|gluon)'.*: expected a finite number"):
        registry.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "expected an object"),
        ("[" * 100_000, "not valid JSON"),
        ('{"preprocessing": {}, "models": {"../../x.y": {}}}', "a key is name.tag"),
        ('{"models": {}}', "'preprocessing' is missing"),
        ('{"preprocessing": {}, "models": {"UPPER": {}}}', "a key is name.tag"),
        ('{"preprocessing": {}, "models": {}, "models": {}}', "'models' twice"),
        ('{"preprocessing": {}, "models": {}, "defaults": {"a": "b"}}', r"points to 'a\.b'"),
        ('{"preprocessing": {}, "models": {}, "defaults": {"a": 1}}', "expected a tag for 'a', got 1"),
        ('{"preprocessing": {}, "models": {}, "defaults": []}', "defaults: expected an object"),
        ('{"preprocessing": [], "models": {}}', "preprocessing: expected an object"),
        ('{"preprocessing": {}, "models": "many"}', "models: expected an object, got 'many'"),
        ('{"preprocessing": {}, "models": {}, "defaults": ' + "9" * 5000 + "}", "not valid JSON"),
    ],
)
def test_a_malformed_registry_is_refused(text, message):
    with pytest.raises(RegistryError, match=message):
        registry.parse(text)


SMALL = {
    "preprocessing": {
        "plain": {
            "central_fraction": 0.875,
            "resize_size": 256,
            "longer_side": "truncated",
            "interpolation": "opencv_linear",
            "pad_value": None,
            "max_value": 255,
            "mean": [123.68, 116.78, 103.94],
            "std": [1, 1.5, 1],
            "channels": "BGR",
        }
    },
    "defaults": {"small": "team"},
    "models": {
        "small.team": {
            "graph": {
                "family": "resnet",
                "variant": "v1",
                "input_shape": [224, 224, 3],
                "classes": 1000,
                "activation": "softmax",
            },
            "preprocessing": "plain",
            "labels": "imagenet",
            "parameters": 25_000_000,
            "licenses": {"code": "MIT", "weights": None, "data": None},
            "paper": None,
            "weights": [{"url": "https://example.org/small.h5", "sha256": "0" * 64, "bytes": 1}],
            "sources": [
                {
                    "converter": "gluoncv",
                    "format": "mxnet",
                    "urls": ["https://example.org/small.zip"],
                    "checksums": [{"algorithm": "sha1", "value": "0" * 40, "of": "member"}],
                    "bytes": 100,
                    "member": "a/small.params",
                }
            ],
            "metrics": [{"name": "top1", "value": 77.5, "dataset": "ImageNet", "measured_by": "the team"}],
            "note": "small",
            "task": "classification",
        }
    },
}
# What no field may hold that now holds a value of this type: JSON's types, each as odd as it can be.
ODD = {
    "text": "\ud800\x1b[31m\n" * 1000,
    "count": 7,
    "huge count": 10**400,
    "not a number": math.nan,
    "infinity": -math.inf,
    "truth": True,
    "list": [[[[[[["deep"]]]]]]] * 100,
    "object": {"deep": {"deep": {"deep": {"deep": [1] * 1000}}}},
}
ODD_FOR = {
    str: ("count", "huge count", "not a number", "truth", "list", "object"),
    int: ("text", "not a number", "infinity", "truth", "list", "object"),
    float: ("text", "not a number", "infinity", "huge count", "truth", "list", "object"),
    list: ("text", "count", "truth", "object"),
    dict: ("text", "count", "not a number", "truth", "list"),
    type(None): ("infinity", "truth", "list", "object"),
}


def places(value: object) -> Iterator[tuple[Any, Any]]:
    """Every container of a JSON document with each of its keys or indices."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from places(item)


def test_the_small_registry_is_valid():
    assert registry.parse(json.dumps(SMALL)).find("small").key == "small.team"


@pytest.mark.parametrize("seed", range(300))
def test_a_value_of_a_wrong_type_anywhere_is_a_registry_error_and_nothing_else(seed):
    chance, document = random.Random(seed), copy.deepcopy(SMALL)
    container, key = chance.choice(list(places(document)))
    container[key] = ODD[chance.choice(ODD_FOR[type(container[key])])]
    with pytest.raises(RegistryError) as caught:
        registry.parse(json.dumps(document))
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 500


def test_an_entry_cannot_be_changed():
    with pytest.raises(AttributeError):
        modelzoo.info("resnet50_v1d").parameters = 1


def top1s(keys: list[str]) -> list[float | None]:
    return [modelzoo.info(key).metric("top1") for key in keys]


def test_sorted_by_accuracy_the_best_comes_first_and_the_unknown_last():
    values = top1s(modelzoo.list_models(sort="top1"))
    known = [value for value in values if value is not None]
    assert values == sorted(known, reverse=True) + [None] * (len(values) - len(known))
    assert None in values


@pytest.mark.parametrize(
    ("sort", "fact"), [("parameters", "parameters"), ("size", "preprocessing.crop_size")]
)
def test_sorted_by_a_size_the_smallest_comes_first(sort, fact):
    values = [operator.attrgetter(fact)(modelzoo.info(key)) for key in modelzoo.list_models(sort=sort)]
    assert values == sorted(values)


def test_another_order_is_refused():
    with pytest.raises(ValueError, match=r"sort: expected one of name, .*, got 'beauty'\."):
        modelzoo.list_models(sort="beauty")


def test_models_are_filtered_by_what_is_known_of_them():
    found = modelzoo.list_models(
        "*", tag="keras", labels="imagenet", license="MIT", max_parameters=30_000_000, max_size=224
    )
    assert "resnet50.keras" in found
    assert "inception_v3.keras" not in found  # 299 pixels
    assert "resnet101.keras" not in found  # 45 million parameters
    assert min(top1s(modelzoo.list_models(min_top1=80))) >= 80
    assert "resnet50_v1d.gluon" in modelzoo.list_models(license="unknown")
