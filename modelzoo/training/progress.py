"""Progress bars of a long training, or none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Progress:
    """Whether bars are shown on stderr."""

    visible: bool = False

    def shown(self, items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
        """The same items, counted by a bar."""
        if not self.visible:
            yield from items
            return
        from tqdm.auto import tqdm

        bar: Any
        with tqdm(total=total, desc=what, unit=" images" if what == "reading" else " steps") as bar:
            for item in items:
                yield item
                bar.update()
