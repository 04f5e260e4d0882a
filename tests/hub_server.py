"""A model hub on this machine: the plain paths of the Hugging Face hub, with its headers and its refusals."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

LFS = (".safetensors", ".h5")
CONFIG = {
    "architecture": "resnet18",
    "num_classes": 5,
    "num_features": 512,
    "global_pool": "avg",
    "label_names": ["n1", "n2", "n3", "n4", "n5"],
    "label_descriptions": {"n1": "shirt", "n2": "shoe", "n3": "hat", "n4": "coat"},
    "pretrained_cfg": {
        "tag": "a1_in1k",
        "custom_load": False,
        "input_size": [3, 64, 64],
        "fixed_input_size": False,
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "crop_mode": "center",
        "mean": [0.5, 0.25, 0.5],
        "std": [0.25, 0.5, 0.5],
        "num_classes": 5,
        "pool_size": [2, 2],
        "first_conv": "conv1",
        "classifier": "fc",
    },
}
CARD = "---\ntags:\n- timm\nlibrary_name: timm\nlicense: apache-2.0\n---\n# Model card\n"


def config(**changes: object) -> str:
    """A config.json as timm writes it; changes whose name CONFIG's root has are there, the others below."""
    root = {name: value for name, value in changes.items() if name in CONFIG or name == "model_args"}
    below = {name: value for name, value in changes.items() if name not in root}
    return json.dumps(CONFIG | {"pretrained_cfg": CONFIG["pretrained_cfg"] | below} | root)


@dataclass
class Repository:
    """Files by name, at one commit, to which `revisions` lead."""

    files: Mapping[str, bytes]
    revisions: tuple[str, ...] = ("main",)
    private: bool = False
    gated: bool = False
    stated: dict[str, str] = field(default_factory=dict)  # by name: another sha256 than that of the file
    storage: dict[str, bytes] = field(default_factory=dict)  # by name: another file than the hub states
    says_commit: bool = True

    @property
    def commit(self) -> str:
        return hashlib.sha1(b"".join(self.files.values())).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        parts = [unquote(part) for part in self.path.lstrip("/").split("/")]
        if parts[0] == "storage":
            self._send(200, self.server.stored[parts[1]])
        elif len(parts) >= 5 and parts[2] == "resolve":
            self._resolve(f"{parts[0]}/{parts[1]}", parts[3], "/".join(parts[4:]))
        else:
            self._send(404, b"Not Found")

    def _resolve(self, name: str, revision: str, file: str) -> None:
        repository, token = self.server.repositories.get(name), self.headers.get("Authorization")
        known = token == f"Bearer {self.server.token}"
        if token is not None and not known:
            self._send(401, b"Invalid credentials", {"X-Error-Message": "Invalid credentials"})
        elif repository is None or (repository.private and not known):
            self._send(404 if known else 401, b"", {"X-Error-Code": "RepoNotFound"})
        elif repository.gated and not known:
            self._send(401, b"", {"X-Error-Code": "GatedRepo"})
        elif revision not in (*repository.revisions, repository.commit):
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        else:
            self._file(
                repository, file, {"X-Repo-Commit": repository.commit} if repository.says_commit else {}
            )

    def _file(self, repository: Repository, name: str, commit: dict[str, str]) -> None:
        content = repository.files.get(name)
        if content is None:
            self._send(404, b"Entry not found", {**commit, "X-Error-Code": "EntryNotFound"})
        elif name.endswith(LFS):
            digest = repository.stated.get(name, hashlib.sha256(content).hexdigest())
            self.server.stored[digest] = repository.storage.get(name, content)
            place = f"http://localhost:{self.server.server_port}/storage/{digest}"
            lfs = {"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(content)), "Location": place}
            self._send(302, b"Found", {**commit, **lfs})
        else:
            self._send(200, content, {**commit, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'})

    def _send(self, status: int, content: bytes, headers: Mapping[str, str] = {}) -> None:
        self.send_response(status)
        for header, value in headers.items():
            self.send_header(header, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


class HubServer(ThreadingHTTPServer):
    daemon_threads = True
    token = "hf_secret"

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Repository] = {}
        self.stored: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving():
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
