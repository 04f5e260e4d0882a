"""One deadline over all that a host sends, whatever it sends drop by drop.

requests' timeouts are for one packet each: a host that sends a byte now and then, of a status line, of
headers, of the lines between chunks, or "100 Continue" again and again, would be waited for without end.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from contextlib import suppress
from typing import Any

import requests.adapters
import urllib3

from modelzoo.errors import DownloadError

CONNECT_TIMEOUT, READ_TIMEOUT = 10, 60  # seconds to connect to one address, and between two packets
NO_TIME = 0.001  # seconds; a socket without any would not wait at all


class Deadline:
    """The time in which there must be progress, which renews it."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.renew()

    def renew(self) -> None:
        self._end = time.monotonic() + self.seconds

    @property
    def left(self) -> float:
        """Seconds; 0 or less when they are over."""
        return self._end - time.monotonic()

    def require(self) -> None:
        """Raises DownloadError when the time is over."""
        if self.left <= 0:
            raise DownloadError(f"no progress for {self.seconds:g} s")

    def timeout(self, most: float, shares: int = 1) -> float:
        """Seconds to wait for one of several things in turn, each of which should take `most` at most."""
        return max(NO_TIME, min(most, self.left / shares))


class TimedAdapter(requests.adapters.HTTPAdapter):
    """Makes connections, through a proxy or not, that wait for nothing beyond the deadline."""

    def __init__(self, deadline: Deadline):
        self._deadline = deadline
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        _time(self.poolmanager, self._deadline)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if not known:
            _time(manager, self._deadline)
        return manager


def _time(manager: urllib3.PoolManager, deadline: Deadline) -> None:
    """Has a manager, also one of a proxy, make its connections with the deadline."""
    pools = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _timed(pool, deadline) for scheme, pool in pools.items()}


def _timed(pool: Any, deadline: Deadline) -> Any:
    """A class of connection pools like the given one."""

    class Response(http.client.HTTPResponse):
        """Also reads what a proxy says to CONNECT."""

        def __init__(self, sock: Any, *arguments: Any, **options: Any):
            super().__init__(_Socket(sock, deadline), *arguments, **options)  # type: ignore[arg-type]

    class Connection(pool.ConnectionCls):
        response_class = Response

        def _new_conn(self) -> socket.socket:
            self.timeout = deadline.timeout(self.timeout, shares=_addresses(self.host, self.port))
            connected = super()._new_conn()
            connected.settimeout(deadline.timeout(READ_TIMEOUT))  # for TLS, which takes several packets
            return connected

    class Pool(pool):
        ConnectionCls = Connection

    return Pool


def _addresses(host: str, port: int) -> int:
    """How many addresses would be tried in turn."""
    with suppress(OSError, UnicodeError):  # whoever connects says so
        return max(1, len(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    return 1


class _Socket:
    """What http.client needs of a socket to read from it."""

    def __init__(self, connected: socket.socket, deadline: Deadline):
        self._connected, self._deadline = connected, deadline

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReads(self._connected, self._deadline))


class _TimedReads(io.RawIOBase):
    """Reads from a connection; each read waits no longer than the deadline allows."""

    def __init__(self, connected: socket.socket, deadline: Deadline):
        self._connected, self._deadline = connected, deadline
        self._file = connected.makefile("rb", buffering=0)  # keeps the connection open until it is closed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._deadline.left <= 0:
            raise TimeoutError("the deadline is over")
        self._connected.settimeout(self._deadline.timeout(READ_TIMEOUT))
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()
