"""Model folders as wheels: published, taken from any index by their sha256, or installed by pip."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import modelzoo
from modelzoo import cli, registry, settings, store
from modelzoo.errors import DownloadError, RegistryError, UnknownModel, WeightsUnavailable
from scripts.convert import publish, wheels
from tests.folders import BASE, CLASSES, NAMES, photos, small_model
from tests.wheels import serving, sha256, write_index, write_wheel

NAME = "modelzoo-weights-clothes-own"
MODULE = "modelzoo_weights_clothes_own"


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory) -> Path:
    """A model folder, which no test changes."""
    folder = tmp_path_factory.mktemp("models") / "clothes"
    modelzoo.save(model, folder, base=BASE, labels=NAMES)
    return folder


@pytest.fixture(scope="module")
def expected(model):
    return model.predict(modelzoo.preprocess(photos(), BASE), verbose=0)


def published(saved: Path, target: Path, capsys) -> tuple[list[Path], str]:
    """The folder's wheels, and the address that publishing prints."""
    publish.main([str(saved), "--wheels", "-o", str(target)])
    return sorted(target.glob("*.whl")), capsys.readouterr().out.strip()


def off_by(name: object, expected) -> float:
    found = modelzoo.Classifier(name, runtime="keras").probabilities(photos())
    return float(np.abs(found - expected).max())


def kept(cache: Path) -> list[str]:
    """What lies in the cache, empty folders and locks aside."""
    return [str(path) for path in cache.rglob("*") if path.is_file() and path.parent.name != "locks"]


@pytest.mark.parametrize("parts", [1, 3])
def test_a_folder_comes_back_from_an_index(parts, saved, expected, tmp_path, monkeypatch, cache, capsys):
    if parts > 1:
        size = (saved / "weights.h5").stat().st_size
        monkeypatch.setattr(wheels, "PART_BYTES", size // parts + 1)
    made, address = published(saved, tmp_path / "wheels", capsys)
    assert len(made) == (1 if parts == 1 else parts + 1)
    assert address.startswith(f"pkg:pypi/{NAME}@1.0#sha256=")
    write_index(tmp_path / "index", *made)
    with serving(tmp_path / "index", monkeypatch) as server:
        assert off_by(address, expected) <= 1e-6
        entry = modelzoo.info(address)
        server.asked.clear()
        assert all(check.passed for check in modelzoo.verify(address))
        assert not server.asked
    assert (entry.key, entry.reference) == ("clothes.own", address)
    assert modelzoo.labels(address) == NAMES
    assert store.availability(entry) == "cached"
    deployment = modelzoo.Deployment(address)
    assert modelzoo.Deployment.from_json(deployment.to_json()) == deployment
    store.bundle([address], tmp_path / "b.tar")
    assert cli.main(["cache", "remove", address]) == 0
    monkeypatch.setenv(settings.OFFLINE, "1")
    with pytest.raises(DownloadError, match=rf"^{NAME} 1\.0: MODELZOO_OFFLINE is set"):
        modelzoo.info(address)
    assert store.unbundle(tmp_path / "b.tar") == ["clothes.own"]
    assert off_by("clothes", expected) <= 1e-6


def test_a_registry_may_name_a_wheels_folder(saved, expected, tmp_path, monkeypatch, capsys):
    made, address = published(saved, tmp_path / "wheels", capsys)
    write_index(tmp_path / "index", *made)
    document = {"preprocessing": {}, "models": {"coats.team": {"folder": address}}}
    (tmp_path / "registry.json").write_text(json.dumps(document))
    monkeypatch.setenv(settings.REGISTRY, str(tmp_path / "registry.json"))
    with serving(tmp_path / "index", monkeypatch):
        assert off_by("coats", expected) <= 1e-6
    assert registry.info("coats").reference == "coats.team"
    assert "coats.team" in modelzoo.list_models()


def test_a_wheel_that_pip_installed_is_found_by_its_name(saved, expected, tmp_path, monkeypatch, capsys):
    (made,), _ = published(saved, tmp_path / "wheels", capsys)
    with zipfile.ZipFile(made) as archive:  # as pip does with a wheel of data
        archive.extractall(tmp_path / "installed")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "installed")])
    assert off_by(NAME, expected) <= 1e-6
    assert len(modelzoo.classify(photos(), NAME, top=CLASSES)) == len(photos())
    with pytest.raises(UnknownModel, match="There is no model 'modelzoo-weights-hats'"):
        modelzoo.info("modelzoo-weights-hats")


