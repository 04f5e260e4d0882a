"""build(): a family's backbone plus pooling and head, as a graph."""

from __future__ import annotations

from typing import cast

from modelzoo.architectures import families
from modelzoo.architectures.layers import Layers
from modelzoo.architectures.sizes import check_sides
from modelzoo.architectures.top import apply_top
from modelzoo.graph import Graph
from modelzoo.graph.pooling import Reduction
from modelzoo.graph.windows import TooSmall

POOLINGS = (None, "avg", "max")
IMAGES = "images"  # the name of the input


def variants(family: str) -> tuple[str, ...]:
    """The names of the family's variants; raises ValueError for an unknown family."""
    return tuple(families.find(family).variants)


def build(
    family: str,
    variant: str,
    *,
    input_shape: tuple[int | None, int | None, int],
    classes: int | None = None,
    pooling: str | None = None,
    classifier_activation: str | None = None,
    name: str | None = None,
) -> Graph:
    """The network for float images of shape (batch, *input_shape).

    With `classes` its output is (batch, classes): the layer `logits`, which is linear, and `probabilities`
    after it if there is a `classifier_activation`; of a family that detects, its `detector`'s. Without, it is
    the last feature map, (batch, height, width, channels), or (batch, channels) with a `pooling`. The output
    has its node's name, or the feature map's. Raises ValueError for an unknown family, variant or pooling,
    and for too small images.
    """
    facts, top = families.find(family, variant), classes is not None
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be None, 'avg' or 'max', not {pooling!r}.")
    if facts.smallest_side is not None:
        check_sides(family, variant, input_shape, top=top)
    nn = Layers()
    images = nn.input(IMAGES, (None, *input_shape))
    try:
        maps = facts.backbone(nn, images, variant)
        if classes is not None:
            output = apply_top(nn, facts, variant, maps, classes, classifier_activation)
            return nn.graph(name or f"{family}_{variant}", {output.name: output}, maps)
    except TooSmall:
        check_sides(family, variant, input_shape, top=top)
        raise
    last = max(maps)
    outputs = {last: maps[last]}
    if pooling is not None:
        outputs = {"pool": nn.global_pool(maps[last], cast(Reduction, pooling), name="pool", output=True)}
    return nn.graph(name or f"{family}_{variant}", outputs, maps)
