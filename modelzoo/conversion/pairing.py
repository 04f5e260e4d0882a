"""Our weights <-> upstream tensors: each used exactly once, or an error that prints both differences.

Pairing goes by name and nothing else. Shapes only confirm it: in ResNet-50 v1d 265 of 277 tensors
share their shape with another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from modelzoo.errors import ConversionError, some


def pair(
    ours: Collection[str],
    upstream: Collection[str],
    name_of: Callable[[str], str],
    ignored: re.Pattern[str],
    head: Collection[str] = (),
    head_wanted: bool = True,
) -> dict[str, str]:
    """The upstream name of each of our paths.

    `name_of` gives the name; upstream names that match `ignored` whole (a step counter, an
    optimizer's momentum) may be left over. Of the paths in `head` all may be missing, or none, unless
    `head_wanted`. Raises ConversionError if two paths share a name, if a name is not there, or if one
    is left over.
    """
    pairs = {path: name_of(path) for path in ours}
    claimed: dict[str, str] = {}
    for path, name in pairs.items():
        if name in claimed:
            raise ConversionError(f"The name map is wrong: {claimed[name]} and {path} both claim {name}.")
        claimed[name] = path
    missing = sorted(claimed.keys() - set(upstream))
    unused = sorted(name for name in set(upstream) - claimed.keys() if not ignored.fullmatch(name))
    if missing and not unused and {claimed[name] for name in missing} == set(head):
        if not head_wanted:
            return {path: name for path, name in pairs.items() if path not in head}
        raise ConversionError(
            f"All is there but the head ({some(sorted(head))}): a file without top, for include_top=False."
        )
    if missing or unused:
        raise ConversionError(
            "The tensors do not pair with the architecture: "
            f"{len(pairs) - len(missing)} of {len(pairs)} found"
            f"{_listed('; missing upstream: ', missing)}{_listed('; not used: ', unused)}."
        )
    return pairs


def check_shapes(
    pairs: Mapping[str, str],
    wanted: Mapping[str, tuple[int, ...]],
    given: Mapping[str, tuple[int, ...]],
) -> None:
    """Raises ConversionError at the first of our paths whose upstream tensor has another shape.

    `wanted` holds shapes by our path, already in the upstream's memory layout; `given` by upstream name.
    """
    for path, name in pairs.items():
        if tuple(given[name]) != tuple(wanted[path]):
            raise ConversionError(
                f"{name} has shape {tuple(given[name])}; {path} wants {tuple(wanted[path])}: "
                "is this the file of another model?"
            )


def _listed(label: str, names: list[str]) -> str:
    return label + some(names) if names else ""
