"""The top of a network, from the last feature map to its output, and which layers' weights belong to it.

What they are called is not written down anywhere: the family's own top is written on stand-ins for feature
maps, and looked at.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from modelzoo.architectures import families
from modelzoo.architectures.family import Family
from modelzoo.architectures.layers import Layers
from modelzoo.graph import Tensor

# Stand-ins for feature maps, of an image of 512x512 pixels: no top needs a larger one.
MAPS = {f"C{level}": (None, 512 >> level, 512 >> level, 64) for level in range(1, 6)}
CLASSES = (2, 3)  # two numbers of classes, to see which layers differ


@dataclass(frozen=True)
class Top:
    """Names of layers with weights: those of the top, and of these the ones that depend on the classes."""

    layers: tuple[str, ...]
    head: tuple[str, ...]


def apply_top(
    nn: Layers,
    family: Family,
    variant: str,
    maps: dict[str, Tensor],
    classes: int,
    activation: str | None = None,
) -> Tensor:
    """The network's output, `nn` being the vocabulary; raises ValueError for a detector's activation."""
    if family.detector is not None:
        if activation is not None:
            raise ValueError("This network detects: its output has no one activation.")
        return family.detector(nn, maps, variant, classes)
    x = family.top(nn, maps[max(maps)], variant)
    x = nn.dense(x, classes, name="logits", output=True)
    return x if activation is None else nn.activation(x, activation, name="probabilities", output=True)


@functools.cache
def top_of(family: str, variant: str) -> Top:
    """The layers with weights between the last feature map and the output, in their order."""
    facts = families.find(family, variant)
    few, more = (_recorded(facts, variant, classes) for classes in CLASSES)
    return Top(tuple(few), tuple(layer for layer in few if few[layer] != more[layer]))


def _recorded(family: Family, variant: str, classes: int) -> dict[str, tuple[int, ...]]:
    """The shape of the kernel of each layer in the top, or of its scale."""
    nn = Layers()
    apply_top(nn, family, variant, {name: nn.input(name, shape) for name, shape in MAPS.items()}, classes)
    return {node.name: node.weights[0].shape for node in nn.nodes.values() if node.weights}
