"""Networks as files of other programs hold them: operations on names, and tensors, still in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelzoo.formats.tensors import BFLOAT16

MOST_OPERATIONS = 100_000
MOST_TENSORS = 100_000
Sides = Sequence[int | str | None]  # a name or None for a side that is open


@dataclass(frozen=True)
class Tensor:
    """A constant; its values are taken from the file when they are asked for."""

    shape: tuple[int, ...]
    type: str
    content: memoryview | tuple[int, ...]

    def array(self) -> np.ndarray:
        """The values, in memory of their own."""
        if isinstance(self.content, tuple):
            kind = np.dtype("<u2" if self.type in ("<f2", BFLOAT16) else self.type)
            raw = np.array([value % 2 ** (8 * kind.itemsize) for value in self.content], np.uint64)
            raw = raw.astype(kind.str.replace("i", "u") if kind.kind == "i" else kind)
            raw = raw.view(self.type if self.type != BFLOAT16 else "<u2")
        else:
            raw = np.frombuffer(self.content, "<u2" if self.type == BFLOAT16 else self.type)
        if self.type == BFLOAT16:
            raw = (raw.astype(np.uint32) << 16).view(np.float32)
        return np.array(raw.reshape(self.shape))


@dataclass(frozen=True)
class Node:
    """An operation: its operator of ONNX, "" being the usual domain, and its attributes."""

    kind: str
    domain: str
    name: str
    inputs: tuple[str, ...]  # "" for one that is left out
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Network:
    """What a file holds, in its order."""

    name: str
    opset: int
    inputs: Mapping[str, Sides]
    outputs: Mapping[str, Sides]
    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
