"""Where weights are found and kept: the cache, mirrors, the upstream's files, bundles."""

from modelzoo.store.availability import AVAILABILITY, Availability, availability, trust
from modelzoo.store.bundles import bundle, unbundle
from modelzoo.store.checks import check_owner
from modelzoo.store.convert import convert
from modelzoo.store.install import add, recognize
from modelzoo.store.locate import PRETRAINED, Located, checked, locate, weights_file
from modelzoo.store.own import entry_of

__all__ = [
    "AVAILABILITY",
    "PRETRAINED",
    "Availability",
    "Located",
    "add",
    "availability",
    "bundle",
    "check_owner",
    "checked",
    "convert",
    "entry_of",
    "locate",
    "recognize",
    "trust",
    "unbundle",
    "weights_file",
]
