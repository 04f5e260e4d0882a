"""The room as a function: modelzoo.labels(name) gives names, though modelzoo.labels is this package."""

from __future__ import annotations

import os
from types import ModuleType

from modelzoo.labels.tables import names_of


class LabelsRoom(ModuleType):
    """A package that can be called."""

    def __call__(self, name: str | os.PathLike[str]) -> list[str]:
        """The names of the classes of a label set, of a model or of a model folder, in class order.

        Raises UnknownModel for what is none of them.
        """
        return names_of(name)
