"""Our weights <-> upstream tensors: each used exactly once, or an error that prints both differences.

Pairing goes by name and nothing else. Shapes only confirm it: in ResNet-50 v1d 265 of 277 tensors
share their shape with another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

import numpy as np

from modelzoo.errors import ConversionError, abbreviated, readable


class PairingError(ConversionError):
    """A file's tensors are not the network's: they may be another model's, or some are missing."""


def pair(
    ours: Collection[str],
    upstream: Collection[str],
    name_of: Callable[[str], str],
    ignored: re.Pattern[str],
    top: Collection[str] = (),
    own_head: Collection[str] | None = None,
) -> dict[str, str]:
    """The upstream name of each of our paths.

    `name_of` gives the name; upstream names that match `ignored` whole (a step counter, an
    optimizer's momentum) may be left over. Where the top is not needed, names of an `own_head`, maybe none,
    may be left over, too, and of the paths in `top` all may be missing. Raises PairingError if a name is
    missing or one is left over, ConversionError if two paths share a name.
    """
    pairs = {path: name_of(path) for path in ours}
    paths = _by_name(pairs)
    found = paths.keys() & set(upstream) - set(own_head or ())
    missing = sorted(paths.keys() - found)
    unexpected = sorted(name for name in set(upstream) - found if not ignored.fullmatch(name))
    without_top = bool(missing) and {paths[name] for name in missing} == set(top)
    if own_head is not None and set(unexpected) <= set(own_head) and (without_top or not missing):
        return {path: name for path, name in pairs.items() if name in found}
    if without_top and not unexpected:
        raise ConversionError(
            f"Only the top is missing ({abbreviated(sorted(top))}): a file without top, "
            "for include_top=False. Use the one with top."
        )
    if missing or unexpected:
        raise PairingError(
            "The tensors do not pair with the architecture: "
            f"expected {len(pairs)} tensors, found {len(pairs) - len(missing)}"
            f"{_listed('; missing: ', missing)}{_listed('; unexpected: ', list(map(readable, unexpected)))}."
        )
    return pairs


def check_shapes(
    pairs: Mapping[str, str],
    expected: Mapping[str, tuple[int, ...]],
    given: Mapping[str, tuple[int, ...]],
) -> None:
    """Raises PairingError at the first of our paths whose upstream tensor has another shape.

    `expected` holds shapes by our path, already in the upstream's memory layout; `given` by upstream name.
    """
    for path, name in pairs.items():
        if tuple(given[name]) != tuple(expected[path]):
            raise PairingError(
                f"Expected shape {tuple(expected[path])} for {path}, got {tuple(given[name])} in {name}."
            )


def check_dtypes(
    pairs: Mapping[str, str], expected: Collection[np.dtype], given: Mapping[str, np.dtype]
) -> None:
    """Raises PairingError at the first tensor of another dtype; `given` holds them by upstream name."""
    for path, name in pairs.items():
        if given[name] not in expected:
            known = " or ".join(map(str, expected))
            raise PairingError(f"Expected {known} for {path}, got {given[name]} in {name}.")


def _by_name(pairs: Mapping[str, str]) -> dict[str, str]:
    """Our path of each upstream name."""
    paths: dict[str, str] = {}
    for path, name in pairs.items():
        if name in paths:
            raise ConversionError(f"The name map is wrong: {paths[name]} and {path} both claim {name}.")
        paths[name] = path
    return paths


def _listed(label: str, names: list[str]) -> str:
    return label + abbreviated(names) if names else ""
