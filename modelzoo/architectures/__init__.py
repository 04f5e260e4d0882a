"""The networks: one file a family, written in one vocabulary. Nothing here imports Keras until it builds."""

from modelzoo.architectures.build import POOLINGS, Network, build, variants
from modelzoo.architectures.families import FAMILIES
from modelzoo.architectures.family import Family, Proof
from modelzoo.architectures.top import Top, top_layers, top_weights

__all__ = [
    "FAMILIES",
    "POOLINGS",
    "Family",
    "Network",
    "Proof",
    "Top",
    "build",
    "top_layers",
    "top_weights",
    "variants",
]
