"""Our weights as wheels: the same bytes each time, taken by pip itself, and by modelzoo from any index."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import numpy as np
import pytest

import modelzoo
from modelzoo import registry, settings, weights
from modelzoo.registry.parsing import DISTRIBUTION
from modelzoo.store import cache as weight_cache
from modelzoo.verification.comparison import synthetic_weights
from scripts.convert import publish, wheels
from tests.serving import CUSTOM, custom_registry, write_synthetic
from tests.wheels import serving, write_index

LIMIT = 100_000_000  # bytes of a wheel


@pytest.fixture
def named(tmp_path, monkeypatch):
    """Writes a registry with one small model, whose `weights` are given, and sets MODELZOO_REGISTRY to it."""
    weight_file = write_synthetic(tmp_path / "a.h5", CUSTOM, like="resnet9_cifar10")

    def name(hosted: list, file: str) -> None:
        path = custom_registry(tmp_path / file, weight_file, "https://example.org/a.h5")
        document = json.loads(path.read_text())
        document["models"][CUSTOM]["weights"] = hosted
        path.write_text(json.dumps(document))
        monkeypatch.setenv(settings.REGISTRY, str(path))

    name([], "without.json")
    return name


def published(folder: Path, *options: str) -> tuple[list[Path], dict]:
    """The wheels of the small model, and what the entry's `weights` say."""
    publish.main([CUSTOM, "--synthetic", "--wheels", "-o", str(folder), *options])
    return sorted(folder.glob("*.whl")), json.loads((folder / "weights.json").read_text())


def pip(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("parts", [1, 3])
def test_published_wheels_are_served_installed_by_pip_and_read_by_modelzoo(
    parts, named, tmp_path, monkeypatch, cache
):
    if parts > 1:
        size = (tmp_path / "a.h5").stat().st_size
        monkeypatch.setattr(wheels, "PART_BYTES", size // parts + 1000)
    made, stated = published(tmp_path / "wheels")
    assert len(made) == len(stated[CUSTOM][0]["packages"]) == parts
    names = [package["distribution"] for package in stated[CUSTOM][0]["packages"]]
    assert names[0] == "modelzoo-weights-tiny-team" + ("-part1" if parts > 1 else "")
    write_index(tmp_path / "index", *made)
    named(stated[CUSTOM], f"with-{parts}.json")
    with serving(tmp_path / "index", monkeypatch) as server:
        done = pip("install", "--no-deps", "--target", str(tmp_path / "installed"), *names)
        assert done.returncode == 0, done.stdout + done.stderr
        server.asked.clear()
        path = modelzoo.weights_file(CUSTOM)
    assert len([asked for asked in server.asked if asked.endswith(".whl")]) == parts
    members = [package["member"] for package in stated[CUSTOM][0]["packages"]]
    assert b"".join((tmp_path / "installed" / member).read_bytes() for member in members) == path.read_bytes()
    assert not list((tmp_path / "installed").rglob("*.py*"))
    assert weights.provenance(path)["model"] == CUSTOM
    pointer = weight_cache.find(CUSTOM).pointer
    assert pointer.trust == "published sha256"
    assert pointer.source == " + ".join(f"pkg:pypi/{name}@1.0" for name in names)
    expected = synthetic_weights(registry.info(CUSTOM))
    assert all(np.array_equal(array, expected[name]) for name, array in weights.read(path))
    assert {file.parent.name for file in cache.rglob("*") if file.is_file()} == {"locks", "models", "weights"}


def test_publishing_twice_gives_the_same_bytes(named, tmp_path):
    first, stated = published(tmp_path / "one")
    second, again = published(tmp_path / "two")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert stated == again


def test_a_wheel_says_what_it_is_and_every_member_has_its_checksum(named, tmp_path):
    ((path,), stated) = published(tmp_path / "wheels", "--version", "2.1")
    package = stated[CUSTOM][0]["packages"][0]
    assert path.name == "modelzoo_weights_tiny_team-2.1-py3-none-any.whl"
    assert package["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    with zipfile.ZipFile(path) as archive:
        info = "modelzoo_weights_tiny_team-2.1.dist-info"
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        assert (metadata["Name"], metadata["Version"]) == (package["distribution"], "2.1")
        assert metadata["License"] == registry.info(CUSTOM).licenses.weights == "Apache-2.0"
        assert "Warning: it has synthetic weights" in metadata.get_payload()
        provenance = json.loads(archive.read("modelzoo_weights_tiny_team/tiny.team.json"))
        assert provenance["model"] == CUSTOM
        assert b"Apache License" in archive.read("modelzoo_weights_tiny_team/LICENSE")
        rows = list(csv.reader(archive.read(f"{info}/RECORD").decode().splitlines()))
        assert [row[0] for row in rows] == archive.namelist()
        for name, digest, size in rows[:-1]:
            data = archive.read(name)
            value = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={value}", str(len(data)))


def test_float16_halves_the_bytes_and_its_effect_is_measured(named, tmp_path, capsys):
    (whole,), _ = published(tmp_path / "whole")
    capsys.readouterr()
    (half,), stated = published(tmp_path / "half", "--f16")
    out = capsys.readouterr().out
    error = float(out.split("relative L2 error of the logits ")[1].split()[0])
    assert 1e-5 < error < 1e-2
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    (package,) = stated[CUSTOM][0]["packages"]
    assert package["distribution"] == "modelzoo-weights-tiny-team-f16"
    with zipfile.ZipFile(half) as archive:
        archive.extract(package["member"], tmp_path)
    provenance = weights.provenance(tmp_path / package["member"])
    assert error <= provenance["float16_logits_error_below"] < 10 * error
    again, _ = published(tmp_path / "again", "--f16")
    assert again[0].read_bytes() == half.read_bytes()


@pytest.mark.parametrize(
    ("error", "bound"), [(0.0, 0.0), (1.01e-3, 2e-3), (1e-3, 1e-3), (9.5e-4, 1e-3), (0.7, 0.7)]
)
def test_a_bound_is_the_error_rounded_up_to_one_digit(error, bound):
    assert wheels.bound_of(error) == pytest.approx(bound)


def test_every_model_has_a_valid_name_of_its_own():
    names = [wheels.distribution(key, half=half) for key in modelzoo.list_models() for half in (False, True)]
    assert len(set(names)) == len(names)
    assert all(DISTRIBUTION.fullmatch(name) and name == name.lower() for name in names)


def test_a_wheel_is_below_the_limit_of_indexes():
    overhead = 1_000_000  # provenance, metadata and license have some 20,000
    assert wheels.PART_BYTES + overhead <= LIMIT


@pytest.mark.parametrize("options", [("--f16",), ("--wheels", "--version", "1;x")])
def test_wrong_usage_is_refused(options, tmp_path):
    with pytest.raises(SystemExit):
        publish.main(["resnet9_cifar10", "-o", str(tmp_path), *options])


def test_a_model_without_a_license_is_pointed_out(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(wheels, "write", lambda *arguments: {"packages": []})
    key = next(key for key in modelzoo.list_models() if modelzoo.info(key).licenses.weights is None)
    monkeypatch.setattr(publish, "write_whole", lambda *arguments: None)
    publish.main([key, "--wheels", "-o", str(tmp_path)])
    assert "state no license of the weights" in capsys.readouterr().out
