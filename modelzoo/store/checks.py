"""Whether a weight file is the entry's: by its provenance, names and shapes."""

from __future__ import annotations

from pathlib import Path

from modelzoo.errors import WeightsMismatch, readable
from modelzoo.registry import Entry


def check(entry: Entry, path: Path, *, top: bool = True) -> None:
    """Raises WeightsMismatch unless a modelzoo weight file has the entry's weights by name and shape."""
    from modelzoo import architectures, conversion, weights

    check_owner(entry, path)
    skip = () if top else architectures.top_layers(entry.graph).layers
    weights.check(path, conversion.weight_shapes(entry), skip=skip)


def check_owner(entry: Entry, path: Path) -> None:
    """Names and shapes are not enough: ResNet v1c and v1d share all of them."""
    from modelzoo import weights

    owner = weights.provenance(path).get("model")
    if owner != entry.owner:
        raise WeightsMismatch(f"{path} holds the weights of {readable(owner)}, not of {entry.key}.")
