"""What the disk did to a file is found before a number of it is used: weight files and compiled networks."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import google_crc32c
import numpy as np
import pytest

import modelzoo
from modelzoo import cli, files, registry, runtimes, settings, store, weights
from modelzoo.architectures import synthetic
from modelzoo.errors import WeightsUnavailable
from modelzoo.runtimes import Deployment, compiled
from modelzoo.store import bundled
from modelzoo.store import cache as weight_cache
from modelzoo.zoo import NetworkOptions
from tests.damage import flip, flipped_networks, flipped_weights
from tests.serving import CUSTOM, custom_registry, served, write_synthetic
from tests.unprivileged import run, unreadable

FLIPS = 10  # python -m tests.damage 200 takes more
IMAGES = synthetic.images(32, 32)


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory) -> Path:
    """The weight file of the custom model."""
    return write_synthetic(tmp_path_factory.mktemp("tiny") / "tiny.h5", CUSTOM, like="resnet9_cifar10")


@pytest.fixture
def host(tiny_file, tmp_path, monkeypatch):
    """A server with the file, and MODELZOO_REGISTRY with the model."""
    (tmp_path / "host").mkdir()
    shutil.copy(tiny_file, tmp_path / "host" / "tiny.h5")
    with served(tmp_path / "host") as server:
        path = custom_registry(tmp_path / "registry.json", tiny_file, f"{server.url}/tiny.h5")
        monkeypatch.setenv(settings.REGISTRY, str(path))
        yield server


@pytest.fixture
def cached(host) -> Path:
    """The file in the cache."""
    return modelzoo.weights_file(CUSTOM)


@pytest.fixture
def by_hand(host, tiny_file) -> Path:
    """The file in the cache, as the user added it; the host has it, too."""
    return modelzoo.add(CUSTOM, tiny_file)


def predictor(given=store.PRETRAINED, name=CUSTOM):
    return runtimes.predictor(Deployment(name, given, "openvino"), NetworkOptions())


def networks(cache: Path) -> list[Path]:
    return sorted((cache / "compiled").glob("*"))


def pointer_of(name: str = CUSTOM) -> Path:
    return weight_cache.find(name).pointer_path


def change_pointer(**values) -> None:
    path = pointer_of()
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def damaged(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.damaged"))


# Weight files


def test_no_flipped_bit_of_a_cached_file_gets_into_a_model(cached, tiny_file):
    assert flipped_weights(CUSTOM, tiny_file, FLIPS) == {"obtained again": FLIPS}


def test_no_flipped_bit_is_accepted_where_the_file_comes_from_nowhere_else(cached, host):
    host.close()
    content = cached.read_bytes()
    flip(cached, random.Random(1))
    with pytest.raises(WeightsUnavailable, match=r"are not available: the cache .* does not have them"):
        modelzoo.load(CUSTOM)
    (place,) = damaged(cached)
    assert not cached.exists()
    cached.write_bytes(content)
    assert modelzoo.weights_file(CUSTOM) == cached
    assert place.exists()


def test_what_was_damaged_is_named_once(cached, caplog):
    flip(cached, random.Random(2))
    modelzoo.load(CUSTOM)
    assert caplog.messages == [f"{cached} is damaged; it is now {cached.name}.damaged"]


def test_a_pointer_of_an_earlier_version_gets_its_checksum_at_the_first_use(cached):
    stated = json.loads(pointer_of().read_text())
    assert stated["crc32c"] == files.crc32c(cached)
    pointer_of().write_text(json.dumps({name: stated[name] for name in stated if name != "crc32c"}))
    assert modelzoo.weights_file(CUSTOM) == cached
    assert json.loads(pointer_of().read_text()) == stated


def test_a_file_of_an_earlier_version_is_checked_by_its_sha256(cached, tiny_file):
    change_pointer(crc32c=None)
    flip(cached, random.Random(3))
    assert modelzoo.weights_file(CUSTOM).read_bytes() == tiny_file.read_bytes()
    assert damaged(cached)


@pytest.mark.parametrize("wrong", [{"crc32c": "00000000"}, {"bytes": 1}])
def test_a_pointer_that_is_wrong_is_corrected_and_the_file_stays(wrong, cached, host):
    stated = pointer_of().read_text()
    pointer = pointer_of()
    change_pointer(**wrong)
    assert modelzoo.weights_file(CUSTOM) == cached
    assert pointer.read_text() == stated
    assert damaged(cached) == []
    assert len(host.asked) == 1


def test_a_root_that_is_only_read_is_checked_too_and_not_written_to(cached, cache, tmp_path, monkeypatch):
    change_pointer(crc32c=None)
    before = pointer_of().read_text()
    monkeypatch.setenv(settings.CACHE, f"{tmp_path / 'mine'}{os.pathsep}{cache}")
    (tmp_path / "mine").mkdir()
    assert modelzoo.weights_file(CUSTOM) == cached
    assert pointer_of().read_text() == before
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_file_that_was_damaged_on_its_way_to_the_disk_gets_no_pointer(host, monkeypatch):
    def fetch(url, path, **arguments):
        real(url, path, **arguments)
        flip(path, random.Random(4))

    real = store.sources.download.fetch
    monkeypatch.setattr(store.sources.download, "fetch", fetch)
    with pytest.raises(WeightsUnavailable, match=r"expected sha256 \w+, found \w+ on the disk"):
        modelzoo.weights_file(CUSTOM)
    assert weight_cache.find(CUSTOM) is None


def test_the_bundled_file_has_the_checksum_that_the_package_records():
    for key in modelzoo.list_models():
        path = bundled.bundled_path(registry.info(key))
        if path.exists():
            assert path.with_suffix(".json").read_text() == bundled.record(path)


@pytest.mark.parametrize("what", ["file", "record"])
def test_a_bundled_file_that_is_damaged_is_refused(what, tmp_path, monkeypatch):
    entry = registry.info("resnet9_cifar10")
    path = tmp_path / bundled.bundled_path(entry).name
    for ending in (".h5", ".json"):
        shutil.copy(bundled.bundled_path(entry).with_suffix(ending), path.with_suffix(ending))
    monkeypatch.setattr(bundled, "bundled_path", lambda entry: path)
    assert modelzoo.weights_file(entry.key) == path
    flip(path, random.Random(5)) if what == "file" else path.with_suffix(".json").write_text("{")
    reason = "it is damaged" if what == "file" else "its record cannot be read"
    with pytest.raises(
        WeightsUnavailable,
        match=rf"which comes with modelzoo, cannot be used: {reason}\. Reinstall modelzoo",
    ):
        modelzoo.load(entry.key)


# Files that were added by hand: others' weights give other numbers


def test_a_file_added_by_hand_is_never_replaced_by_anothers(by_hand, host, tiny_file):
    flip(by_hand, random.Random(6))
    for condition in ("damaged", "missing"):
        with pytest.raises(
            WeightsUnavailable,
            match=rf"added by hand 20.*, is {condition}. Add the file again: modelzoo add {CUSTOM} FILE",
        ):
            modelzoo.load(CUSTOM)
    assert host.asked == []
    assert modelzoo.add(CUSTOM, tiny_file) == by_hand
    assert modelzoo.load(CUSTOM)


def test_prune_keeps_a_damaged_file_that_was_added_by_hand_and_says_so(by_hand, tiny_file, caplog):
    flip(by_hand, random.Random(7))
    cli.main(["cache", "verify"])
    (place,) = damaged(by_hand)
    with caplog.at_level("WARNING"):
        removed = [path for path, _ in store.prune.prune()]
    assert place not in removed
    assert place.exists()
    assert f"{place} was added by hand and is damaged; it is kept" in caplog.text
    modelzoo.add(CUSTOM, tiny_file)
    assert place in [path for path, _ in store.prune.prune()]


def test_remove_also_removes_a_damaged_file(by_hand):
    flip(by_hand, random.Random(8))
    cli.main(["cache", "verify"])
    assert cli.main(["cache", "remove", CUSTOM]) == 0
    assert damaged(by_hand) == []
    assert modelzoo.weights_file(CUSTOM)  # the host's


# Compiled networks


def test_no_flipped_bit_of_a_compiled_network_gets_into_an_answer(cached):
    assert flipped_networks(CUSTOM, IMAGES, FLIPS) == {"compiled again": FLIPS}


def test_a_flipped_bit_in_the_compiled_network_of_a_users_file_is_found(cached, tiny_file, cache, caplog):
    expected = predictor(tiny_file).predict(IMAGES)
    (path,) = networks(cache)
    flip(path, random.Random(9))
    np.testing.assert_array_equal(predictor(tiny_file).predict(IMAGES), expected)
    assert caplog.messages == [f"{path} is damaged: the network is compiled again"]
    assert networks(cache) == [path]
    assert compiled.is_sound(path)


@pytest.fixture
def network(cached, cache) -> Path:
    """A file of the cache that says it is a compiled network of the custom model; no runtime takes it."""
    key = compiled.Key(cached.stem, '{"facts": "of no runtime"}')
    compiled.keep(key, lambda file: file.write(bytes(range(256))), "a warning")
    assert compiled.find(key).warning == "a warning"
    (path,) = networks(cache)
    return path


def test_cache_verify_covers_compiled_networks(network, cache, capfd):
    assert cli.main(["cache", "verify"]) == 0
    assert capfd.readouterr().out == f"{CUSTOM}: sound\n{CUSTOM}: sound (compiled network)\n"
    flip(network, random.Random(10))
    content = network.read_bytes()
    assert cli.main(["cache", "verify", "resnet9_cifar10"]) == 0
    assert cli.main(["cache", "verify", CUSTOM]) == 1
    assert f"{CUSTOM}: {network} is damaged; it is removed" in capfd.readouterr().out
    assert networks(cache) == []
    network.write_bytes(content)
    assert cli.main(["cache", "verify", "--json"]) == 1
    facts = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(f["kind"], f["sound"]) for f in facts] == [("weights", True), ("compiled network", False)]


def test_cache_verify_compares_the_sha256_of_a_network_too(network):
    """A CRC-32C can be made to fit by whoever changes a file."""
    content = network.read_bytes().replace(b"\x01", b"\x02", 1)
    begin = content[: -compiled.CRC32C.size - len(compiled.MARK)]
    network.write_bytes(begin + compiled.CRC32C.pack(google_crc32c.value(begin)) + compiled.MARK)
    assert compiled._read(network)
    assert not compiled.is_sound(network)


def test_weights_that_came_anew_are_not_compiled_under_the_old_ones_name(cached, cache, host, tmp_path):
    """The mirror may have others by now."""
    expected = predictor().predict(IMAGES)
    (old,) = networks(cache)
    old.unlink()
    other = tmp_path / "host" / "tiny.h5"
    entry = registry.info(CUSTOM)
    arrays = {name: array * np.float32(0.9) for name, array in weights.read(other)}
    weights.write(other, arrays.items(), {"model": CUSTOM})
    original = cached.read_bytes()
    flip(cached, random.Random(11))
    document = json.loads(Path(os.environ[settings.REGISTRY]).read_text())
    document["models"][CUSTOM]["weights"][0] |= {"sha256": files.sha256(other), "bytes": other.stat().st_size}
    Path(os.environ[settings.REGISTRY]).write_text(json.dumps(document))
    registry.custom.with_custom.cache_clear()
    assert registry.info(CUSTOM) != entry
    assert not np.allclose(predictor().predict(IMAGES), expected, rtol=1e-3)
    (new,) = networks(cache)
    assert new != old
    cached.write_bytes(original)
    change_pointer(sha256=files.sha256(cached), crc32c=files.crc32c(cached), bytes=cached.stat().st_size)
    np.testing.assert_array_equal(predictor().predict(IMAGES), expected)


# What cannot be read just now is not damaged


def test_a_file_that_cannot_be_opened_is_left_alone(by_hand, cache, capfd):
    content = by_hand.read_bytes()
    with unreadable(by_hand):
        for code in (f"modelzoo.weights_file({CUSTOM!r})", f"modelzoo.load({CUSTOM!r})"):
            process = run(code)
            assert "WeightsUnavailable" in process.stderr
            assert (
                f"{by_hand} cannot be read just now (Permission denied). Nothing was changed"
                in process.stderr
            )
        process = run("import sys; from modelzoo import cli; sys.exit(cli.main(['cache', 'verify']))")
        assert process.returncode == 1
        assert f"{by_hand} cannot be read just now (Permission denied)" in process.stdout
        assert run("from modelzoo.store.prune import prune; print(list(prune()))").stdout == "[]\n"
    assert by_hand.read_bytes() == content
    assert damaged(by_hand) == []
    assert modelzoo.weights_file(CUSTOM) == by_hand


def test_a_file_that_cannot_be_opened_when_it_is_read_is_left_alone(cached, monkeypatch):
    """It could be opened a moment ago, when it was located."""

    def refused(path, algorithms):
        raise PermissionError(13, "Permission denied", str(path))

    located = store.locate(registry.info(CUSTOM))
    with monkeypatch.context() as patched:
        patched.setattr(files, "digests", refused)
        with pytest.raises(WeightsUnavailable, match=r"cannot be read just now \(Permission denied\)"):
            store.checked(located)
    assert store.checked(located) == located


def test_a_pointer_that_cannot_be_opened_keeps_its_file(by_hand, cache):
    pointer = pointer_of()
    for path in (by_hand, pointer):
        os.utime(path, (0, 0))
    with unreadable(pointer):
        process = run(f"modelzoo.weights_file({CUSTOM!r})")
        assert f"{pointer} cannot be read just now (Permission denied). Nothing was changed" in process.stderr
        assert run("from modelzoo.store.prune import prune; print(list(prune()))").stdout == "[]\n"
        assert run("from modelzoo import cli; cli.main(['list'])").returncode == 0
    assert modelzoo.weights_file(CUSTOM) == by_hand


@pytest.mark.parametrize("what", ["file", "pointer"])
def test_a_root_beside_the_home_that_cannot_be_read_is_passed_by(what, cached, cache, host, tmp_path):
    path = cached if what == "file" else pointer_of()
    roots = f"{tmp_path / 'mine'}{os.pathsep}{cache}"
    with unreadable(path):
        code = f"print(modelzoo.weights_file({CUSTOM!r}))"
        process = run(code, **{settings.CACHE: roots})
    assert str(tmp_path / "mine") in process.stdout
    assert process.stderr == f"{path} cannot be read just now (Permission denied): it is passed by\n"
    assert len(host.asked) == 2
    assert damaged(cached) == []


# A name is given to what is on the disk


@pytest.fixture
def order(monkeypatch) -> list[tuple[str, str]]:
    """What reaches the disk and which names are given, in their order."""
    found: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def fsynced(descriptor):
        found.append(("synced", os.path.realpath(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def replaced(source, target):
        found.append(("renamed", f"{source}>{target}"))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsynced)
    monkeypatch.setattr(os, "replace", replaced)
    return found


def written(path) -> None:
    with weight_cache.writing(path) as file:
        file.write(b"{}")


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="tells by it which file is synced")
def test_every_file_is_on_the_disk_before_it_has_its_name(order, host, cache, tmp_path, tiny_file):
    files_given = {
        "small": lambda: written(cache / "models" / "x.json"),
        "downloaded": lambda: modelzoo.weights_file(CUSTOM),
        "added": lambda: modelzoo.add(CUSTOM, tiny_file),
        "compiled": predictor,
        "written": lambda: weights.write(tmp_path / "a.h5", [("a/b", np.zeros(3))], {}),
    }
    settings.cache_home()
    for name, act in files_given.items():
        order.clear()
        act()
        renames = [index for index, (what, _) in enumerate(order) if what == "renamed"]
        assert renames, name
        for index in renames:
            source, target = order[index][1].split(">")
            assert ("synced", source) in order[:index], (name, order)
            assert ("synced", str(Path(target).parent)) in order[index:], (name, order)


# Where nothing can be kept


def test_a_network_that_cannot_be_kept_says_what_to_set(cached, cache, monkeypatch, caplog):
    def full(target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weight_cache, "writing", full)
    compiled.keep(compiled.Key(cached.stem, "{}"), lambda file: file.write(b"network"), None)
    advice = f"MODELZOO_CACHE=FOLDER{os.pathsep}{cache} writes to FOLDER and reads from both."
    again = f"The compiled network of {cached.stem} cannot be kept, so that every start compiles it again:"
    assert caplog.messages == [f"{again} No space left on device. {advice}"]
