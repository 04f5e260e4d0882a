"""The vocabulary of layers.py without Keras: it makes no layers, but notes which of them would have weights.

Tensors are shapes alone. Each word has the arguments of its namesake in layers.Layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ShapeOnly:
    """The shape of a batch, channels last."""

    shape: Shape


class TooSmall(ValueError):
    """A layer's windows do not fit into its input."""


@dataclass(frozen=True)
class Recorder:
    """Notes of each layer with weights the shape of its kernel, or of its scale, in the order of making."""

    weights: dict[str, Shape] = field(default_factory=dict)

    def conv(
        self,
        x: ShapeOnly,
        filters: int,
        kernel: int | tuple[int, int],
        *,
        name: str,
        stride: int = 1,
        padding: str = "symmetric",
        bias: bool = False,
        output: bool = False,
    ) -> ShapeOnly:
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        self.weights[name] = (height, width, x.shape[-1], filters)
        return _windows(x, (height, width), stride, padding, filters)

    def depthwise_conv(
        self,
        x: ShapeOnly,
        kernel: int,
        *,
        name: str,
        stride: int = 1,
        padding: str = "symmetric",
        multiplier: int = 1,
    ) -> ShapeOnly:
        self.weights[name] = (kernel, kernel, x.shape[-1], multiplier)
        return _windows(x, (kernel, kernel), stride, padding, x.shape[-1] * multiplier)

    def norm(
        self, x: ShapeOnly, *, name: str, epsilon: float, momentum: float, scale: bool = True
    ) -> ShapeOnly:
        return self._scaled(x, name)

    def layer_norm(self, x: ShapeOnly, *, name: str, epsilon: float) -> ShapeOnly:
        return self._scaled(x, name)

    def dense(self, x: ShapeOnly, units: int, *, name: str, output: bool = False) -> ShapeOnly:
        self.weights[name] = (x.shape[-1], units)
        return ShapeOnly((*x.shape[:-1], units))

    def relu(self, x: ShapeOnly, *, name: str, limit: float | None = None) -> ShapeOnly:
        return x

    def leaky_relu(self, x: ShapeOnly, slope: float, *, name: str) -> ShapeOnly:
        return x

    def activation(self, x: ShapeOnly, function: str, *, name: str, output: bool = False) -> ShapeOnly:
        return x

    def add(self, branches: Sequence[ShapeOnly], *, name: str) -> ShapeOnly:
        return branches[0]

    def scale(self, x: ShapeOnly, factor: float, *, name: str) -> ShapeOnly:
        return x

    def concat(self, branches: Sequence[ShapeOnly], *, name: str) -> ShapeOnly:
        return ShapeOnly((*branches[0].shape[:-1], sum(branch.shape[-1] for branch in branches)))

    def reshape(self, x: ShapeOnly, shape: tuple[int, ...], *, name: str) -> ShapeOnly:
        return ShapeOnly((x.shape[0], *shape))

    def permute(self, x: ShapeOnly, axes: tuple[int, ...], *, name: str) -> ShapeOnly:
        return ShapeOnly((x.shape[0], *(x.shape[axis] for axis in axes)))

    def max_pool(
        self, x: ShapeOnly, size: int, *, stride: int, name: str, padding: str = "symmetric"
    ) -> ShapeOnly:
        return _windows(x, (size, size), stride, padding, x.shape[-1])

    def average_pool(
        self, x: ShapeOnly, size: int, *, name: str, stride: int | None = None, padding: str = "same"
    ) -> ShapeOnly:
        return _windows(x, (size, size), stride or size, padding, x.shape[-1])

    def shift(self, x: ShapeOnly, *, name: str) -> ShapeOnly:
        return x

    def global_pool(self, x: ShapeOnly, kind: str, *, name: str, output: bool = False) -> ShapeOnly:
        return ShapeOnly((x.shape[0], x.shape[-1]))

    def _scaled(self, x: ShapeOnly, name: str) -> ShapeOnly:
        self.weights[name] = (x.shape[-1],)
        return x


def _windows(x: ShapeOnly, kernel: tuple[int, int], stride: int, padding: str, channels: int) -> ShapeOnly:
    """What windows over the height and width give, whatever is computed in them."""
    sizes = [_steps(size, side, stride, padding) for size, side in zip(x.shape[1:3], kernel, strict=True)]
    if min(sizes) < 1:
        raise TooSmall(f"windows of {kernel} do not fit into {x.shape}")
    return ShapeOnly((x.shape[0], *sizes, channels))


def _steps(size: int, side: int, stride: int, padding: str) -> int:
    """How many windows of `side` pixels there are."""
    if padding == "same":
        return -(-size // stride)
    margin = 0 if padding == "valid" else (side - 1) // 2
    return (size + 2 * margin - side) // stride + 1
