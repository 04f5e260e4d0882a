"""The networks: one file a family, written in one vocabulary. No framework is imported."""

from modelzoo.architectures.build import IMAGES, POOLINGS, build, variants
from modelzoo.architectures.families import FAMILIES
from modelzoo.architectures.family import Family, Proof
from modelzoo.architectures.features import FeatureInfo, feature_info
from modelzoo.architectures.network import network, smallest_side_of, top_layers, top_weights
from modelzoo.architectures.sizes import smallest_side
from modelzoo.architectures.top import Top

__all__ = [
    "FAMILIES",
    "IMAGES",
    "POOLINGS",
    "Family",
    "FeatureInfo",
    "Proof",
    "Top",
    "build",
    "feature_info",
    "network",
    "smallest_side",
    "smallest_side_of",
    "top_layers",
    "top_weights",
    "variants",
]
