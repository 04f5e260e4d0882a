"""The networks: one file a family, written in one vocabulary. No framework is imported."""

from modelzoo.architectures.build import IMAGES, POOLINGS, build, variants
from modelzoo.architectures.families import FAMILIES
from modelzoo.architectures.family import Family, Proof
from modelzoo.architectures.features import FeatureInfo, feature_info
from modelzoo.architectures.sizes import smallest_side
from modelzoo.architectures.top import Top, top_layers, top_weights

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
    "smallest_side",
    "top_layers",
    "top_weights",
    "variants",
]
