"""Wheels made for a test, and a package index of them on this machine."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from modelzoo.registry import Package
from tests.serving import served

DISTRIBUTION, VERSION = "tiny-weights", "0.1.0"
MEMBER = "tiny_weights/models/tiny.params"


def write_wheel(
    folder: Path, members: Mapping[str, bytes], distribution: str = DISTRIBUTION, version: str = VERSION
) -> Path:
    """A wheel for every platform with these members."""
    name = f"{distribution.replace('-', '_')}-{version}"
    info = f"{name}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    path = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", wheel)
        archive.writestr(f"{info}/RECORD", f"{info}/RECORD,,\n")
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def package_of(wheel: Path, content: bytes, member: str = MEMBER) -> Package:
    """What a registry states of a wheel and its member."""
    distribution, version = wheel.name.split("-")[:2]
    whole = wheel.read_bytes()
    return Package(
        distribution.replace("_", "-"), version, member, sha256(whole), sha256(content), len(whole)
    )


def write_index(folder: Path, *wheels: Path, stated: bool = True) -> None:
    """Pages of PEP 503 below simple/, and the wheels; `stated`: with their sha256."""
    for wheel in wheels:
        content = wheel.read_bytes()
        project = folder / "simple" / wheel.name.split("-")[0].replace("_", "-").lower()
        project.mkdir(parents=True, exist_ok=True)
        (project / wheel.name).write_bytes(content)
        fragment = f"#sha256={sha256(content)}" if stated else ""
        page = f'<!DOCTYPE html><html><body><a href="{wheel.name}{fragment}">{wheel.name}</a></body></html>'
        (project / "index.html").write_text(page)


@contextmanager
def serving(folder: Path, monkeypatch) -> Iterator[SimpleNamespace]:
    """The folder as pip's index."""
    (folder / "simple").mkdir(parents=True, exist_ok=True)
    with served(folder) as server:
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
        yield server
