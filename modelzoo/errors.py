"""The errors that modelzoo raises on purpose: each message is a sentence for the person who sees it.

All derive from ModelZooError, and from the built-in error that a caller would expect to catch.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Sequence

SHOWN = 5  # names in one message
LONGEST = 120  # characters of one string that somebody else wrote
NESTED = 3  # lists in lists of such a value
LONGEST_LINE = 4096  # characters of a line that is shown: a whole path, or everything that load() tried
LEFT_OUT = " ... "  # in place of a longer line's middle
PASSWORD = re.compile(r"(?<=://)[^/\s]*@")  # in an address: "user:password@"

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = LONGEST
_repr.maxlist = _repr.maxtuple = _repr.maxdict = SHOWN
_repr.maxlevel = NESTED


def abbreviated(names: Sequence[str]) -> str:
    """The first few names of a list, and how many more there are."""
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


def quoted(value: object) -> str:
    """A value that somebody else wrote, as messages show it: in quotes, escaped, on one line, shortened."""
    return _repr.repr(value)


def readable(name: object) -> str:
    """A name that somebody else wrote: as it is where that is short and printable, or else quoted()."""
    if isinstance(name, str) and name.isprintable() and 0 < len(name) <= LONGEST:
        return name
    return quoted(name)


def one_line(text: object) -> str:
    """Any text as a terminal may be given it: one line, of bounded length, without control characters.

    What is not printable is escaped, passwords of addresses are left out. Its own result stays as it is.
    """
    line = PASSWORD.sub("", str(text))
    if not line.isprintable():
        line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    if len(line) <= LONGEST_LINE:
        return line
    half = (LONGEST_LINE - len(LEFT_OUT)) // 2  # the end often says what to do
    return line[:half] + LEFT_OUT + line[-half:]


class ModelZooError(Exception):
    """The base of all errors below; the command line prints these without a traceback."""

    def __str__(self) -> str:  # KeyError would print its message in quotes
        return one_line(" ".join(str(argument) for argument in self.args))


class UnknownModel(ModelZooError, KeyError):
    """No registry entry has this name, or several have it and none is the default."""


class RegistryError(ModelZooError, ValueError):
    """The registry is malformed; the message names the entry and the field."""


class WeightsUnavailable(ModelZooError, OSError):
    """Pretrained weights are not available; the message lists what was tried and what to do."""


class WeightsMismatch(ModelZooError, ValueError):
    """A weight file does not fit the model it was given for."""


class ConversionError(ModelZooError, ValueError):
    """An upstream file cannot be read, or its tensors do not pair with the architecture."""


class UnsupportedKeras(ModelZooError, RuntimeError):
    """This version of Keras cannot build networks here; the message says what it refused."""


class DownloadError(ModelZooError, OSError):
    """A file could not be downloaded, or another file came than was expected."""


class ImageError(ModelZooError, ValueError):
    """An input is not an image that can be read."""


class LabelsError(ModelZooError, ValueError):
    """An unknown label set, or predictions whose width is not the label set's."""


class OutputError(ModelZooError, OSError):
    """An output file cannot be written there, or not in this format."""


class ExportError(ModelZooError, RuntimeError):
    """A network cannot be exported, or the file that was written does not answer as the network does."""
