"""Mirrors and bundles: published the same each time, believed only as far as they can be checked."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tracemalloc
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

import modelzoo
from modelzoo import cli, registry, settings, store, weights
from modelzoo.architectures import synthetic
from modelzoo.errors import ConversionError, DownloadError, UnknownModel, WeightsUnavailable
from modelzoo.registry import Checksum
from modelzoo.store import cache as weight_cache
from modelzoo.store import mirror
from tests.conftest import CAT, ROOT
from tests.fault_server import FaultServer, running
from tests.serving import script, served, write_synthetic

NAME = "mobilenet_v1_0.25_128"  # the smallest, and more than half of it is head
KEY = f"{NAME}.slim"
BIG = "resnet101_mlimages"


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A mirror with one small model."""
    folder = tmp_path_factory.mktemp("mirror")
    script("convert/publish.py").main([NAME, "--synthetic", "-o", str(folder)])
    return folder


@pytest.fixture
def folder(published, tmp_path) -> Path:
    """A mirror that the test may change."""
    return shutil.copytree(published, tmp_path / "mirror")


@pytest.fixture
def use(monkeypatch):
    """Sets the mirrors."""
    return lambda *bases: monkeypatch.setenv(settings.MIRROR, " | ".join(map(str, bases)))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def entry(folder: Path) -> dict:
    return json.loads((folder / "index.json").read_text())["models"][KEY]


def change_index(folder: Path, **values) -> None:
    document = json.loads((folder / "index.json").read_text())
    document["models"][KEY] |= values
    (folder / "index.json").write_text(json.dumps(document))


