"""Moving averages: the second copy of each variable that a training program may keep beside the raw one.

A checkpoint may hold raw weights, their averages or both, and the same of a batch norm's statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal

from modelzoo.errors import ConversionError
from modelzoo.formats.tensors import AVERAGE as SUFFIX

STATISTICS = (
    "moving_mean",
    "moving_variance",
)  # they are not trained; some programs average them all the same

Copy = Literal["moving average", "raw"]


def names_of(
    name_of: Callable[[str], str],
    paths: Collection[str],
    upstream: Collection[str],
    *,
    average: bool | None,
    default: bool,
) -> dict[str, str]:
    """The name of the copy that is taken of each of our weights, where a file holds the names `upstream`.

    `average` asks for averages or for raw weights; None takes what there is, and of both the averages if
    `default`. Either all trained weights are averages or none, and so are the statistics, whose averages are
    taken with those of the weights if there are any. Raises ConversionError if what is asked for is missing.
    """
    raw = {path: name_of(path) for path in paths}
    trained = [name for path, name in raw.items() if not _is_statistic(path)]
    statistics = [name for path, name in raw.items() if _is_statistic(path)]
    if average is not None:
        _check_asked(trained, upstream, average)
    preferred = default if average is None else average
    averaged = {
        False: _averaged(trained, upstream, preferred),
        True: _averaged(statistics, upstream, preferred),
    }
    return {path: name + SUFFIX if averaged[_is_statistic(path)] else name for path, name in raw.items()}


def base_name(name: str) -> str:
    """The name of the variable itself, of which this may be the average."""
    return name.removesuffix(SUFFIX)


def other_copies(names: Iterable[str]) -> set[str]:
    """For each name that of the same variable's other copy."""
    return {base_name(name) if name.endswith(SUFFIX) else name + SUFFIX for name in names}


def taken(pairs: Mapping[str, str], upstream: Collection[str]) -> tuple[Copy, bool]:
    """Which copy of the trained weights was taken, and whether the file also holds the other."""
    trained = [name for path, name in pairs.items() if not _is_statistic(path)]
    averaged = any(name.endswith(SUFFIX) for name in trained)
    return "moving average" if averaged else "raw", _any(other_copies(trained), upstream)


def _check_asked(trained: Collection[str], upstream: Collection[str], average: bool) -> None:
    has_raw, has_averages = _any(trained, upstream), _any(other_copies(trained), upstream)
    if average and has_raw and not has_averages:
        raise ConversionError("Expected moving averages, found raw weights only: ask for these.")
    if not average and has_averages and not has_raw:
        raise ConversionError("Expected raw weights, found moving averages only: ask for these.")


def _averaged(names: Collection[str], upstream: Collection[str], preferred: bool) -> bool:
    """Whether the averages of these variables are taken."""
    return _any(other_copies(names), upstream) and (preferred or not _any(names, upstream))


def _any(names: Iterable[str], upstream: Collection[str]) -> bool:
    return any(name in upstream for name in names)


def _is_statistic(path: str) -> bool:
    return path.rpartition("/")[2] in STATISTICS
