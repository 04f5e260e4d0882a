"""The model that answers where none is named, and that the first line says which and why."""

from __future__ import annotations

import json
from dataclasses import replace
from types import MappingProxyType

import pytest

from modelzoo import cli, registry, runtimes, settings
from modelzoo.registry import queries
from modelzoo.runtimes import DEFAULT_MODEL, PREFERRED_MODEL
from tests.conftest import CAT
from tests.serving import write_synthetic
from tests.wheels import package_of, serving, write_index, write_wheel

KEY = f"{PREFERRED_MODEL}.test"
MEMBER = f"weights/{KEY}.h5"


@pytest.fixture(autouse=True)
def _no_choice(monkeypatch):
    monkeypatch.delenv(settings.MODEL)


@pytest.fixture
def preferred(tmp_path, monkeypatch):
    """The registry with the preferred model: the bundled one's graph, and weights in a wheel of an index."""
    content = write_synthetic(tmp_path / "a.h5", KEY, like="resnet9_cifar10").read_bytes()
    wheel = write_wheel(tmp_path, {MEMBER: content}, "lite-weights")
    package = package_of(wheel, content, MEMBER)
    hosted = registry.HostedFile(None, package.member_sha256, len(content), (package,))
    packaged = registry.packaged()
    others = {key: e for key, e in packaged.entries.items() if e.name != PREFERRED_MODEL}
    entry = replace(packaged.find("resnet9_cifar10"), key=KEY, weights=(hosted,))
    defaults = {name: tag for name, tag in packaged.defaults.items() if name != PREFERRED_MODEL}
    known = replace(packaged, entries=MappingProxyType({**others, KEY: entry}), defaults=defaults)
    monkeypatch.setattr(queries, "packaged", lambda: known)
    write_index(tmp_path / "index", wheel)
    with serving(tmp_path / "index", monkeypatch) as server:
        yield server


@pytest.fixture
def _absent(monkeypatch):
    """The registry without the preferred model."""
    packaged = registry.packaged()
    others = {key: e for key, e in packaged.entries.items() if e.name != PREFERRED_MODEL}
    defaults = {name: tag for name, tag in packaged.defaults.items() if name != PREFERRED_MODEL}
    known = replace(packaged, entries=MappingProxyType(others), defaults=defaults)
    monkeypatch.setattr(queries, "packaged", lambda: known)


@pytest.mark.usefixtures("_absent")
def test_where_the_registry_has_no_preferred_model_the_bundled_one_answers_silently(capsys):
    assert runtimes.default_model() == runtimes.DefaultModel(DEFAULT_MODEL, None)
    assert cli.main(["classify", str(CAT), "--json"]) == 0
    found = capsys.readouterr()
    assert json.loads(found.out)["model"] == "resnet9_cifar10.modelzoo"
    assert found.err == ""


def test_the_preferred_model_answers_once_its_weights_are_fetched_and_later_without_a_network(
    preferred, capsys
):
    for _ in range(2):
        assert cli.main(["classify", str(CAT), "--json"]) == 0
        found = capsys.readouterr()
        assert json.loads(found.out)["model"] == KEY
        (first, *_) = found.err.splitlines()
        assert first == (
            "modelzoo: efficientnet_lite0: the default, with weights from pkg:pypi/lite-weights@0.1.0"
        )
        asked = len(preferred.asked)
        preferred.close()
    assert len(preferred.asked) == asked


def test_where_no_index_answers_the_bundled_model_does_and_the_first_line_says_why(preferred, capsys):
    preferred.close()
    assert cli.main(["classify", str(CAT)]) == 0
    found = capsys.readouterr()
    assert "resnet9_cifar10.modelzoo (cifar10" in found.out
    first = found.err.splitlines()[0]
    assert first.startswith(
        "modelzoo: resnet9_cifar10: it comes with the package. The pretrained weights of "
    )
    assert "pkg:pypi/lite-weights@0.1.0: pip cannot reach its package index" in first
    assert first.endswith("; MODELZOO_OFFLINE=1 saves the attempt")


def test_offline_the_bundled_model_answers_and_pip_is_not_started(preferred, capsys, monkeypatch):
    monkeypatch.setenv(settings.OFFLINE, "1")
    assert cli.main(["classify", str(CAT)]) == 0
    assert "MODELZOO_OFFLINE is set" in capsys.readouterr().err.splitlines()[0]
    assert preferred.asked == []


def test_embed_has_the_same_default(preferred, tmp_path, capsys):
    assert cli.main(["embed", str(CAT), "-o", str(tmp_path / "a.npy")]) == 0
    assert "modelzoo: efficientnet_lite0: the default" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", [("-m", "resnet9_cifar10"), ("-w", "synthetic")], ids=["a name", "weights"]
)
def test_what_is_named_is_taken_and_nothing_fetched(options, preferred, capsys):
    assert cli.main(["classify", str(CAT), "--json", *options]) == 0
    found = capsys.readouterr()
    assert json.loads(found.out)["model"] == "resnet9_cifar10.modelzoo"
    assert "efficientnet" not in found.err
    assert preferred.asked == []


def test_a_model_can_be_chosen_for_all_commands(preferred, capsys, monkeypatch):
    monkeypatch.setenv(settings.MODEL, "resnet9_cifar10")
    assert cli.main(["classify", str(CAT), "--json"]) == 0
    found = capsys.readouterr()
    assert json.loads(found.out)["model"] == "resnet9_cifar10.modelzoo"
    assert found.err == ""
    assert preferred.asked == []
