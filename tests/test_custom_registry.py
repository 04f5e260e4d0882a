"""MODELZOO_REGISTRY: a team's own models beside the packaged ones, which keep their meaning."""

from __future__ import annotations

import hashlib
import json
from importlib import resources

import pytest

import modelzoo
from modelzoo import cli, settings
from modelzoo.errors import RegistryError
from modelzoo.registry.custom import with_custom
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
