"""A folder on 127.0.0.1 that remembers who asked for what, and a custom model to be served."""

from __future__ import annotations

import hashlib
import importlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

from modelzoo import registry, weights
from modelzoo.verification.comparison import synthetic_weights

CUSTOM = "tiny.team"


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        super().do_GET()

    def log_message(self, *arguments):
        pass


@contextmanager
def served(folder: Path) -> Iterator[SimpleNamespace]:
    """Gives `url` and `asked`, the paths of all GET requests; `close()` ends the server early."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()

    def close():
        server.shutdown()
        thread.join()
        server.server_close()

    given = SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", asked=server.asked, close=close)
    try:
        yield given
    finally:
        if thread.is_alive():
            close()


def script(path: str):
    """A script of this repository as a module, by its path in scripts/."""
    return importlib.import_module(f"scripts.{path.removesuffix('.py').replace('/', '.')}")


def write_synthetic(path: Path, key: str, like: str | None = None) -> Path:
    """A modelzoo weight file with synthetic weights, for the model `key`, with the graph of `like`."""
    arrays = synthetic_weights(registry.info(like or key))
    weights.write(path, arrays.items(), {"model": key})
    return path


def custom_registry(path: Path, weight_file: Path, url: str, key: str = CUSTOM) -> Path:
    """A registry with one model, the bundled one's graph, whose weights are hosted at `url`."""
    packaged = json.loads((resources.files("modelzoo") / "registry.json").read_text("utf-8"))
    content = weight_file.read_bytes()
    hosted = {"url": url, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    entry = packaged["models"]["resnet9_cifar10.modelzoo"] | {"weights": [hosted]}
    path.write_text(json.dumps({"preprocessing": {}, "models": {key: entry}}))
    return path
