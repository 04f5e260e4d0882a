"""Where weights come from: pinned where no checksum is published, recognized where nobody names them."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

import modelzoo
from modelzoo import cli, registry, settings, store, weights
from modelzoo.errors import ConversionError, UnknownModel, WeightsUnavailable
from modelzoo.registry.custom import with_custom
from modelzoo.store import cache as weight_cache
from modelzoo.store.locate import _by_reason
from tests.serving import custom_registry, script, served, write_synthetic
from tests.test_conversion import GLUON, upstream_arrays, write_params


@pytest.fixture(scope="module")
def params(tmp_path_factory):
    """resnet18_v1b in the upstream's format."""
    return write_params(tmp_path_factory.mktemp("upstream") / "a.params", upstream_arrays(GLUON))


@pytest.fixture
def upstream(params, tmp_path, monkeypatch):
    """A server of that file, which is the entry's only source and has no published checksum."""
    (tmp_path / "upstream").mkdir()
    path = tmp_path / "upstream" / "a.params"
    path.write_bytes(params.read_bytes())
    with served(path.parent) as server:
        source = replace(GLUON.sources[0], urls=(f"{server.url}/a.params",), checksums=())
        entry = replace(GLUON, sources=(source,))
        monkeypatch.setattr(registry, "info", lambda name: entry)
        yield path


def test_without_a_published_checksum_the_first_one_is_pinned_and_logged_once(upstream, params, caplog):
    assert store.trust(registry.info("")) == "no checksum is published: pinned on first use"
    path = modelzoo.weights_file(GLUON.key)
    sha256 = hashlib.sha256(params.read_bytes()).hexdigest()
    (message,) = caplog.messages
    assert "has no published checksum; pinned on first use 20" in message
    assert message.endswith(f"sha256 {sha256}")
    pointer = weight_cache.find(GLUON.key).pointer
    assert pointer.upstream_sha256 == sha256
    assert store.trust(registry.info("")) == pointer.trust == f"pinned on first use {pointer.since}"
    path.unlink()
    caplog.clear()
    modelzoo.weights_file(GLUON.key)
    assert caplog.messages == []
    assert weight_cache.find(GLUON.key).pointer.trust == pointer.trust


def test_another_file_than_the_pinned_one_is_refused_until_it_is_forgotten(upstream):
    modelzoo.weights_file(GLUON.key).unlink()
    arrays = upstream_arrays(GLUON)
    first = next(iter(arrays))
    write_params(upstream, arrays | {first: arrays[first] + 1})
    with pytest.raises(
        WeightsUnavailable, match=r"expected sha256 .* \(the sha256 was pinned on first use .*cache"
    ):
        modelzoo.weights_file(GLUON.key)
    assert cli.main(["cache", "remove", GLUON.key]) == 0
    assert modelzoo.weights_file(GLUON.key).is_file()


def test_info_shows_the_kind_of_trust(capsys):
    kinds = {}
    for name in ("resnet9_cifar10", "resnet50_v1d", "resnet101_mlimages", "resnet50_mlimages"):
        cli.main(["info", name, "--json"])
        kinds[name] = json.loads(capsys.readouterr().out)["trust"]
    assert kinds == {
        "resnet9_cifar10": "bundled",
        "resnet50_v1d": "published sha1 of the member",
        "resnet101_mlimages": "no checksum is published: pinned on first use",
        "resnet50_mlimages": None,
    }


def test_a_modelzoo_file_is_recognized_by_its_provenance(resnet18_file, capsys):
    assert cli.main(["add", str(resnet18_file)]) == 0
    assert f"{resnet18_file} has the weights of resnet18_v1b.gluon" in capsys.readouterr().out
    assert weight_cache.find("resnet18_v1b.gluon")


@pytest.mark.parametrize("owner", [None, 3, ["a", "list"], {}])
def test_a_modelzoo_file_that_does_not_say_whose_it_is_is_refused(owner, tmp_path):
    weights.write(tmp_path / "a.h5", [("a/b", np.zeros(3, np.float32))], {"model": owner})
    with pytest.raises(ConversionError, match="expected the name of a model in its provenance, got"):
        store.recognize(tmp_path / "a.h5")


def test_a_modelzoo_file_of_an_unknown_model_is_refused_on_one_line(tmp_path):
    name = "resnet\n\x1b[31m" + "x" * 1000
    weights.write(tmp_path / "a.h5", [("a/b", np.zeros(3, np.float32))], {"model": name})
    with pytest.raises(UnknownModel) as caught:
        store.recognize(tmp_path / "a.h5")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("packed", [False, True])
