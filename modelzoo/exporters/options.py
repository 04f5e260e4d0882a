"""Options: how a file is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Precision = Literal["f32", "f16"]
Texts = Mapping[str, str]
Arrays: TypeAlias = "Mapping[str, np.ndarray]"


@dataclass(frozen=True)
class Options:
    """How a file is written.

    precision: of kernels and matrices in the file; what computes with them is the runtime's matter.
    fold: whether batch norms become part of the kernels before them, where the writer can do both.
    producer: the program that writes, and its version.
    """

    precision: Precision = "f32"
    fold: bool = True
    producer: tuple[str, str] = ("modelzoo", "")
