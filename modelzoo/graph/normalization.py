"""Operators that shift and scale what passes: norms with weights, and constants of a network."""

from __future__ import annotations

from dataclasses import dataclass

from modelzoo.graph.operator import ONES, ZEROS, Initializer, Operator, Shape, Weight, channels_of


@dataclass(frozen=True)
class BatchNorm(Operator):
    """gamma * (x - moving_mean) / sqrt(moving_variance + epsilon) + beta, for each channel.

    Without `scale` there is no gamma, without `center` no beta. In training, the batch's own mean and
    variance take the place of the moving ones, which keep `momentum` of themselves.
    """

    epsilon: float = 1e-3
    momentum: float = 0.99
    center: bool = True
    scale: bool = True

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        shape = (channels_of(inputs[0]),)
        return (
            *_affine(shape, self.scale, self.center),
            Weight("moving_mean", shape, ZEROS, trainable=False),
            Weight("moving_variance", shape, ONES, trainable=False),
        )


@dataclass(frozen=True)
class LayerNorm(Operator):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, of each place over its channels.

    Without `scale` there is no gamma, without `center` no beta.
    """

    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        return _affine((channels_of(inputs[0]),), self.scale, self.center)


@dataclass(frozen=True)
class ChannelScale(Operator):
    """Each channel times its weight. kernel: (channels,)."""

    initializer: Initializer = ONES

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        return (Weight("kernel", (channels_of(inputs[0]),), self.initializer),)


@dataclass(frozen=True)
class Normalization(Operator):
    """(x - mean) / max(sqrt(variance), 1e-7), with constants of the network for each channel."""

    mean: tuple[float, ...]
    variance: tuple[float, ...]

    def shape(self, *inputs: Shape) -> Shape:
        channels = channels_of(inputs[0])
        if not channels == len(self.mean) == len(self.variance):
            raise ValueError(
                f"Expected {channels} means and variances, got {len(self.mean)} and {len(self.variance)}."
            )
        return inputs[0]


@dataclass(frozen=True)
class Rescale(Operator):
    """scale * x + offset, with constants of the network: numbers, or one for each channel."""

    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0

    def shape(self, *inputs: Shape) -> Shape:
        for constants in (self.scale, self.offset):
            if isinstance(constants, tuple) and len(constants) != channels_of(inputs[0]):
                raise ValueError(
                    f"Expected a number for each of {channels_of(inputs[0])} channels, got {len(constants)}."
                )
        return inputs[0]


def _affine(shape: tuple[int, ...], scale: bool, center: bool) -> tuple[Weight, ...]:
    gamma, beta = Weight("gamma", shape, ONES), Weight("beta", shape, ZEROS)
    return (*(gamma,) * scale, *(beta,) * center)
