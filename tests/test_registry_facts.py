"""The registry and the known answers are what the committed facts say, and every fact names its source."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest

import modelzoo
from modelzoo import labels, registry
from scripts.registry import build, counts, known_answers, new, records
from tests.conftest import ROOT

FACTS = sorted(path for path in records.FACTS.rglob("*") if path.suffix in (".json", ".tsv", ".txt"))
RECORDS = [path for path in FACTS if path.suffix == ".json" and path.parent == records.FACTS]
PUBLISHED = [build.TARGET, known_answers.TARGET]

PUBLIC = (
    r"https://\S+",
    r"[\w.-]+/[\w.-]+@[0-9a-f]{7,40}\^?:[\w./*-]+",  # owner/repository@commit:path
    r"[a-z][a-z0-9-]* \d+\.\d+\.\d+:[\w./-]+",  # distribution version:path
    r"scripts/[\w./]+",  # this repository's own
)
SOURCE = re.compile(rf"({'|'.join(PUBLIC)})( \([^()]+\))?")
SOURCE_FIELDS = ("source", "measured_by")
UNREADABLE = re.compile(r"stored|\bcopy id\b|\bfile id\b|\bid \d{5,}|find_string|search corpus|\bshared/")


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return build.entries()


def test_building_the_registry_again_gives_the_committed_file(models):
    assert build.document(models, counts.kept()) == build.TARGET.read_text("utf-8"), (
        "run python -m scripts.registry.build"
    )


def test_the_kept_counts_are_those_that_the_registry_needs():
    graphs = (entry["graph"] for entry in build.to_count(build.entries()))
    assert counts.kept().keys() == set(map(counts.key, graphs))


def test_building_the_known_answers_again_gives_the_committed_file():
    assert known_answers.document() == known_answers.TARGET.read_text("utf-8"), (
        "run python -m scripts.registry.known_answers"
    )


def test_building_imports_no_network():
    code = (
        "import sys; from scripts.registry import build, counts, known_answers; "
        "build.document(build.entries(), counts.kept()); known_answers.document(); "
        "print({'keras', 'tensorflow'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name)
def test_records_are_sorted_and_indented(path):
    text = path.read_text("utf-8")
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"


@pytest.mark.parametrize("path", [*FACTS, *PUBLISHED], ids=lambda path: path.name)
def test_nothing_cites_what_no_reader_can_open(path):
    assert UNREADABLE.findall(path.read_text("utf-8")) == []


def sources(value: Any) -> Iterator[str]:
    """Every source that is stated anywhere in a JSON value."""
    if isinstance(value, list):
        for item in value:
            yield from sources(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in SOURCE_FIELDS and isinstance(item, str):
                yield item
            elif name == "source" and all(isinstance(source, str) for source in item):
                yield from item
            else:
                yield from sources(item)


def is_public(text: str) -> bool:
    return all(SOURCE.fullmatch(part) for part in re.split(r", (?=[\w.-]+(?:/| \d+\.))", text))


@pytest.mark.parametrize(
    "path",
    [path for path in [*FACTS, *PUBLISHED] if path.suffix == ".json"],
    ids=lambda path: path.name,
)
def test_every_source_is_a_public_document(path):
    stated = set(sources(json.loads(path.read_text("utf-8"))))
    assert sorted(source for source in stated if not is_public(source)) == []


@pytest.mark.parametrize(
    "text",
    [
        "tensorflow/models research/slim/README.md (stored copy id 52939309587)",
        "tensorflow/models research/slim/README.md",
        "keras.io/api/applications table",
        "Keras table as re-printed in a book",
    ],
)
def test_a_source_without_an_address_or_a_commit_is_noticed(text):
    assert not is_public(text)


def test_every_record_states_where_its_addresses_and_figures_come_from():
    for tag in ("darknet", "gluon", "keras", "slim", "tencent", "torchvision", "tpu"):
        for name, record in records.read(tag).items():
            stated = [
                *record["urls"],
                *record["accuracy"],
                *record.get("checksums", []),
                *record.get("packages", []),
            ]
            assert all(fact["source"] for fact in stated), f"{name}.{tag}"


NORMALIZATION = 7  # values that EfficientNet B0 to B7 count as parameters: mean, variance and a count


@pytest.mark.parametrize("name", records.read("keras"))
def test_keras_counts_the_same_parameters(name):
    record = records.read("keras")[name]
    constants = NORMALIZATION if name.startswith("efficientnet_b") else 0
    assert modelzoo.info(f"{name}.keras").parameters + constants == record["parameters_by_keras"]


def test_a_bare_name_means_the_first_of_the_tags_that_have_it():
    keys = ["a.slim", "a.keras", "b.gluon", "c.mine", "c.slim", "d.yours", "d.mine"]
    assert build.defaults(keys) == {"a": "keras", "c": "slim", "d": "mine"}


def entry_file(folder, key: str, **changes: Any) -> None:
    """A hand-written entry of ResNet-18 v1b with another file."""
    options = ["--like", "resnet18_v1b"]
    skeleton = new.skeleton(new.parse([key, *options])) | changes
    (folder / f"{key}.json").write_text(json.dumps(skeleton), "utf-8")


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The builder's hand-written entries and its outputs, in a folder of the test's own."""
    monkeypatch.setattr(build, "ENTRIES", tmp_path)
    monkeypatch.setattr(build, "TARGET", tmp_path / "registry.json")
    monkeypatch.setattr(counts, "FILE", tmp_path / "parameters.json")
    return tmp_path


