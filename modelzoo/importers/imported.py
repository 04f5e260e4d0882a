"""Imported: a network that another program wrote, as a graph and arrays; and how reading it fails."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelzoo.errors import ConversionError, ModelZooError, quoted, readable
from modelzoo.graph import Graph
from modelzoo.graph.serialization import from_json, to_json
from modelzoo.importers.values import Array
from modelzoo.weights import Arrays


@dataclass(frozen=True)
class Imported:
    """A network, its weights by path, each read when it is asked for, and what its file is, in words."""

    graph: Graph
    arrays: Mapping[str, np.ndarray]
    title: str


def imported(graph: Graph, arrays: Mapping[str, Array], title: str) -> Imported:
    """The network, whose attributes are those of operators. Raises ValueError if one is not."""
    checked = from_json(to_json(graph))
    missing = [path for path in checked.weights if path not in arrays]
    if missing:
        raise ValueError(f"the values of {quoted(missing[0])} are missing")

    def read(path: str) -> np.ndarray:
        try:
            found, expected = np.asarray(arrays[path](), np.float32), checked.weights[path].shape
            if found.shape != expected:
                raise ValueError(f"expected values of shape {expected}, got {found.shape}")
        except (ValueError, TypeError, OverflowError) as error:
            raise ConversionError(f"{quoted(path)} of {title} cannot be read: {error}.") from error
        return found

    return Imported(checked, Arrays(checked.weights.keys(), read), title)


@contextmanager
def refused(path: Path, title: str) -> Generator[None]:
    """What goes wrong as one sentence, whatever it is that the file made of this program."""
    try:
        yield
    except (ModelZooError, MemoryError):
        raise
    except RecursionError as error:
        raise ConversionError(
            f"{readable(str(path))} cannot be read as {title}: it is nested too deeply."
        ) from error
    except OSError as error:
        raise ConversionError(f"{readable(str(path))} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # of values of another kind than any program writes
        words = (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__
        raise ConversionError(f"{readable(str(path))} cannot be read as {title}: {words}.") from error
