"""What each output of a network means: one table a label set."""

from modelzoo.labels.own import checked_names, read_names, table
from modelzoo.labels.tables import NAMES, Label, names, of, read

__all__ = ["NAMES", "Label", "checked_names", "names", "of", "read", "read_names", "table"]
