"""Options: how a file is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    from modelzoo.exporters.upstream import Upstream

Precision = Literal["f32", "f16"]
Texts = Mapping[str, str]
Arrays: TypeAlias = "Mapping[str, np.ndarray]"


@dataclass(frozen=True)
class StateDict:
    """A class of another package that computes what a network does, and its names of the weights.

    package: "torchvision" or "timm"; name and arguments: of its function that makes a model.
    name_of: a path, "layer/weight" -> the name in the class's state dict.
    axes: how many axes kernels have there that are of another kind here, by path: 2 of a matrix for a
        flattened map, 4 of a convolution of 1x1.
    epsilon: of its batch norms, where it is not the network's; the variances make up for it.
    """

    package: str
    name: str
    name_of: Callable[[str], str]
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    axes: Mapping[str, int] = field(default_factory=dict[str, int])
    epsilon: float | None = None


@dataclass(frozen=True)
class Options:
    """How a file is written.

    precision: of kernels and matrices in the file; what computes with them is the runtime's matter.
    fold: whether batch norms become part of the kernels before them, where the writer can do both.
    producer: the program that writes, and its version.
    state_dict: whose state dict is written, where the format holds one.
    image_input: whether a Core ML package takes images, one at a time, and prepares their levels by itself.
    opset: the version of ONNX's operators; None for the newest that is written.
    upstream: whose names and layout the weights have, in formats of weights by name; None for ours.
    """

    precision: Precision = "f32"
    fold: bool = True
    producer: tuple[str, str] = ("modelzoo", "")
    state_dict: StateDict | None = None
    image_input: bool = False
    opset: int | None = None
    upstream: Upstream | None = None
