"""What every test shares: an empty cache, no network beyond this machine, and files made once."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["MODELZOO_MODEL"] = "resnet9_cifar10"  # nothing is fetched where no model is named
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # TensorFlow's plain kernels round less

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
CAT = ROOT / "examples" / "cat.jpg"
LOCAL = ("127.0.0.1", "::1", "localhost")


@pytest.fixture(autouse=True, scope="session")
def _shared_cache(tmp_path_factory):
    """Where fixtures that are made once keep what they compile: never the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELZOO_CACHE", str(tmp_path_factory.mktemp("shared") / "cache"))
        yield


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MODELZOO_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _leaves_nothing():
    """A test that leaves another environment or working folder behind would fail a later one."""
    before = _surroundings()
    yield
    assert _surroundings() == before


def _surroundings() -> tuple[str, dict[str, str]]:
    ours = {
        name: value for name, value in os.environ.items() if name.startswith(("MODELZOO", "KERAS", "TF_"))
    }
    return os.getcwd(), ours


@pytest.fixture(autouse=True)
def _no_network(_leaves_nothing, monkeypatch):
    """Addresses beyond this machine cannot be reached, as on an aeroplane."""
    connect, lookup = socket.socket.connect, socket.getaddrinfo

    def local_connect(self, address):
        if isinstance(address, tuple) and address[0] not in LOCAL:
            raise OSError(f"the tests have no network: {address}")
        return connect(self, address)

    def local_lookup(host, *arguments, **options):
        if host not in LOCAL:
            raise socket.gaierror(f"the tests have no network: {host}")
        return lookup(host, *arguments, **options)

    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)  # pip is a process of its own
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # where nobody answers
    monkeypatch.setattr(socket.socket, "connect", local_connect)
    monkeypatch.setattr(socket, "getaddrinfo", local_lookup)


@pytest.fixture(scope="session")
def resnet18_file(tmp_path_factory) -> Path:
    """A weight file: resnet18_v1b.gluon with synthetic weights."""
    from modelzoo import conversion, registry, weights
    from modelzoo.architectures import synthetic

    path = tmp_path_factory.mktemp("files") / "resnet18_v1b.gluon.h5"
    shapes = conversion.weight_shapes(registry.info("resnet18_v1b"))
    weights.write(
        path,
        ((name, synthetic.array(name, shape)) for name, shape in shapes.items()),
        {"model": "resnet18_v1b.gluon"},
    )
    return path


def pytest_terminal_summary(terminalreporter):
    """The figures that tests recorded: of models compared, of transfers with faults, of the code."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    recorded = [pair for report in reports for pair in report.user_properties]
    if rows := sorted(value for name, value in recorded if name == "parity"):
        from tests.parity import HEADER

        terminalreporter.section("parity")
        for line in (HEADER, *rows):
            terminalreporter.write_line(line)
    if cases := [value for name, value in recorded if name == "transfer"]:
        terminalreporter.section("fault matrix")
        terminalreporter.write_line(
            f"{len(cases)} transfers (faults x positions x once or always x checksum or none): "
            f"{cases.count('arrived')} arrived, {cases.count('refused')} refused, 0 lost"
        )
    if shape := sorted(value for name, value in recorded if name == "shape"):
        terminalreporter.section("shape of the code")
        for line in shape:
            terminalreporter.write_line(line)
