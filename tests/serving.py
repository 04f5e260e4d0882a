"""A folder on 127.0.0.1 that remembers who asked for what, and one model of a team's own to be served."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

from modelzoo import conversion, registry, synthetic, weights
from tests.conftest import ROOT

OWN = "tiny.team"


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
    """A script of this repository as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / "scripts" / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_synthetic(path: Path, key: str, like: str | None = None) -> Path:
    """One of our files with synthetic weights, for the model `key`, with the graph of `like`."""
    shapes = conversion.weight_shapes(registry.info(like or key))
    arrays = ((name, synthetic.array(name, shape)) for name, shape in shapes.items())
    weights.write(path, arrays, {"model": key})
    return path


def own_registry(path: Path, weight_file: Path, url: str, key: str = OWN) -> Path:
    """A registry with one model, the bundled one's graph, whose weights are hosted at `url`."""
    packaged = json.loads((resources.files("modelzoo") / "registry.json").read_text("utf-8"))
    content = weight_file.read_bytes()
    hosted = {"url": url, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    entry = packaged["models"]["resnet9_cifar10.modelzoo"] | {"weights": [hosted]}
    path.write_text(json.dumps({"pictures": {}, "models": {key: entry}}))
    return path
