"""Decoding and inference at the same time: threads prepare the next pictures while the network runs.

Threads, not processes: Pillow, NumPy and the runtimes release Python's lock while they compute.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

from modelzoo.bulk.job import RowMaker
from modelzoo.preprocessing import Picture

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = os.cpu_count() or 1
BATCHES_AHEAD = 2  # prepared pictures wait for the network; these bound the memory


def rows(pictures: Iterable[tuple[str, Picture]], maker: RowMaker) -> Iterator[list[dict[str, Any]]]:
    """The rows of named pictures, in their order, some at a time, in constant memory."""
    at_once = maker.pictures_at_once
    prepared = in_order(
        lambda named: (named[0], maker.prepare(named[1], named[0])),
        pictures,
        ahead=BATCHES_AHEAD * at_once,
    )
    while batch := list(islice(prepared, at_once)):
        yield maker.rows(*zip(*batch, strict=True))


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int, threads: int = THREADS
) -> Iterator[Result]:
    """function(item) of each item, in the items' order; up to `ahead` are computed before they are wanted."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="modelzoo-bulk")
    waiting = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
