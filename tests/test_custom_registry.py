"""MODELZOO_REGISTRY: a team's own models beside the packaged ones, which keep their meaning."""

from __future__ import annotations

import hashlib
import json
from importlib import resources

import pytest

import modelzoo
from modelzoo import cli, labels, settings
from modelzoo.errors import LabelsError, RegistryError
from modelzoo.registry.custom import with_custom
from tests import hostile_registries
from tests.conftest import CAT
from tests.serving import served

PACKAGED = json.loads((resources.files("modelzoo") / "registry.json").read_text("utf-8"))
ENTRY = PACKAGED["models"]["resnet50_v1d.gluon"]


@pytest.fixture
def use(tmp_path, monkeypatch):
    """Writes a registry and sets the variable."""

    def use(models, **rest):
        path = tmp_path / "custom.json"
        path.write_text(json.dumps({"preprocessing": {}, "models": models, **rest}))
        monkeypatch.setenv(settings.REGISTRY, str(path))
        return path

    with_custom.cache_clear()
    return use


def test_custom_models_stand_beside_the_packaged_ones(use, capsys):
    before = modelzoo.list_models()
    use({"ours.team": ENTRY})
    assert modelzoo.list_models() == sorted([*before, "ours.team"])
    assert modelzoo.info("ours").preprocessing == modelzoo.info("resnet50_v1d").preprocessing
    assert modelzoo.load("ours", weights=None, include_top=False).name == "ours_team"
    assert cli.main(["info", "ours"]) == 0
    assert "ours.team" in capsys.readouterr().out


def test_a_bare_name_keeps_its_packaged_meaning(use):
    use({"resnet50_v1d.team": ENTRY})
    assert modelzoo.info("resnet50_v1d").key == "resnet50_v1d.gluon"
    assert modelzoo.info("resnet50_v1d.team").key == "resnet50_v1d.team"


