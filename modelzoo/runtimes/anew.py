"""MadeAnew: what holds threads and memory of its process, and in another process is made anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MakingCall = tuple[Callable[..., Any], tuple[Any, ...]]  # a function and its arguments


class MadeAnew:
    """Pickled as the call that made it; `made_by` is None where no call makes an equal one."""

    made_by: MakingCall | None = None

    def __reduce__(self) -> MakingCall:
        if self.made_by is None:
            raise TypeError(
                "A network with random weights cannot be pickled, because it cannot be made anew: "
                "save its weights to a file and give that as weights=."
            )
        return self.made_by
