"""Where weights are found and kept: the cache, mirrors, the upstream's files, bundles."""

from modelzoo.store.availability import AVAILABILITY, Availability, availability, trust
from modelzoo.store.bundles import bundle, unbundle
from modelzoo.store.checks import check, check_owner
from modelzoo.store.convert import convert
from modelzoo.store.folders import add_metrics
from modelzoo.store.folders import check_target as check_folder_target
from modelzoo.store.folders import check_weights as check_folder
from modelzoo.store.install import add, recognize
from modelzoo.store.locate import PRETRAINED, Located, checked, locate, weights_file
from modelzoo.store.own import entry_of
from modelzoo.store.packing import pack
from modelzoo.store.saving import save

__all__ = [
    "AVAILABILITY",
    "PRETRAINED",
    "Availability",
    "Located",
    "add",
    "add_metrics",
    "availability",
    "bundle",
    "check",
    "check_folder",
    "check_folder_target",
    "check_owner",
    "checked",
    "convert",
    "entry_of",
    "locate",
    "pack",
    "recognize",
    "save",
    "trust",
    "unbundle",
    "weights_file",
]