def test_publishing_a_folder_twice_gives_the_same_bytes(saved, tmp_path, capsys):
    first, address = published(saved, tmp_path / "one", capsys)
    second, again = published(saved, tmp_path / "two", capsys)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert address == again
    with pytest.raises(SystemExit, match="expected --wheels alone"):
        publish.main([str(saved), "-o", str(tmp_path / "mirror")])


# Wheels that are not what they should be: one sentence, and nothing is kept


def contents(saved: Path) -> dict[str, bytes]:
    return {f"{MODULE}/{path.name}": path.read_bytes() for path in saved.iterdir()}


def cut(name: str) -> dict[str, bytes | None]:
    return {f"{MODULE}/{name}": None}


WRONG = {
    "no folder": (cut("model.json"), "expected a model folder, found no member"),
    "no weights": (cut("weights.h5"), "weights.h5 with the sha256 that its model.json states, found none"),
    "other weights": ({f"{MODULE}/weights.h5": b"other"}, "found another file"),
    "a stranger's model.json": ({f"{MODULE}/model.json": b"{}"}, "expected format 1, got None"),
    "a path outside": ({"../evil": b"x"}, "could lie outside the folder"),
    "parts that are none": ({f"{MODULE}/packages.json": b"[{}]"}, "is missing"),
    "parts of others": (
        {f"{MODULE}/packages.json": b'[{"distribution": "-r x", "version": "1", "member": "a"}]'},
        "is missing",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wheel_with_another_content_is_refused(case, saved, tmp_path, monkeypatch, cache):
    changes, message = WRONG[case]
    members = {**contents(saved), **changes}
    wheel = write_wheel(tmp_path, {k: v for k, v in members.items() if v is not None}, NAME, "1.0")
    write_index(tmp_path / "index", wheel)
    address = f"pkg:pypi/{NAME}@1.0#sha256={sha256(wheel.read_bytes())}"
    with (
        serving(tmp_path / "index", monkeypatch),
        pytest.raises((DownloadError, RegistryError), match=message) as caught,
    ):
        modelzoo.load(address)
    assert "\n" not in str(caught.value)
    assert str(cache) not in str(caught.value)
    assert kept(cache) == []


def test_an_index_that_serves_another_wheel_is_refused(saved, tmp_path, monkeypatch, cache):
    wheel = write_wheel(tmp_path, contents(saved), NAME, "1.0")
    write_index(tmp_path / "index", wheel)
    address = f"pkg:pypi/{NAME}@1.0#sha256={'0' * 64}"
    with serving(tmp_path / "index", monkeypatch), pytest.raises(DownloadError, match="sha256") as caught:
        modelzoo.info(address)
    assert "\n" not in str(caught.value)
    assert kept(cache) == []


@pytest.mark.parametrize("address", ["pkg:pypi/x", "pkg:pypi/x@1", "pkg:pypi/../x@1#sha256=0", "pkg:pypi/"])
def test_an_address_without_a_checksum_is_refused(address):
    with pytest.raises(UnknownModel, match="Expected pkg:pypi/NAME@VERSION#sha256=DIGEST"):
        modelzoo.info(address)


def test_a_part_that_is_another_is_refused(saved, tmp_path, monkeypatch, capsys, cache):
    monkeypatch.setattr(wheels, "PART_BYTES", (saved / "weights.h5").stat().st_size // 2 + 1)
    made, address = published(saved, tmp_path / "wheels", capsys)
    damaged = next(path for path in made if "part2" in path.name)
    shutil.copyfile(next(path for path in made if "part1" in path.name), damaged)
    write_index(tmp_path / "index", *made)
    with (
        serving(tmp_path / "index", monkeypatch),
        pytest.raises(WeightsUnavailable, match=r"part2.*sha256") as caught,
    ):
        modelzoo.load(address)
    assert "\n" not in str(caught.value)
    assert not list(cache.rglob("*.h5"))
