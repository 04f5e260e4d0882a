"""A file is what its checksum says, or it is not there at all."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import modelzoo
from modelzoo import download, registry, weights
from modelzoo.download import web
from modelzoo.errors import DownloadError, WeightsUnavailable
from modelzoo.registry import HostedFile

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = {"/file": CONTENT, "/page": b"\n<!DOCTYPE html><html></html>", "/short": CONTENT[:1000]}.get(
            self.path
        )
        body = self.server.files.get(self.path, body)
        redirect = self.server.redirects.get(self.path)
        self.send_response(302 if redirect else 200 if body else 404)
        for name, value in (redirect or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(CONTENT if self.path == "/short" else body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.redirects = {}, {}
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def url(server):
    return f"http://127.0.0.1:{server.server_port}"


def test_a_file_arrives_whole(url, tmp_path):
    target = tmp_path / "deep" / "file.bin"
    download.fetch(f"{url}/file", target, checksums={"sha256": SHA256}, size=len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("path", "known", "message"),
    [
        ("/nothing", {}, "HTTP 404"),
        ("/page", {}, "a web page came instead of a file"),
        ("/file", {"size": len(CONTENT) + 1}, r"wanted 1,280,001 bytes, 1,280,000 came"),
        ("/file", {"size": 10}, "wanted 10 bytes, more came"),
        ("/file", {"checksums": {"sha256": "0" * 64}}, f"wanted sha256 0000.*, got {SHA256}"),
        ("/file", {"checksums": {"sha256": SHA256, "md5": "0" * 32}}, "wanted md5 0000"),
        ("/short", {}, "no connection, or it broke off"),
    ],
)
def test_wrong_content_raises_and_leaves_nothing(path, known, message, url, tmp_path):
    with pytest.raises(DownloadError, match=message):
        download.fetch(f"{url}{path}", tmp_path / "file.bin", **known)
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_survives_a_failed_download(url, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"before")
    with pytest.raises(DownloadError):
        download.fetch(f"{url}/file", tmp_path / "file.bin", size=3)
    assert (tmp_path / "file.bin").read_bytes() == b"before"


def test_a_server_that_is_gone_is_no_connection(server, url, tmp_path):
    server.server_close()
    with pytest.raises(DownloadError, match="no connection"):
        download.fetch(f"{url}/file", tmp_path / "file.bin")


@pytest.fixture
def hub(server, url, monkeypatch):
    """An address that, like the Hugging Face hub, states a checksum and redirects to another host."""
    monkeypatch.setattr(web, "SECURE", "http")  # a server with a certificate would be much ado

    def states(etag, file="/file"):
        storage = url.replace("127.0.0.1", "localhost")
        server.redirects["/hub"] = {"Location": f"{storage}{file}", "X-Linked-ETag": etag}
        return f"{url}/hub"

    return states


def test_the_checksum_that_the_host_states_is_verified(hub, tmp_path):
    assert download.fetch(hub(f'"{SHA256}"'), tmp_path / "file.bin") == ["sha256 stated by the host"]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_another_file_than_the_host_states_is_refused(hub, tmp_path):
    with pytest.raises(DownloadError, match=f"wanted sha256 0000.*, got {SHA256}"):
        download.fetch(hub(f'"{"0" * 64}"'), tmp_path / "file.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_published_checksum_goes_before_the_stated_one(hub, tmp_path):
    assert download.fetch(hub("0" * 64), tmp_path / "file.bin", checksums={"sha256": SHA256}) == []


@pytest.mark.parametrize("etag", ["0" * 40, f'W/"{"0" * 64}"', "0" * 63 + "x", ""])
def test_an_etag_that_is_no_sha256_proves_nothing(etag, hub, tmp_path):
    assert download.fetch(hub(etag), tmp_path / "file.bin") == []


def test_a_checksum_that_came_over_http_proves_nothing(hub, monkeypatch, tmp_path):
    monkeypatch.setattr(web, "SECURE", "https")
    assert download.fetch(hub("0" * 64), tmp_path / "file.bin") == []


def test_a_checksum_stated_by_another_host_proves_nothing(hub, server, tmp_path):
    address = hub("", file="/storage")
    server.redirects["/storage"] = {"Location": "/file", "X-Linked-ETag": "0" * 64}
    assert download.fetch(address, tmp_path / "file.bin") == []


@pytest.fixture
def entries(monkeypatch):
    """Replaces an entry of the registry for one test."""

    def use(entry):
        monkeypatch.setattr(registry, "info", lambda name: entry)

    return use


def hosted(url, path, size) -> HostedFile:
    return HostedFile(url, hashlib.sha256(path.read_bytes()).hexdigest(), size or path.stat().st_size)


def test_a_hosted_file_is_fetched_once_and_then_cached(server, url, resnet18_file, entries):
    server.files["/resnet18.h5"] = resnet18_file.read_bytes()
    entry = modelzoo.info("resnet18_v1b")
    entries(
        replace(
            entry,
            weights=(
                hosted(f"{url}/gone.h5", resnet18_file, None),
                hosted(f"{url}/resnet18.h5", resnet18_file, None),
            ),
        )
    )
    path = modelzoo.weights_file("resnet18_v1b")
    assert path.read_bytes() == resnet18_file.read_bytes()
    server.files.clear()
    assert modelzoo.weights_file("resnet18_v1b") == path


def test_an_upstream_file_is_fetched_converted_and_only_the_result_kept(
    server, url, entries, tmp_path, cache
):
    from tests.test_conversion import upstream_arrays, write_params

    entry = modelzoo.info("resnet18_v1b")
    params = write_params(tmp_path / "a.params", upstream_arrays(entry))
    server.files["/a.params"] = params.read_bytes()
    checksum = replace(entry.sources[0].checksums[0], value=hashlib.sha1(params.read_bytes()).hexdigest())
    source = replace(entry.sources[0], urls=(f"{url}/a.params",), checksums=(checksum,))
    entries(replace(entry, sources=(source,)))
    path = modelzoo.weights_file("resnet18_v1b")
    assert {file.parent.name for file in cache.rglob("*") if file.is_file()} == {"locks", "models", "weights"}
    assert list(path.parent.iterdir()) == [path]
    assert modelzoo.load("resnet18_v1b", include_top=False) is not None


def test_an_upstream_file_with_another_checksum_is_refused_and_nothing_kept(
    server, url, entries, tmp_path, cache
):
    from tests.test_conversion import upstream_arrays, write_params

    entry = modelzoo.info("resnet18_v1b")
    server.files["/a.params"] = write_params(tmp_path / "a.params", upstream_arrays(entry)).read_bytes()
    entries(replace(entry, sources=(replace(entry.sources[0], urls=(f"{url}/a.params",)),)))
    with pytest.raises(WeightsUnavailable, match=r"/a\.params: a\.params is not the official file"):
        modelzoo.weights_file("resnet18_v1b")
    assert {file.suffix for file in cache.rglob("*") if file.is_file()} == {".lock"}


def test_the_next_source_is_tried_and_the_stated_checksum_goes_into_the_receipt(
    server, url, hub, entries, tmp_path
):
    from tests.test_conversion import is_synthetic
    from tests.test_timm import write_safetensors

    entry = modelzoo.info("resnet18_v1b")
    content = write_safetensors(tmp_path / "a.safetensors", entry).read_bytes()
    server.files["/model.safetensors"] = content
    sha256 = hashlib.sha256(content).hexdigest()
    gluon, timm = entry.sources
    mirror = replace(timm, urls=(hub(sha256, file="/model.safetensors"),))
    entries(replace(entry, sources=(replace(gluon, urls=(f"{url}/nothing",)), mirror)))
    path = modelzoo.weights_file("resnet18_v1b")
    receipt = weights.receipt(path)
    assert receipt["source"] == [{"name": "hub", "sha256": sha256}]
    assert (receipt["converter"], receipt["verified"]) == ("timm 1", ["sha256 stated by the host"])
    assert is_synthetic(path)
