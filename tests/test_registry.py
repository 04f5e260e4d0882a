"""The registry: what it holds is consistent, and what is malformed is refused by name."""

from __future__ import annotations

import copy
import json
import operator
from importlib import resources

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
def test_pictures_come_at_the_size_of_the_input(key):
    entry = modelzoo.info(key)
    assert (entry.pictures.crop, entry.pictures.crop, 3) == entry.graph.input_shape


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
        UnknownModel, match=r"ambiguous: say which of resnet50_v1d\.gluon, resnet50_v1d\.other"
    ):
        two_tags({}).find("resnet50_v1d")


def test_a_bare_name_with_two_tags_means_the_default():
    assert two_tags({"resnet50_v1d": "other"}).find("resnet50_v1d").tag == "other"


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
    "no parameters": (lambda e, _: e.update(parameters=0), "parameters is 0; wanted a positive"),
    "a short shape": (lambda e, _: e["graph"].update(input_shape=[224, 224]), r"input_shape: expected tuple"),
    "a shape that is no square": (
        lambda e, _: e["graph"].update(input_shape=[224, 192, 3]),
        r"graph.input_shape is \(224, 192, 3\); wanted a square",
    ),
    "an input beyond its pictures": (
        lambda e, _: e["graph"].update(input_shape=[299, 299, 3]),
        r"graph.input_shape is \(299, 299, 3\); wanted at most 256, its pictures' shorter side",
    ),
    "an unknown recipe": (lambda e, _: e.update(pictures="mine"), "pictures is 'mine'; there are"),
    "an insecure url": (lambda e, _: e["sources"][0].update(urls=["http://x/y"]), "wanted an https address"),
    "a cut checksum": (
        lambda e, _: e["sources"][0]["checksums"][0].update(value="117a"),
        "sha1 is '117a'; wanted 40",
    ),
    "an unknown checksum": (
        lambda e, _: e["sources"][0]["checksums"][0].update(algorithm="crc"),
        r"sources\[0\]: checksums\[0\]: algorithm: expected Literal",
    ),
    "an unknown format": (lambda e, _: e["sources"][0].update(format="pickle"), "format: expected Literal"),
    "a converter outside": (
        lambda e, _: e["sources"][0].update(converter="..cli"),
        r"converter is '\.\.cli'; wanted a module's name",
    ),
    "a member at the root": (
        lambda e, _: e["sources"][0].update(member="/etc/passwd"),
        "member is '/etc/passwd'; wanted a path inside the archive",
    ),
    "a member above": (lambda e, _: e["sources"][0].update(member="a/../../b"), "wanted a path inside"),
    "a member on a drive": (lambda e, _: e["sources"][0].update(member="C:b"), "wanted a path inside"),
    "a member with backslashes": (
        lambda e, _: e["sources"][0].update(member="..\\b"),
        "wanted a path inside",
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
        ("crop", 224, "there is no field 'crop'"),  # the size is the entry's
        ("shorter_side", 0, "shorter_side is 0; wanted a positive number of pixels, or null"),
        ("central_fraction", 0, "central_fraction is 0.0; wanted a number above 0, at most 1"),
        ("central_fraction", 87.5, "central_fraction is 87.5; wanted a number above 0, at most 1"),
        ("white", 0, "white is 0.0; wanted a number above 0"),
        ("std", [1.0, 0.0, 1.0], r"std is .*; wanted numbers above 0"),
        ("mean", [0.5], "mean: expected tuple"),
        ("kernel", "nearest", "kernel: expected Literal"),
        ("channels", "GBR", "channels: expected Literal"),
        ("border", 127.5, "border is 127.5; wanted null beside a shorter_side"),
    ],
)
def test_a_malformed_recipe_is_refused_with_its_name_and_the_field(field, value, message):
    text = broken(lambda _, document: document["pictures"]["gluoncv_eval"].update({field: value}))
    with pytest.raises(RegistryError, match=f"pictures 'gluoncv_eval': {message}"):
        registry.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "expected an object"),
        ("[" * 100_000, "not valid JSON"),
        ('{"pictures": {}, "models": {"../../x.y": {}}}', "a key is name.tag"),
        ('{"models": {}}', "'pictures' is missing"),
        ('{"pictures": {}, "models": {"UPPER": {}}}', "a key is name.tag"),
        ('{"pictures": {}, "models": {}, "models": {}}', "'models' twice"),
        ('{"pictures": {}, "models": {}, "defaults": {"a": "b"}}', r"points to a\.b"),
    ],
)
def test_a_malformed_registry_is_refused(text, message):
    with pytest.raises(RegistryError, match=message):
        registry.parse(text)


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


@pytest.mark.parametrize(("sort", "fact"), [("parameters", "parameters"), ("size", "pictures.crop")])
def test_sorted_by_a_size_the_smallest_comes_first(sort, fact):
    values = [operator.attrgetter(fact)(modelzoo.info(key)) for key in modelzoo.list_models(sort=sort)]
    assert values == sorted(values)


def test_another_order_is_refused():
    with pytest.raises(ValueError, match=r"sort must be one of name, .*, not 'beauty'\."):
        modelzoo.list_models(sort="beauty")


def test_models_are_filtered_by_what_is_known_of_them():
    found = modelzoo.list_models(
        "*", tag="keras", labels="imagenet", licence="MIT", max_parameters=30_000_000, max_size=224
    )
    assert "resnet50.keras" in found
    assert "inception_v3.keras" not in found  # 299 pixels
    assert "resnet101.keras" not in found  # 45 million parameters
    assert min(top1s(modelzoo.list_models(min_top1=80))) >= 80
    assert "resnet50_v1d.gluon" in modelzoo.list_models(licence="unknown")
