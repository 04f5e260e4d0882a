"""What a family states of itself: its variants, its parts, and how its networks are proven.

A family's file exports one `FAMILY`; nothing outside the file holds lists of families, but for the one
explicit list in families.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelzoo.graph import Tensor

if TYPE_CHECKING:
    from modelzoo.architectures.layers import Layers

NormOptions = dict[str, Any]  # of a batch norm, in the vocabulary's words: epsilon, momentum, scale
Range = tuple[float, float]
Size = tuple[int, int]  # height, width; pixels

# A gamma of the usual range takes two thirds of the energy, and no shortcut brings it back to chains such as
# MobileNet's: the logits of v1 would depend on the image by 6e-7 and prove nothing. The norm between
# depthwise and pointwise convolution makes up for both, enough to drive ReLU6 beyond 6. Above this range
# rounding grows.
CHAINED_GAMMA: Range = (0.8, 2.0)


@dataclass(frozen=True)
class Proof:
    """How networks are compared with their original programs; the defaults suit most.

    The comparison runs both with synthetic weights (synthetic.py), on two images of noise.
    """

    # The range of a batch norm's synthetic gamma, where the usual one would prove little: by a pattern that
    # a layer's whole name matches.
    gammas: Mapping[str, Range] = field(default_factory=dict)
    depthwise: str = "depthwise"  # a pattern in the paths of kernels that see one channel each
    native_size: Size | None = None  # of the first image; None: what the network was trained at
    odd_size: Size | None = (97, 131)  # of the second: odd sides find wrong padding; None: one image only
    any_size: bool = True  # a network takes images of every size; False: it is built for one
    # Of the relative L2 error in float32, with TensorFlow's plain kernels (TF_ENABLE_ONEDNN_OPTS=0).
    limit: float = 2e-6


def average_pool(nn: Layers, x: Tensor, variant: str) -> Tensor:
    """The layer `pool`: what most networks have between the last feature map and the logits."""
    return nn.global_pool(x, "avg", name="pool")


@dataclass(frozen=True)
class Family:
    """A family of networks: what each variant is made of, written in the vocabulary `nn` of layers.py.

    backbone: (nn, images, variant) -> the feature maps by name; Cn has stride 2**n, the last one feeds the
        head.
    top: (nn, last feature map, variant) -> the vector that the logits are computed from.
    detector: in place of a top and logits, (nn, feature maps, variant, classes) -> the output; as `top`.
    proof: how its networks are proven; `other_proofs` are those of the variants that differ.
    """

    variants: Mapping[str, Any]
    backbone: Callable[[Layers, Tensor, str], dict[str, Tensor]]
    top: Callable[[Layers, Tensor, str], Tensor] = average_pool
    detector: Callable[[Layers, dict[str, Tensor], str, int], Tensor] | None = None
    # (variant, with top) -> the smallest side of images in pixels; None: found by the shapes of its layers.
    smallest_side: Callable[[str, bool], int] | None = None
    proof: Proof = Proof()
    other_proofs: Mapping[str, Proof] = field(default_factory=dict)

    def proof_of(self, variant: str) -> Proof:
        """How this variant is proven."""
        return self.other_proofs.get(variant, self.proof)
