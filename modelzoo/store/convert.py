"""convert(): an upstream file -> a modelzoo weight file; what does not fit is sought in the registry."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelzoo import registry
from modelzoo.registry import Entry
from modelzoo.store import user_files

LOG = logging.getLogger("modelzoo")


def convert(
    entry: Entry,
    path: Path,
    target: Path,
    *,
    official: bool = False,
    include_top: bool = True,
    average: bool | None = None,
    labels: Sequence[str] | None = None,
    verified: Sequence[str] = (),
) -> dict[str, Any]:
    """Writes the upstream file of an entry as a modelzoo weight file; returns its provenance.

    As conversion.convert; the error of a file that does not fit names the models that it seems to be of.
    """
    user_files.require(path)
    from modelzoo import conversion

    LOG.info("%s: converting %s to a modelzoo weight file", entry.key, path.name)
    return conversion.convert(
        entry,
        path,
        target,
        official=official,
        include_top=include_top,
        average=average,
        labels=labels,
        verified=verified,
        candidates=registry.current().entries.values(),
    )