def disguise(folder: Path, path: Path) -> None:
    """Publishes a file as the model's, with an index that fits it."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    name = f"{KEY}-{sha256[:16]}.h5"
    shutil.copy(path, folder / name)
    change_index(folder, file=name, sha256=sha256, bytes=path.stat().st_size)


def is_right(model) -> bool:
    kernel = model.get_layer("stem_conv").kernel.numpy()
    values = synthetic.values_of(modelzoo.info(NAME).graph)
    return np.array_equal(kernel, values("stem_conv/kernel", kernel.shape))


def test_publishing_twice_gives_the_same_bytes(published, tmp_path):
    before = contents(published)
    publish = script("convert/publish.py").main
    for folder in (published, tmp_path):
        publish([NAME, "--synthetic", "-o", str(folder)])
        assert contents(folder) == before


def test_what_is_published_is_named_by_content_and_has_its_provenance_beside(published):
    stated = entry(published)
    for file, top in ((stated, True), (stated["notop"], False)):
        path = published / file["file"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == file["sha256"]
        assert json.loads(path.with_suffix(".json").read_text()) == weights.provenance(path)
        assert weights.provenance(path).get("top", True) is top
    assert len(contents(published)) == 5
    warning = "it has synthetic weights: predictions are meaningless"
    files = [published / file["file"] for file in (stated, stated["notop"])]
    assert [stated["warning"], *(weights.warning(file) for file in files)] == [warning] * 3


@pytest.mark.parametrize(
    ("said", "warning"),
    [
        ({"warning": "trained on noise"}, {"warning": "trained on noise"}),
        ({"synthetic": True}, {"warning": "it has synthetic weights: predictions are meaningless"}),
        ({}, {}),
    ],
    ids=["today's", "of version 0.1", "none"],
)
def test_an_index_has_the_warning_of_the_provenance(said, warning, tmp_path):
    (tmp_path / "file.h5").write_bytes(b"weights")
    stated = mirror.entry(tmp_path / "file.h5", {"model": KEY, "converter": "none 1"} | said)
    assert {name: value for name, value in stated.items() if name == "warning"} == warning
    assert "synthetic" not in stated


def test_publishing_converts_the_upstreams_files(tmp_path, monkeypatch):
    from tests.test_conversion import GLUON, upstream_arrays, write_params

    name = GLUON.sources[0].urls[0].rpartition("/")[2]
    path = write_params(tmp_path / name, upstream_arrays(GLUON))
    publish = script("convert/publish.py").main
    with pytest.raises(ConversionError, match="is not the official file"):
        publish([GLUON.key, "--from", str(tmp_path), "-o", str(tmp_path / "mirror")])
    assert not list((tmp_path / "mirror").iterdir())
    sha1 = hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
    official = replace(GLUON.sources[0], checksums=(Checksum("sha1", sha1, "file"),))
    known = {GLUON.key: replace(GLUON, sources=(official,)), KEY: registry.info(KEY)}
    monkeypatch.setattr(registry, "info", known.__getitem__)
    publish([GLUON.key, "--from", str(tmp_path), "-o", str(tmp_path / "mirror")])
    ((key, stated),) = json.loads((tmp_path / "mirror" / "index.json").read_text())["models"].items()
    assert (key, stated["converter"]) == (GLUON.key, "gluoncv 1")
    assert "notop" not in stated
    with pytest.raises(SystemExit, match=f"has no file of {KEY}; expected mobilenet"):
        publish([KEY, "--from", str(tmp_path), "-o", str(tmp_path / "mirror")])


def test_a_model_comes_from_the_mirror_once_and_then_from_the_cache(published, use, caplog):
    with served(published) as server:
        use(server.url)
        assert is_right(modelzoo.load(NAME))
        assert server.asked == ["/index.json", f"/{entry(published)['file']}"]
    assert is_right(modelzoo.load(NAME))
    assert caplog.messages == [f"{KEY}: it has synthetic weights: predictions are meaningless"] * 2
    pointer = weight_cache.find(KEY).pointer
    assert (pointer.trust, pointer.source) == (
        "sha256 in the index.json",
        f"{server.url}/{entry(published)['file']}",
    )


def test_without_top_the_smaller_file_is_enough_until_the_top_is_needed(published, use, capfd):
    stated = entry(published)
    with served(published) as server:
        use(server.url)
        for _ in range(2):
            assert is_right(modelzoo.load(NAME, include_top=False))
        assert server.asked[1:] == [f"/{stated['notop']['file']}"]
        assert store.availability(modelzoo.info(NAME)) == "cached without top"
        assert is_right(modelzoo.load(NAME, classes=3))
        assert server.asked[3:] == [f"/{stated['file']}"]
    cli.main(["cache", "--json"])
    assert [file["top"] for file in json.loads(capfd.readouterr().out)] == [False, True]


@pytest.mark.parametrize("form", ["{}", "{}/", "file://{}"])
def test_a_mirror_can_be_a_folder_and_works_offline(form, folder, use, monkeypatch):
    monkeypatch.setenv(settings.OFFLINE, "1")
    use(form.format(folder))
    assert modelzoo.weights_file(NAME).read_bytes() == (folder / entry(folder)["file"]).read_bytes()


def test_mirrors_are_tried_in_order_and_each_failure_is_named(folder, tmp_path, use):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "index.json").write_text('{"format": 1, "models": {}}')
    with served(folder) as server, served(tmp_path) as other:
        use(f"{other.url}/nothing", tmp_path / "empty", server.url, other.url)
        assert modelzoo.weights_file(NAME).is_file()
        assert other.asked == ["/nothing/index.json"]
        use(f"{other.url}/nothing", tmp_path / "empty", tmp_path / "none")
        with pytest.raises(WeightsUnavailable) as caught:
            modelzoo.weights_file(BIG)
    message = str(caught.value)
    reasons = [
        f"{other.url}/nothing: HTTP 404",
        f"{tmp_path}/empty: its index.json does not have",
        f"{tmp_path}/none: no such file",
        urlsplit(modelzoo.info(BIG).sources[0].urls[0]).netloc,
    ]
    assert sorted(reasons, key=message.index) == reasons
    assert "\n" not in message


def altered(folder: Path, tmp_path: Path) -> None:
    path = folder / entry(folder)["file"]
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def truncated(folder: Path, tmp_path: Path) -> None:
    path = folder / entry(folder)["file"]
    path.write_bytes(path.read_bytes()[:-1])


def anothers(folder: Path, tmp_path: Path) -> None:
    disguise(folder, write_synthetic(tmp_path / "other.h5", "resnet9_cifar10.modelzoo"))


def misshapen(folder: Path, tmp_path: Path) -> None:
    weights.write(tmp_path / "part.h5", [("stem_conv/kernel", np.zeros((3, 3, 3, 9)))], {"model": KEY})
    disguise(folder, tmp_path / "part.h5")


def headless(folder: Path, tmp_path: Path) -> None:
    disguise(folder, folder / entry(folder)["notop"]["file"])


def no_weights(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no weights")
    disguise(folder, tmp_path / "text")


LIES = {
    altered: "expected sha256 .*, got",
    truncated: "expected .* bytes",
    anothers: r"holds the weights of resnet9_cifar10\.modelzoo, not of mobilenet",
    misshapen: "do not fit this model",
    headless: "missing: logits",
    no_weights: "is not an HDF5 file",
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_file_that_is_not_what_the_index_or_the_model_says_is_refused(lie, folder, tmp_path, use, cache):
    lie(folder, tmp_path)
    use(folder)
    with pytest.raises(WeightsUnavailable, match=LIES[lie]):
        modelzoo.weights_file(NAME)
    assert list(cache.glob("weights/*")) == list(cache.glob("models/*")) == []


INDEXES = {
    "no JSON": ("<html>", r"malformed|web page"),
    "no object": ("[]", "malformed"),
    "another format": ('{"format": 2, "models": {}}', "of another format: expected 1, got 2"),
    "models that are none": ('{"format": 1, "models": 3}', "malformed"),
    "an entry that is none": ('{"format": 1, "models": {"a.b": 3}}', "malformed"),
    "another name": (
        f'{{"format": 1, "models": {{"a.b": {{"file": "../x", "sha256": "{"0" * 64}", "bytes": 1}}}}}}',
        "another file name than its sha256 gives",
    ),
    "no sha256": (
        '{"format": 1, "models": {"a.b": {"file": "a.b-.h5", "sha256": "", "bytes": 1}}}',
        "file name",
    ),
    "deep": ("[" * 20_000, "malformed"),
    "very deep": ("[" * 100_000, "lists more than 10,000 models"),
    "many models": (
        '{"format": 1, "models": {' + ", ".join(f'"{number}": {{}}' for number in range(30_000)) + "}}",
        "lists more than 10,000 models",
    ),
    "a million empty entries": ("[" + "{}," * 1_300_000 + "{}]", "lists more than 10,000 models"),
    "60 MB of empty entries": (
        "[" + "{}," * 20_000_000 + "{}]",
        r"expected at most 8,388,608 bytes of index\.json, the host has more",
    ),
}


@pytest.mark.parametrize("kind", INDEXES)
def test_an_index_that_is_malformed_is_refused(kind, folder, use):
    text, message = INDEXES[kind]
    (folder / "index.json").write_text(text)
    with pytest.raises(DownloadError, match=message):
        mirror.index(str(folder))


def test_an_endless_index_fills_neither_disk_nor_memory(monkeypatch, cache):
    """All of it was taken before its size was looked at."""
    sent = []

    def endless(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while not handler.server.patience.is_set() and len(sent) < 1000:
            handler.wfile.write(b"10000\r\n" + b"{}," * 21845 + b" \r\n")
            sent.append(2**16)

    with running(FaultServer()) as server:
        server.serve(None, [endless])
        with pytest.raises(DownloadError, match=r"expected at most 8,388,608 bytes of index\.json"):
            mirror.index(server.url)
        server.patience.set()
    assert sum(sent) < 2 * mirror.MAX_INDEX_BYTES + 16 * 2**20  # what is in the sockets
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_an_index_of_as_many_models_as_are_allowed_is_read():
    stated = {"file": f"a-{'0' * 16}.h5", "sha256": "0" * 64, "bytes": 1}
    models = {
        f"model{number}.team": stated | {"file": f"model{number}.team-{'0' * 16}.h5"}
        for number in range(10_000)
    }
    text = mirror.index_text(models).encode()
    assert len(text) < mirror.MAX_INDEX_BYTES
    assert len(mirror.parse(text)) == mirror.MAX_MODELS


@pytest.mark.parametrize("piece", ['"ab",', "1.5,", "12345,", '"ab":"c",'])
def test_whatever_an_index_holds_it_takes_little_memory(piece):
    """In pieces that take many times their length."""
    text = ("{" + piece * (mirror.MAX_INDEX_BYTES // len(piece)))[: mirror.MAX_INDEX_BYTES].encode()
    text = text if ":" in piece else b"[" + text[1:]
    tracemalloc.start()
    try:
        with pytest.raises(DownloadError, match="malformed"):
            mirror.parse(text)
        assert tracemalloc.get_traced_memory()[1] < 128 * 2**20
    finally:
        tracemalloc.stop()


def test_a_bundle_carries_models_to_a_place_without_a_network(
    published, use, cache, tmp_path, capfd, monkeypatch
):
    use(published)
    first, second = tmp_path / "zoo.tar", tmp_path / "again.tar"
    for target in (first, second):
        assert cli.main(["bundle", NAME, "resnet9_cifar10", "-o", str(target)]) == 0
    assert first.read_bytes() == second.read_bytes()
    content = modelzoo.weights_file(NAME).read_bytes()
    shutil.rmtree(cache)
    monkeypatch.delenv(settings.MIRROR)
    monkeypatch.setenv(settings.OFFLINE, "1")
    capfd.readouterr()
    assert cli.main(["unbundle", str(first)]) == 0
    assert len(capfd.readouterr().out.splitlines()) == 2
    assert modelzoo.weights_file(NAME).read_bytes() == content
    assert weight_cache.find(KEY).pointer.source == str(first)


def test_a_bundle_unpacked_is_a_mirror(published, use, cache, tmp_path):
    use(published)
    store.bundle([NAME], tmp_path / "zoo.tar")
    content = modelzoo.weights_file(NAME).read_bytes()
    shutil.rmtree(cache)
    with tarfile.open(tmp_path / "zoo.tar") as archive:
        options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.4 brought it
        archive.extractall(tmp_path / "unpacked", **options)
    use(tmp_path / "unpacked")
    assert modelzoo.weights_file(NAME).read_bytes() == content


def packed(path: Path, folder: Path, *extra: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.add(file, file.name)
        for member in extra:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return path


def member(name: str, **values) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    vars_ = {"size": 0} | values
    for attribute, value in vars_.items():
        setattr(info, attribute, value)
    return info


@pytest.mark.parametrize(
    ("hostile", "message"),
    [
        (member("../outside"), "could lie outside"),
        (member("/etc/outside"), "could lie outside"),
        (member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "is a link"),
        (member("index.json", size=10), "is there twice"),
    ],
    ids=["parent", "absolute", "link", "twice"],
)
def test_a_hostile_bundle_is_refused(hostile, message, folder, tmp_path, cache):
    with pytest.raises(ConversionError, match=message):
        store.unbundle(packed(tmp_path / "zoo.tar", folder, hostile))
    assert not list(cache.glob("models/*"))


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_bundle_with_a_wrong_file_is_refused(lie, folder, tmp_path, cache):
    lie(folder, tmp_path)
    with pytest.raises(ConversionError, match=rf"zoo\.tar: {re.escape(KEY)}: .*{LIES[lie]}"):
        store.unbundle(packed(tmp_path / "zoo.tar", folder))
    assert not list(cache.glob("models/*"))


def test_a_bundle_with_a_malformed_index_is_refused(folder, tmp_path):
    (folder / "index.json").write_text("[]")
    with pytest.raises(ConversionError, match=r"zoo\.tar: its index\.json is malformed"):
        store.unbundle(packed(tmp_path / "zoo.tar", folder))


def test_a_mirror_that_is_no_address_is_one_failure_among_others(folder, use):
    use("http://someone:s3cret@[", folder)
    assert modelzoo.weights_file(NAME).is_file()
    with pytest.raises(WeightsUnavailable, match=r"http://\[: the address cannot be understood") as caught:
        modelzoo.weights_file(BIG)
    assert "s3cret" not in str(caught.value)


def test_a_bundle_of_models_that_are_not_known_is_refused(folder, tmp_path):
    text = (folder / "index.json").read_text().replace(KEY, "unknown.team")
    (folder / "index.json").write_text(text)
    with pytest.raises(UnknownModel, match=r"unknown\.team"):
        store.unbundle(packed(tmp_path / "zoo.tar", folder))


@pytest.mark.parametrize("content", [b"no tar", b"", None])
def test_what_is_not_a_bundle_is_refused(content, tmp_path, folder):
    (folder / "index.json").unlink()
    packed(tmp_path / "zoo.tar", folder) if content is None else (tmp_path / "zoo.tar").write_bytes(content)
    with pytest.raises(ConversionError, match="is not a bundle"):
        store.unbundle(tmp_path / "zoo.tar")


def test_publish_serve_classify_and_again_with_the_server_gone(tmp_path, cache, monkeypatch):
    """As a user would, in processes of their own, with the largest head of the zoo."""
    script("convert/publish.py").main([BIG, "--synthetic", "-o", str(tmp_path / "mirror")])
    command = [sys.executable, "-m", "modelzoo", "classify", "-m", BIG, str(CAT), "--json"]
    with served(tmp_path / "mirror") as server:
        monkeypatch.setenv(settings.MIRROR, server.url)
        runs = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True)]
    runs.append(subprocess.run(command, cwd=ROOT, capture_output=True, text=True))
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr
    assert runs[0].stdout == runs[1].stdout
    assert len(json.loads(runs[0].stdout)["predictions"]) == 5
    assert all("synthetic weights" in run.stderr for run in runs)
    assert len(list(cache.glob("weights/*"))) == 1