def test_a_hand_written_entry_joins_the_registry(written):
    entry_file(written, "resnet18_v1b.mine")
    build.main([])
    found = registry.parse(build.TARGET.read_text("utf-8"))
    assert found.find("resnet18_v1b.mine").parameters == modelzoo.info("resnet18_v1b").parameters
    assert found.find("resnet18_v1b").key == "resnet18_v1b.gluon"


def test_what_a_hand_written_entry_lacks_is_named_and_nothing_is_written(written):
    entry_file(written, "resnet18_v1b.mine", labels=None)
    with pytest.raises(
        SystemExit, match=r"Nothing was written\. Entry 'resnet18_v1b\.mine': labels: expected str"
    ):
        build.main([])
    assert not build.TARGET.exists()
    assert not counts.FILE.exists()


def test_a_hand_written_entry_replaces_no_other(written):
    entry_file(written, "resnet18_v1b.gluon")
    with pytest.raises(SystemExit, match=r"resnet18_v1b\.gluon is already among the models"):
        build.main([])


def test_a_skeleton_has_null_for_what_is_unknown(capsys):
    new.main(["toy_8.mine", "--family", "toy", "--variant", "8"])
    printed = capsys.readouterr()
    entry = json.loads(printed.out)
    assert entry["graph"] == {
        "family": "toy",
        "variant": "8",
        "input_shape": [None, None, 3],
        "classes": None,
        "activation": "softmax",
    }
    assert {name for name, value in entry.items() if value is None} == {
        "preprocessing",
        "labels",
        "parameters",
        "paper",
        "note",
    }
    assert entry["licenses"] == {"code": None, "weights": None, "data": None}
    assert "scripts/registry/facts/entries/toy_8.mine.json" in printed.err
    assert "python -m scripts.registry.build" in printed.err


@pytest.mark.parametrize("key", ["resnet50_v1d.gluon", "yolo2.darknet", "inception_v3.slim"])
def test_a_skeleton_like_another_entry_has_its_input_labels_and_kind_of_file(key):
    like = modelzoo.info(key)
    entry = new.skeleton(new.parse(["x.mine", "--like", key]))
    assert tuple(entry["graph"]["input_shape"]) == like.graph.input_shape
    assert entry["graph"]["classes"] == len(labels.read(like.labels))
    named = registry.packaged().named_preprocessing(entry["preprocessing"], like.graph.input_shape[0])
    assert (named, entry["labels"]) == (like.preprocessing, like.labels)
    assert entry.get("task", "classification") == like.task
    assert [(s["converter"], s["format"], s["urls"]) for s in entry["sources"]] == [
        (like.sources[0].converter, like.sources[0].format, [])
    ]


def test_a_skeleton_needs_a_name_and_a_tag():
    with pytest.raises(SystemExit, match=r"expected NAME\.TAG in lower case, like .*, got 'ResNet'"):
        new.main(["ResNet"])


def test_the_packaged_registry_is_the_built_one():
    assert (resources.files("modelzoo") / "registry.json").read_text("utf-8") == build.TARGET.read_text(
        "utf-8"
    )