@pytest.mark.parametrize(
    ("models", "rest", "message"),
    [
        ({"resnet50_v1d.gluon": ENTRY}, {}, "'resnet50_v1d.gluon' is the name of a packaged model; choose"),
        (
            {"resnet50_v1d.team": ENTRY},
            {"defaults": {"resnet50_v1d": "team"}},
            "defaults: 'resnet50_v1d' is the name of a packaged model",
        ),
        ({"../x.y": ENTRY}, {}, r"Entry '../x.y': a key is name.tag"),
        ({"/etc/x.y": ENTRY}, {}, "a key is name.tag"),
        ({"a\\b.y": ENTRY}, {}, "a key is name.tag"),
        ({"x.y\n": ENTRY}, {}, "a key is name.tag"),
        ({"ours.team": ENTRY | {"preprocessing": "mine"}}, {}, "got 'mine'"),
        (
            {"ours.team": ENTRY | {"weights": [{"url": "ftp://x", "sha256": "0" * 64, "bytes": 1}]}},
            {},
            "expected url to be an https, http or file address",
        ),
    ],
)
def test_what_would_shadow_or_escape_is_refused_in_one_sentence(models, rest, message, use, capsys):
    path = use(models, **rest)
    with pytest.raises(RegistryError, match=message):
        modelzoo.list_models()
    assert cli.main(["list"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"modelzoo: MODELZOO_REGISTRY={path}: ")
    assert error.count("\n") == 1


CLOTHING = [{"id": "s1", "name": "shirt"}, "sock", {"id": "t3", "name": "trousers"}]
DRESSER = ENTRY | {"labels": "clothing", "graph": ENTRY["graph"] | {"classes": 3}}


def test_labels_of_ones_own_are_answered(use, capsys, tmp_path):
    use({"dresser.team": DRESSER}, labels={"clothing": CLOTHING})
    assert modelzoo.list_models(labels="clothing") == ["dresser.team"]
    for name in ("clothing", "dresser"):
        [[best, second]] = modelzoo.decode_predictions([[0.1, 0.2, 0.7]], name, top=2)
        assert (best, second.id, second.name) == (modelzoo.Prediction("t3", "trousers", 0.7), "sock", "sock")
    assert cli.main(["info", "dresser"]) == 0
    assert "3 classes of clothing" in capsys.readouterr().out
    model = modelzoo.load("dresser", weights="synthetic")
    assert model.output_shape == (None, 3)
    classifier = modelzoo.Classifier("dresser", weights="synthetic", runtime="keras")
    assert {p.name for p in classifier(CAT)[0]} == {"shirt", "sock", "trousers"}
    with pytest.raises(LabelsError, match="cifar10, coco, clothing"):
        labels.read("shoes")


def test_packaged_labels_may_be_used_and_are_as_they_were(use):
    before = labels.read("imagenet")
    use({"ours.team": ENTRY}, labels={"clothing": CLOTHING})
    assert labels.read("imagenet") is before


@pytest.mark.parametrize(
    ("entry", "sets", "message"),
    [
        (DRESSER, {}, r"Entry 'dresser\.team': expected labels to be one of .*imagenet.*, got 'clothing'"),
        (
            DRESSER,
            {"clothing": CLOTHING[:2]},
            r"'dresser\.team': expected graph\.classes to be 2, as many as",
        ),
        (ENTRY | {"labels": "mlimages"}, {}, r"'dresser\.team': expected graph\.classes to be 11166"),
        (DRESSER, {"clothing": []}, "labels 'clothing': expected a list of labels, got \\[\\]"),
        (DRESSER, {"clothing": None}, "labels 'clothing': expected a list of labels, got None"),
        (
            DRESSER,
            {"clothing": ["a", "a", "b"]},
            r"labels 'clothing'\[1\]: expected an id of its own, got 'a'",
        ),
        (DRESSER, {"clothing": ["a", "", "b"]}, r"labels 'clothing'\[1\]: expected an id of its own, got ''"),
        (DRESSER, {"clothing": ["a", 1, "b"]}, r"labels 'clothing'\[1\]: expected an object, got 1"),
        (DRESSER, {"clothing": ["a", {"id": "b"}]}, r"labels 'clothing'\[1\]: the field 'name' is missing"),
        (
            DRESSER,
            {"clothing": ["a", "b", {"id": "c", "name": "c", "parent": 3}]},
            r"labels 'clothing'\[2\]: expected parent to be an index, got 3",
        ),
        (DRESSER, {"Clothing!": CLOTHING}, "labels 'Clothing!': a label set's name has lower-case letters"),
        (DRESSER, {"imagenet": CLOTHING}, "labels: 'imagenet' is the name of a packaged label set"),
        (DRESSER, [], r"labels: expected an object, got \[\]"),
    ],
)
def test_labels_that_do_not_fit_are_refused_when_the_registry_is_read(entry, sets, message, use):
    use({"dresser.team": entry}, labels=sets)
    with pytest.raises(RegistryError, match=message):
        modelzoo.list_models()


@pytest.mark.parametrize("sources", [True, False], ids=["with sources", "without"])
@pytest.mark.parametrize("tag", ["team", "keras"])
@pytest.mark.parametrize("base", ["resnet18_v1b.gluon", "vgg_16.slim", "yolo2.darknet"])
def test_of_a_model_of_ones_own_no_original_program_is_known(base, tag, sources, use):
    entry = PACKAGED["models"][base]
    use({f"ours.{tag}": entry if sources else entry | {"sources": []}})
    assert [check.passed for check in modelzoo.verify("ours")] == [None, None]
    assert "no outputs of an original program are known" in next(modelzoo.verify("ours")).detail


def test_registries_of_any_content_are_read_or_refused_in_a_sentence(tmp_path, monkeypatch, cache):
    monkeypatch.setenv(settings.REGISTRY, "")
    monkeypatch.setenv(settings.CACHE, str(cache))
    path, accepted = tmp_path / "custom.json", 0
    for content in hostile_registries.texts(60):
        path.write_bytes(content)
        assert hostile_registries.raw_errors(path, build=False) == []
        accepted += hostile_registries.is_accepted()
    assert 0 < accepted < 60


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("parameters", 10**400),
        ("parameters", 10**4000),
        ("weights", [{"url": "https://x", "bytes": 10**400}]),
    ],
    ids=["400 digits", "4,000 digits", "bytes"],
)
def test_numbers_that_nothing_can_compute_with_are_refused(field, value, use):
    if field == "weights":
        value[0]["sha256"] = "0" * 64
    use({"ours.team": ENTRY | {field: value}})
    with pytest.raises(RegistryError, match="expected a number of at most 18 digits, got 1000"):
        modelzoo.list_models()


