"""Asking a host for a file, or for the rest of one: redirects, tokens, certificates, confirmations.

Proxies (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) and REQUESTS_CA_BUNDLE are requests' own; SSL_CERT_FILE is added.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from modelzoo import settings
from modelzoo.download import connections, google_drive
from modelzoo.download.addresses import is_private, next_address, same_origin, without_password
from modelzoo.download.connections import Deadline, TimedAdapter
from modelzoo.download.failures import reasons
from modelzoo.download.partial import Version
from modelzoo.download.responses import (
    Response,
    blocks_of,
    check_head,
    check_status,
    is_page,
    peek,
    understand,
)
from modelzoo.errors import DownloadError

REDIRECTS = 10


class Host:
    """The host of an address, with one session: cookies, and a connection that serves several requests."""

    def __init__(self, url: str, deadline: Deadline):
        with reasons():
            if urlsplit(url).scheme not in ("http", "https"):
                raise DownloadError("an address must begin with https://, http:// or file://")
            self.url, self.deadline = without_password(url), deadline
            self.authorization = _authorization(url)
        self.session = _Session()
        self.session.verify = settings.certificates() or True
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, TimedAdapter(deadline))

    def close(self) -> None:
        self.session.close()

    @contextmanager
    def answer(self, offset: int, version: Version) -> Generator[Response]:
        """What the host sends if asked for all from `offset` on, provided that it still has `version`."""
        headers = {"Accept-Encoding": "identity"}  # lengths and checksums are of the file's own bytes
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if version.condition:
                headers["If-Range"] = version.condition
        answers = self._follow(self.url, headers)
        try:
            head, blocks = peek(blocks_of(answers[-1]))
            if answers[-1].status_code == 200:
                if is_page(head) and urlsplit(answers[-1].url).hostname in google_drive.HOSTS:
                    answers += self._follow(google_drive.confirmed_address(answers[-1].url, blocks), headers)
                    head, blocks = peek(blocks_of(answers[-1]))
                if answers[-1].status_code == 200:
                    check_head(head)
            yield understand(answers, blocks, offset, version)
        finally:
            for answer in answers:
                answer.close()

    def page(self, accept: str, most: int) -> tuple[str, str, bytes]:
        """A document of at most `most` bytes: where it came from in the end, its content type, its bytes."""
        answers = self._follow(self.url, {"Accept": accept, "Accept-Encoding": "identity"})
        try:
            content = b""
            for block in blocks_of(answers[-1]):
                content += block
                if len(content) > most:
                    raise DownloadError(f"expected a page of at most {most:,} bytes, got more")
            return answers[-1].url, answers[-1].headers.get("Content-Type", ""), content
        finally:
            for answer in answers:
                answer.close()

    def headers(self, name: str) -> str | None:
        """The value of a header in the first answer of the host itself that has it; no content is read."""
        answers = self._follow(self.url, {"Accept-Encoding": "identity"})
        for answer in answers:
            answer.close()
        own = (answer.headers.get(name) for answer in answers if same_origin(answer.url, self.url))
        return next(filter(None, own), None)

    def _follow(self, url: str, headers: dict[str, str]) -> list[requests.Response]:
        """The host's answer, and before it those that redirected to it."""
        answers: list[requests.Response] = []
        while len(answers) <= REDIRECTS:
            answers.append(self._ask(url, headers))
            location = self.session.location(answers[-1])
            if location is None:
                check_status(answers[-1], "Range" in headers)
                return answers
            answers[-1].close()
            url = next_address(url, location)
        raise DownloadError(f"the host redirects more than {REDIRECTS} times")

    def _ask(self, url: str, headers: dict[str, str]) -> requests.Response:
        self.deadline.require()
        with reasons():
            trusted = same_origin(url, self.url)  # what another host asks for gets no secret
            return self.session.get(
                url,
                headers=headers,
                stream=True,
                timeout=(
                    self.deadline.timeout(connections.CONNECT_TIMEOUT),
                    self.deadline.timeout(connections.READ_TIMEOUT),
                ),
                allow_redirects=False,
                auth=self.authorization if trusted else None,
            )


class _Session(requests.Session):
    """Follows no redirect by itself: requests would read a redirecting page to its end, however long."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None

    def location(self, response: requests.Response) -> str | None:
        return super().get_redirect_target(response)


class _Bearer(AuthBase):
    """A token as the `auth` of a request: only so does it go before what ~/.netrc holds."""

    def __init__(self, token: str):
        self.token = token

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers["Authorization"] = f"Bearer {self.token}"
        return r


def _authorization(url: str) -> AuthBase | None:
    """The address's own user and password, or the token for a mirror or the hub if it is one's address."""
    parts = urlsplit(url)
    if parts.username is not None:
        return HTTPBasicAuth(unquote(parts.username), unquote(parts.password or ""))
    if not is_private(url):
        return None
    variable, token = settings.TOKEN, settings.token()
    if not token or not any(same_origin(url, base) for base in settings.mirrors()):
        hub = same_origin(url, settings.hub_endpoint())
        variable, token = settings.HUB_TOKEN, settings.hub_token() if hub else ""
    if not token:
        return None
    if not re.fullmatch("[!-~]+", token):
        raise DownloadError(f"{variable} holds a character that a token cannot hold")
    return _Bearer(token)
