"""What each output of a network means: one table a label set."""

from modelzoo.labels.tables import NAMES, Label, names, read

__all__ = ["NAMES", "Label", "names", "read"]
