"""Progress of a download, shown where somebody sees it."""

from __future__ import annotations

import sys
from typing import Any

from tqdm.auto import tqdm


def is_watched() -> bool:
    """Whether somebody sees progress: on a terminal, or in a notebook, whose stderr is none."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def bar_of(name: str, total: int | None, initial: int = 0) -> tqdm[Any]:
    """A bar over the bytes of a file, with rate and time left; nothing if nobody sees it."""
    return tqdm(
        total=total,
        initial=initial,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        desc=name,
        leave=False,
        disable=not is_watched(),
    )
