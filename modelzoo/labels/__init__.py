"""What each output of a network means: one table a label set."""

import sys

from modelzoo.labels.choice import choose, choose_all, find, find_all, synonyms
from modelzoo.labels.hierarchy import ancestors, path, repeated_names
from modelzoo.labels.own import checked_names, read_names, table
from modelzoo.labels.room import LabelsRoom
from modelzoo.labels.tables import NAMES, Label, names, names_of, of, read

__all__ = [
    "NAMES",
    "Label",
    "ancestors",
    "checked_names",
    "choose",
    "choose_all",
    "find",
    "find_all",
    "names",
    "names_of",
    "of",
    "path",
    "read",
    "read_names",
    "repeated_names",
    "synonyms",
    "table",
]

sys.modules[__name__].__class__ = LabelsRoom
