"""The errors that modelzoo raises on purpose: each message is a sentence for the person who sees it.

All derive from ModelZooError, and from the built-in error that a caller would expect to catch.
"""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 5  # names in one message


def some(names: Sequence[str]) -> str:
    """The first few names of a list, and how many more there are."""
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


class ModelZooError(Exception):
    """The base of all errors below; the command line prints these without a traceback."""

    def __str__(self) -> str:  # KeyError would print its message in quotes
        return " ".join(str(argument) for argument in self.args)


class UnknownModel(ModelZooError, KeyError):
    """No registry entry has this name, or several have it and none is the default."""


class RegistryError(ModelZooError, ValueError):
    """registry.json is malformed; the message names the entry and the field."""


class WeightsUnavailable(ModelZooError, OSError):
    """Pretrained weights could not be had; the message lists what was tried and what to do."""


class WeightsMismatch(ModelZooError, ValueError):
    """A weight file does not fit the model it was given for."""


class ConversionError(ModelZooError, ValueError):
    """An upstream file cannot be read, or its tensors do not pair with the architecture."""


class DownloadError(ModelZooError, OSError):
    """A file could not be fetched, or what came is not the file that was wanted."""


class PictureError(ModelZooError, ValueError):
    """Something that was given as a picture is not one that can be read."""


class LabelsError(ModelZooError, ValueError):
    """An unknown label set, or predictions whose width is not the label set's."""


class OutputError(ModelZooError, OSError):
    """What was asked to be written cannot be written there, or not in this format."""
