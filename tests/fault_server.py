"""A file server on this machine that misbehaves as told: what bad networks and bad hosts do to a download.

`server.script` gives one behavior a request, in order. After its end, and without one, the server sends
`server.places[path]`, which may be a behavior, too, or else `server.content`.
"""

from __future__ import annotations

import hashlib
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from pathlib import Path

MODIFIED = "Wed, 21 Oct 2015 07:28:00 GMT"
PAGE = b"\n<!DOCTYPE html><html><title>Sign in to the hotel's network</title></html>"
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 12345\n" % (b"0" * 64)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        with self.server.lock:
            behavior = next(self.server.script, None)
        behavior = behavior or self.server.places.get(self.path, self.server.content)
        try:
            if behavior is None:
                status(self, 404)
            elif isinstance(behavior, bytes):
                send(self, content=behavior)
            else:
                behavior(self)
        except OSError:
            self.close_connection = True  # the client went away

    do_CONNECT = do_GET  # of a proxy

    def log_message(self, *arguments):
        pass


Behavior = Callable[[Handler], None]


class FaultServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.serve(None)

    def serve(self, content: bytes | None, script: Iterable[Behavior] = ()) -> None:
        """Forgets all that was, and serves `content` at every path."""
        self.content, self.script = content, iter(script)
        self.places: dict[str, bytes | Behavior] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []  # paths and headers
        self.resets: set[socket.socket] = set()
        self.patience = threading.Event()  # a stalled answer ends when it is set

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def shutdown_request(self, request):
        if request in self.resets:
            self.close_request(request)  # without the polite end that precedes it otherwise
        else:
            super().shutdown_request(request)

    def handle_error(self, request, client_address):
        pass


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[ThreadingHTTPServer]:
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02))
    thread.start()
    try:
        yield server
    finally:
        if hasattr(server, "patience"):
            server.patience.set()
        server.shutdown()
        thread.join()
        server.server_close()


def send(
    handler: Handler,
    *,
    content: bytes | None = None,
    until: int | None = None,  # the absolute offset at which `end` happens
    end: str = "truncate",  # or reset, stall
    ranges: bool = True,  # honours Range
    etag: bool | str = True,  # or "weak"
    modified: bool = True,
    lie: int = 0,  # added to Content-Length
    shift: int = 0,  # added to both ends in Content-Range
    most: int | None = None,  # bytes in one answer
    whole_size: str | None = None,  # in Content-Range
    framing: str = "length",  # or chunked, close
    encoding: str | None = None,
    pause: float = 0,  # seconds between two pieces
    piece: int = 1 << 16,
) -> None:
    """Sends the file, or the part that was asked for, with one thing wrong."""
    content = handler.server.content if content is None else content
    tag = (
        ("W/" if etag == "weak" else "") + '"' + hashlib.md5(content, usedforsecurity=False).hexdigest() + '"'
    )
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    condition = handler.headers.get("If-Range")
    known = condition is None or (etag and condition == tag) or (modified and condition == MODIFIED)
    start = int(asked[1]) if asked and ranges and known else 0
    if start and start >= len(content):
        return status(handler, 416, {"Content-Range": f"bytes */{len(content)}"})
    body = content[start:] if most is None else content[start : start + most]
    partial_answer = start or shift or (most is not None and most < len(content))
    handler.send_response(206 if partial_answer else 200)
    if partial_answer:
        first, last = start + shift, start + len(body) - 1 + shift
        handler.send_header("Content-Range", f"bytes {first}-{last}/{whole_size or len(content)}")
    if etag:
        handler.send_header("ETag", tag)
    if modified:
        handler.send_header("Last-Modified", MODIFIED)
    if encoding:
        handler.send_header("Content-Encoding", encoding)
    if framing == "length" or lie:
        handler.send_header("Content-Length", str(len(body) + lie))
    if framing == "chunked":
        handler.send_header("Transfer-Encoding", "chunked")
    elif framing == "close":
        handler.send_header("Connection", "close")
    handler.end_headers()
    whole = until is None or until >= start + len(body)
    body = body if whole else body[: max(0, until - start)]
    for offset in range(0, len(body), piece):
        part = body[offset : offset + piece]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if framing == "chunked" else part)
        time.sleep(pause) if pause else None
    if whole and framing == "chunked":
        handler.wfile.write(b"0\r\n\r\n")
    if whole and framing != "close" and not lie:
        return None
    return END[end](handler)


def truncate(handler: Handler) -> None:
    handler.close_connection = True


def reset(handler: Handler) -> None:
    linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)  # on, for 0 seconds
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.server.resets.add(handler.connection)
    handler.close_connection = True


def stall(handler: Handler) -> None:
    handler.server.patience.wait(20)
    handler.close_connection = True


END = {"truncate": truncate, "reset": reset, "stall": stall}


def status(handler: Handler, code: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
    handler.send_response(code)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def page(handler: Handler, body: bytes = PAGE) -> None:
    status(handler, 200, {"Content-Type": "text/html"}, body)


def redirect(handler: Handler, location: str, **headers: str) -> None:
    """`location` may hold {port} and {path}; the headers' names have _ for -."""
    place = location.format(port=handler.server.server_port, path=handler.path)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    status(handler, 302, {"Location": place, **named})


def nonsense(handler: Handler) -> None:
    handler.wfile.write(b"220 mail.example.org ESMTP ready\r\n" * 20)
    handler.close_connection = True


def drip(
    handler: Handler, *, at_once: bytes = b"", drops: bytes = b"", again: bytes = b"", pause: float = 0.1
):
    """Sends the first bytes, then byte by byte the next, then others again and again, for half a minute."""
    handler.close_connection = True
    handler.wfile.write(at_once)
    ending = time.monotonic() + 30
    for byte in chain(map(int.to_bytes, drops), repeat(again)):
        if time.monotonic() > ending or handler.server.patience.wait(pause):
            return
        handler.wfile.write(byte)


def dawdle(handler: Handler, then: Behavior, seconds: float = 0.4) -> None:
    """Waits before it does something else."""
    handler.server.patience.wait(seconds)
    then(handler)


def send_sparse(handler: Handler, path: Path) -> None:
    """Sends a file that may be larger than memory."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(path.stat().st_size))
    handler.end_headers()
    with path.open("rb") as file:
        handler.connection.sendfile(file)