def test_an_upstream_file_is_recognized_by_its_checksum_also_in_an_archive(packed, params, tmp_path):
    from modelzoo.conversion import recognition

    sum_ = replace(GLUON.sources[0].checksums[0], value=hashlib.sha1(params.read_bytes()).hexdigest())
    ours = replace(GLUON, sources=(replace(GLUON.sources[0], checksums=(sum_,)),))
    entries = [registry.info("resnet34_v1b"), ours, registry.info("resnet101_mlimages")]
    path = params
    if packed:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(params, "x/y.params")
    assert recognition.by_checksum(path, entries) == [ours]
    assert recognition.by_checksum(path, entries[::2]) == []


def test_an_upstream_file_without_a_checksum_is_recognized_by_its_tensors(params):
    assert store.recognize(params) == "resnet18_v1b.gluon"


def test_models_that_differ_in_names_alone_are_told_apart(tmp_path):
    path = write_params(tmp_path / "a.params", upstream_arrays(registry.info("resnet50_v1c")))
    assert store.recognize(path) == "resnet50_v1c.gluon"


def test_a_file_that_fits_several_models_names_them(params, monkeypatch):
    entries = [GLUON, replace(GLUON, key="copy.team")]
    monkeypatch.setattr(registry, "list_models", lambda: range(2))
    monkeypatch.setattr(registry, "info", lambda key: entries[key])
    with pytest.raises(
        ConversionError,
        match=r"fits several models: resnet18_v1b\.gluon, copy\.team; say which, for example: modelzoo add",
    ):
        store.recognize(params)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty, from which no model is converted"),
        (b"text", "is of no format that is known"),
        (bytes(1000), "is of no format that is known"),
    ],
)
def test_a_file_of_no_model_is_recognized_as_none(content, reason, tmp_path, capsys):
    (tmp_path / "x").write_bytes(content)
    assert cli.main(["add", str(tmp_path / "x")]) == 1
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1


@pytest.fixture
def several(tmp_path, monkeypatch):
    """Three custom models on one server."""
    (tmp_path / "host").mkdir()
    models = {}
    with served(tmp_path / "host") as server:
        for key in ("a.team", "b.team", "c.team"):
            path = write_synthetic(tmp_path / "host" / f"{key}.h5", key, like="resnet9_cifar10")
            custom_registry(tmp_path / "custom.json", path, f"{server.url}/{path.name}", key)
            models |= json.loads((tmp_path / "custom.json").read_text())["models"]
        (tmp_path / "custom.json").write_text(json.dumps({"preprocessing": {}, "models": models}))
        monkeypatch.setenv(settings.REGISTRY, str(tmp_path / "custom.json"))
        with_custom.cache_clear()
        yield server


def test_several_models_are_downloaded_at_once_and_named_in_order(several, capsys):
    assert cli.main(["download", "c.team", "a.team", "b.team", "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["model"] for answer in answers] == ["c.team", "a.team", "b.team"]
    assert sorted(several.asked) == ["/a.team.h5", "/b.team.h5", "/c.team.h5"]


def test_one_model_that_fails_does_not_keep_the_others(several, tmp_path, capsys):
    (tmp_path / "host" / "a.team.h5").unlink()
    assert cli.main(["download", "a.team", "b.team", "nothing.team"]) == 1
    captured = capsys.readouterr()
    assert "b.team-" in captured.out
    assert "a.team are not available" in captured.err
    assert "no model 'nothing.team'" in captured.err


def test_check_sources_tells_what_is_available(several, tmp_path, capsys):
    check_sources = script("check_sources.py")
    assert check_sources.main(["?.team", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["available"] for row in rows] == [True] * 3
    assert rows[0]["bytes"] == (tmp_path / "host" / "a.team.h5").stat().st_size
    (tmp_path / "host" / "a.team.h5").unlink()
    with (tmp_path / "host" / "b.team.h5").open("ab") as file:
        file.write(b"x")
    assert check_sources.main(["?.team", "-o", str(tmp_path / "table.md")]) == 1
    lines = (tmp_path / "table.md").read_text().splitlines()[2:]
    assert [line.split(" | ")[1:3] for line in lines] == [
        ["NO", "404 File not found"],
        ["NO", f"200 OK, expected {rows[1]['bytes']} bytes"],
        ["yes", "200 OK"],
    ]
    assert "No address is available for: a.team, b.team" in capsys.readouterr().err


def test_a_reason_that_several_hosts_share_is_said_once():
    tried = [("https://a.org/x.h5", "no connection"), ("https://b.org/x.h5", "no connection")]
    assert list(_by_reason(tried)) == ["a.org, b.org: no connection"]
    assert list(_by_reason([*tried[:1], ("pypi: x", "not found")])) == [
        "https://a.org/x.h5: no connection",
        "pypi: x: not found",
    ]