def test_a_registry_may_begin_with_a_byte_order_mark(use):
    path = use({"ours.team": ENTRY})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert modelzoo.info("ours").key == "ours.team"


@pytest.mark.parametrize(
    "place",
    [
        "https://[#sha256=" + "0" * 64,
        "ftp://host/x#sha256=" + "0" * 64,
        "https://host/x",
        "~nobody/x",
        ".",
        "x\ny",
    ],
)
def test_a_place_of_any_form_is_answered_in_a_sentence(place, monkeypatch, capsys):
    monkeypatch.setenv(settings.REGISTRY, place)
    monkeypatch.setenv(settings.OFFLINE, "1")
    with pytest.raises(RegistryError, match=r"^MODELZOO_REGISTRY="):
        modelzoo.list_models()
    assert cli.main(["list"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv(settings.REGISTRY, str(tmp_path / "none.json"))
    with pytest.raises(RegistryError, match=r"none\.json: the file cannot be read"):
        modelzoo.list_models()


def test_a_password_in_the_address_is_not_shown(monkeypatch):
    monkeypatch.setenv(settings.REGISTRY, "https://someone:s3cret@host/custom.json")
    with pytest.raises(RegistryError, match=r"MODELZOO_REGISTRY=https://host/custom\.json: .* must end in"):
        modelzoo.list_models()


def test_a_preprocessing_of_ones_own_is_used_and_changes_no_packaged_model(use):
    packaged = modelzoo.info("resnet50_v1d").preprocessing
    gray = PACKAGED["preprocessing"]["gluoncv_eval"] | {"mean": [0.5, 0.5, 0.5]}
    use({"ours.team": ENTRY}, preprocessing={"gluoncv_eval": gray})
    assert modelzoo.info("ours").preprocessing.mean == (0.5, 0.5, 0.5)
    assert modelzoo.info("resnet50_v1d").preprocessing == packaged


def test_a_registry_is_downloaded_once_and_its_checksum_is_required(use, tmp_path, monkeypatch):
    sha256 = hashlib.sha256(use({"ours.team": ENTRY}).read_bytes()).hexdigest()
    with served(tmp_path) as server:
        url = f"{server.url}/custom.json"
        for place in (url, f"{url}#sha256=", f"{url}#sha256=1234"):
            monkeypatch.setenv(settings.REGISTRY, place)
            with pytest.raises(RegistryError, match="must end in #sha256="):
                modelzoo.list_models()
        monkeypatch.setenv(settings.REGISTRY, f"{url}#sha256={'0' * 64}")
        with pytest.raises(RegistryError, match=f"expected sha256 0000.*, got {sha256}"):
            modelzoo.list_models()
        asked = len(server.asked)
        for _ in range(2):
            with_custom.cache_clear()
            monkeypatch.setenv(settings.REGISTRY, f"{url}#sha256={sha256}")
            assert "ours.team" in modelzoo.list_models()
        assert len(server.asked) == asked + 1


def test_an_unknown_converter_is_named(use, tmp_path):
    from modelzoo import conversion
    from modelzoo.errors import ConversionError

    source = ENTRY["sources"][0] | {"converter": "os"}
    use({"ours.team": ENTRY | {"sources": [source]}})
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(ConversionError, match="There is no converter 'os'"):
        conversion.convert(modelzoo.info("ours"), tmp_path / "x", tmp_path / "out.h5")
