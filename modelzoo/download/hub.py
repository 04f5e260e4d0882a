"""A model hub's plain paths, ENDPOINT/OWNER/NAME/resolve/REVISION/FILE, as the Hugging Face hub has them.

HF_ENDPOINT names another hub, HF_TOKEN who asks, HF_HUB_OFFLINE that nobody does: see modelzoo.settings.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from modelzoo import settings
from modelzoo.errors import DownloadError

COMMIT = re.compile(r"[0-9a-f]{40}")
COMMIT_HEADER = "X-Repo-Commit"
MISSING = 404
NOT_ALLOWED = (401, 403)


class HubRefused(DownloadError):
    """The hub answers that it has no such thing, or not for whoever asks; the message is a sentence."""


class NoSuchFile(HubRefused):
    """The repository is there, and has no file of this name at this revision."""


def url(repository: str, revision: str, name: str) -> str:
    """The address of a file; a revision is a branch, a tag or a commit."""
    return f"{settings.hub_endpoint()}/{repository}/resolve/{quote(revision, safe='')}/{quote(name)}"


def commit_of(repository: str, revision: str, names: Sequence[str]) -> str:
    """The commit that a revision means now, told by the first of the files that is there.

    Raises NoSuchFile if none is, HubRefused, and DownloadError where the hub cannot be asked.
    """
    from modelzoo.download.connections import Deadline
    from modelzoo.download.http import Host

    if settings.hub_offline():
        raise DownloadError(offline())
    for name in names:
        host = Host(url(repository, revision, name), Deadline(settings.timeout()))
        try:
            with refused(repository, revision, name):
                commit = host.headers(COMMIT_HEADER) or ""
                if not COMMIT.fullmatch(commit):
                    raise HubRefused(
                        f"{settings.hub_endpoint()} does not say which commit of hf://{repository} it gives: "
                        f"check {settings.HUB_ENDPOINT}, or name a commit of 40 digits."
                    )
                return commit
        except NoSuchFile:
            continue
        finally:
            host.close()
    raise NoSuchFile(f"hf://{repository} has neither {' nor '.join(names)} at the revision {revision!r}.")


def fetch(repository: str, commit: str, name: str, target: Path, limit: int) -> None:
    """Downloads a file of at most `limit` bytes. Raises as commit_of does."""
    from modelzoo.download.fetch import fetch as fetch_url

    with refused(repository, commit, name):
        fetch_url(url(repository, commit, name), target, limit=limit)


def offline() -> str:
    """Which variable forbids to ask the hub, as a sentence without its full stop."""
    variable = settings.OFFLINE if settings.offline() else settings.HUB_OFFLINE
    return f"{variable} is set: nothing is downloaded from the hub"


@contextmanager
def refused(repository: str, revision: str, name: str) -> Generator[None]:
    """Turns a hub's refusal into a sentence that says what to do."""
    from modelzoo.download.failures import HostRefused

    try:
        yield
    except HostRefused as error:
        if error.code == "EntryNotFound" or (error.status == MISSING and not error.code):
            raise NoSuchFile(f"hf://{repository} has no {name} at the revision {revision!r}.") from error
        raise HubRefused(_sentence(error.status, error.code, repository, revision)) from error


def _sentence(status: int, code: str, repository: str, revision: str) -> str:
    who, token = f"hf://{repository}", settings.hub_token()
    if code == "GatedRepo":
        then = "" if token else f", and set {settings.HUB_TOKEN} to your token"
        page = f"{settings.hub_endpoint()}/{repository}"
        return f"{who} is gated: accept its conditions at {page}{then}."
    if code == "RevisionNotFound":
        return f"{who} has no revision {revision!r}: name a branch, a tag or a commit that it has."
    if code == "RepoNotFound" and token:
        return f"{who} does not exist, or the token of {settings.HUB_TOKEN} may not read it."
    if status in NOT_ALLOWED and token:
        return (
            f"The hub refuses the token of {settings.HUB_TOKEN} for {who} (HTTP {status}): check the token."
        )
    if status in NOT_ALLOWED or code == "RepoNotFound":
        return (
            f"{who} does not exist, or is private: check the name, or set {settings.HUB_TOKEN} to your token."
        )
    return f"{who} is not available: HTTP {status}."
