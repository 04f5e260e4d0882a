"""The networks: one file a family, written in one vocabulary. No framework is imported."""

from modelzoo.architectures.build import IMAGES, POOLINGS, build, variants
from modelzoo.architectures.families import FAMILIES
from modelzoo.architectures.family import Family, Proof
from modelzoo.architectures.features import FeatureInfo, feature_info, levels_in, map_sizes, minimum_size
from modelzoo.architectures.heads import HEAD_LAYERS, NewHead, with_dropout, with_head
from modelzoo.architectures.network import network, smallest_side_of, top_layers, top_weights
from modelzoo.architectures.sizes import smallest_side
from modelzoo.architectures.top import Top

__all__ = [
    "FAMILIES",
    "HEAD_LAYERS",
    "IMAGES",
    "POOLINGS",
    "Family",
    "FeatureInfo",
    "NewHead",
    "Proof",
    "Top",
    "build",
    "feature_info",
    "levels_in",
    "map_sizes",
    "minimum_size",
    "network",
    "smallest_side",
    "smallest_side_of",
    "top_layers",
    "top_weights",
    "variants",
    "with_dropout",
    "with_head",
]
