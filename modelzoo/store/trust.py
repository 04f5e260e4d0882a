"""Why a file's content is believed, in words."""

from __future__ import annotations

from collections.abc import Sequence

PINNED = "pinned on first use"
NO_CHECKSUM = f"no checksum is published: {PINNED}"
HUB = "the sha256 that the hub states of a commit's file"
BY_HAND = "added by hand"
BY_HOST = "by the host"  # how the downloader ends what the host itself stated


def published(verified: Sequence[str]) -> str | None:
    """From a provenance's list of what was verified; None if nothing was."""
    if not verified:
        return None
    return verified[0] if verified[0].endswith(BY_HOST) else f"published {verified[0]}"
