"""The parts of our layer names, from which the upstream's are made."""

from __future__ import annotations

import re
from typing import Any

from modelzoo.errors import ConversionError


def parts(pattern: re.Pattern[str], layer: str) -> tuple[Any, ...]:
    """The pattern's groups in the whole name: a string each, or None where an optional one is not there.

    Raises ConversionError for a layer that the pattern does not fit.

    >>> parts(re.compile(r"stage(\\d)_block(\\d+)_(\\w+)"), "stage1_block23_conv2")
    ('1', '23', 'conv2')
    """
    match = pattern.fullmatch(layer)
    if match is None:
        raise ConversionError(f"Layer {layer!r} has no upstream name: the converter is another network's.")
    return match.groups()
