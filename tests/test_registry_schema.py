"""docs/registry.schema.json is today's, takes the registry, and refuses what the parser refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from modelzoo import registry
from modelzoo.errors import RegistryError
from scripts.registry import build, schema

TEXT = build.TARGET.read_text("utf-8")
KEY = "resnet50_v1d.gluon"
VALIDATOR = Draft202012Validator(json.loads(schema.TARGET.read_text("utf-8")))


def test_the_schema_is_todays():
    assert schema.document() == schema.TARGET.read_text("utf-8"), "run python -m scripts.registry.schema"


def test_the_schema_is_a_schema():
    Draft202012Validator.check_schema(VALIDATOR.schema)


def test_the_registry_is_valid():
    assert list(VALIDATOR.iter_errors(json.loads(TEXT))) == []


def test_a_registry_of_ones_own_with_a_hosted_file_is_valid():
    document = json.loads(TEXT)
    hosted = {"url": "https://example.org/a.h5", "sha256": "0" * 64, "bytes": 1}
    model = document["models"][KEY] | {"weights": [hosted]}
    own = {"preprocessing": {}, "models": {"a.team": model}}
    assert VALIDATOR.is_valid(own)
    registry.parse(json.dumps(own), registry.packaged().preprocessing)


def test_a_registry_of_ones_own_may_name_a_model_folder():
    assert VALIDATOR.is_valid({"preprocessing": {}, "models": {"a.team": {"folder": "clothes"}}})
    assert not VALIDATOR.is_valid({"preprocessing": {}, "models": {"a.team": {"folder": "a", "task": "x"}}})


def _source(entry: dict[str, Any]) -> dict[str, Any]:
    return entry["sources"][0]


Change = Callable[[dict[str, Any], dict[str, Any]], object]
BREAKAGES: dict[str, Change] = {  # each changes an entry or the whole document
    "a missing field": lambda entry, _: entry.pop("labels"),
    "an unknown field": lambda entry, _: entry.update(paperr=None),
    "an unknown field within": lambda entry, _: entry["graph"].update(varient="x"),
    "an old field": lambda entry, _: entry.update(licences=entry.pop("licenses")),
    "a string for a number": lambda entry, _: entry.update(parameters="many"),
    "a bool for a number": lambda entry, _: entry.update(parameters=True),
    "no parameters": lambda entry, _: entry.update(parameters=0),
    "no classes": lambda entry, _: entry["graph"].update(classes=0),
    "a short shape": lambda entry, _: entry["graph"].update(input_shape=[224, 224]),
    "a shape of four channels": lambda entry, _: entry["graph"].update(input_shape=[224, 224, 4]),
    "a shape of strings": lambda entry, _: entry["graph"].update(input_shape=["224", "224", 3]),
    "values for a preprocessing": lambda entry, _: entry.update(preprocessing={"resize_size": 256}),
    "an unknown task": lambda entry, _: entry.update(task="segmentation"),
    "an http address": lambda entry, _: _source(entry).update(urls=["http://example.org/a"]),
    "an unknown format": lambda entry, _: _source(entry).update(format="pickle"),
    "a converter that is a path": lambda entry, _: _source(entry).update(converter="..cli"),
    "a member at the root": lambda entry, _: _source(entry).update(member="/etc/passwd"),
    "a member above": lambda entry, _: _source(entry).update(member="a/../../b"),
    "a member on a drive": lambda entry, _: _source(entry).update(member="C:b"),
    "a member with backslashes": lambda entry, _: _source(entry).update(member="..\\b"),
    "a truncated checksum": lambda entry, _: _source(entry)["checksums"][0].update(value="117a"),
    "an unknown checksum": lambda entry, _: _source(entry)["checksums"][0].update(algorithm="crc"),
    "a checksum of another length": lambda entry, _: _source(entry)["checksums"][0].update(algorithm="md5"),
    "a hosted file without bytes": lambda entry, _: entry.update(
        weights=[{"url": "https://example.org/a", "sha256": "0" * 64}]
    ),
    "a hosted file of another scheme": lambda entry, _: entry.update(
        weights=[{"url": "ftp://example.org/a", "sha256": "0" * 64, "bytes": 1}]
    ),
    "an entry that is no object": lambda _, document: document["models"].update({KEY: 3}),
    "a name in capitals": lambda entry, document: document["models"].update({"ResNet.mine": entry}),
    "a name without a tag": lambda entry, document: document["models"].update({"resnet": entry}),
    "a document without preprocessing": lambda _, document: document.pop("preprocessing"),
    "a document with more": lambda _, document: document.update(pictures={}),
    "no interpolation": lambda _, document: document["preprocessing"]["cifar"].pop("interpolation"),
    "an unknown interpolation": lambda _, d: d["preprocessing"]["cifar"].update(interpolation="nearest"),
    "a size of the crop": lambda _, document: document["preprocessing"]["cifar"].update(crop_size=32),
    "a fraction of percent": lambda _, d: d["preprocessing"]["cifar"].update(central_fraction=87.5),
    "a deviation of zero": lambda _, document: document["preprocessing"]["cifar"].update(std=[1, 0, 1]),
    "a mean of one channel": lambda _, document: document["preprocessing"]["cifar"].update(mean=[0.5]),
    "a maximum of zero": lambda _, document: document["preprocessing"]["cifar"].update(max_value=0),
    "padding beside a resize": lambda _, document: document["preprocessing"]["cifar"].update(pad_value=0),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_what_is_malformed_is_refused_by_the_schema_and_by_the_parser(name):
    document = json.loads(TEXT)
    BREAKAGES[name](document["models"][KEY], document)
    assert not VALIDATOR.is_valid(document)
    with pytest.raises(RegistryError):
        registry.parse(json.dumps(document))
